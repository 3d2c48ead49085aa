from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from kpray import prompts
from kpray.quality.form import LIMITS, Limits, form_faults
from kpray.quality.language import is_english
from kpray.schemas import KIND_NAMES, Fault, KindName, Turn

PROMPTS = Path(prompts.__file__).parent
QUESTION = "What is the man doing?"
ANSWER = "He kneels on the grass and looks at the dog."


def talk(*texts: str) -> list[Turn]:
    """Question, answer, question, answer; the picture's mark is put first."""
    turns = [Turn("gpt" if index % 2 else "human", text) for index, text in enumerate(texts)]
    return [Turn("human", f"<image>\n{texts[0]}"), *turns[1:]]


def reasons(*texts: str, kind: KindName | None = "conversation") -> set[str]:
    return {fault.reason for fault in form_faults(talk(*texts), kind=kind)}


def only(faults: list[Fault], reason: str) -> Fault:
    assert [fault.reason for fault in faults] == [reason]
    return faults[0]


def test_a_good_exchange_has_no_fault() -> None:
    assert reasons(QUESTION, ANSWER) == set()


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_the_examples_that_the_prompts_show_have_no_fault(kind: KindName) -> None:
    examples = msgspec.json.decode((PROMPTS / f"{kind}.json").read_bytes())
    for example in examples:
        for pair in example["answers"]:
            assert reasons(pair["question"], pair["answer"], kind=kind) == set()


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_every_limit_holds_at_both_ends(kind: KindName) -> None:
    limits = {kind: Limits(question=(2, 6), answer=(3, 5))}

    def found(question: str, answer: str) -> set[str]:
        faults = form_faults(talk(question, answer), kind=kind, limits=limits)
        return {fault.reason for fault in faults if fault.reason.startswith("too_")}

    assert found("What now?", "He runs fast.") == set()
    assert found("What now?", "He runs very fast today.") == set()
    assert found("What now?", "He runs.") == {"too_short"}
    assert found("What now?", "He runs very fast today again.") == {"too_long"}
    assert found("What?", "He runs fast.") == {"too_short"}
    assert found("What does he do here right now?", "He runs fast.") == {"too_long"}


def test_the_limits_leave_room_around_what_the_prompts_ask_for() -> None:
    for kind, asked in (("conversation", (2, 60)), ("detailed", (100, 300)), ("reasoning", (80, 250))):
        low, high = LIMITS[kind].answer
        assert low < asked[0]
        assert asked[1] < high
    assert LIMITS["detailed"].answer[0] <= 20  # what little the embedded teacher may know of a person


def test_an_unknown_kind_has_no_lengths_and_may_name_details() -> None:
    assert reasons("Why are his arms raised?", "Fun.", kind="reasoning") >= {"too_short", "reveals_details"}
    assert reasons("Why are his arms raised?", "Fun.", kind=None) == set()


@pytest.mark.parametrize("texts", [("", ANSWER), (QUESTION, " \n"), (QUESTION, ANSWER, "", ANSWER)])
def test_an_empty_turn_is_found(texts: tuple[str, ...]) -> None:
    assert "empty_turn" in reasons(*texts)


def test_turns_said_twice_are_found_at_the_second() -> None:
    faults = form_faults(talk(QUESTION, ANSWER, "what is the man doing", "He rests on one knee."), kind="conversation")
    assert only(faults, "repeated_turn").turn == 2
    faults = form_faults(talk(QUESTION, ANSWER, "Which pose does he take?", ANSWER), kind="conversation")
    assert only(faults, "repeated_turn").turn == 3


def test_short_answers_may_come_again() -> None:
    assert reasons("Is he on the left?", "Yes, he is.", "Is he kneeling?", "Yes, he is.") == set()


def test_an_answer_that_runs_in_circles_is_found() -> None:
    line = "He holds the ball with both hands."
    assert reasons(QUESTION, f"{line} {line}") == {"repeats_itself"}
    assert reasons(QUESTION, f"{line} He runs. {line} She runs. {line}") == {"repeats_itself"}
    assert reasons(QUESTION, f"{line} She waits. {line}") == set()


def test_the_picture_may_only_be_marked_at_the_start() -> None:
    marked = [Turn("human", f"<image>\n{QUESTION}"), Turn("gpt", f"{ANSWER} <image> He waits.")]
    fault = only(form_faults(marked, kind="conversation"), "misplaced_image")
    assert marked[1].value[fault.start : fault.end] == "<image>"
    later = [*talk(QUESTION, ANSWER), Turn("human", "<image>\nWho is on the left?"), Turn("gpt", "The woman is.")]
    assert only(form_faults(later, kind="conversation"), "misplaced_image").turn == 2


def test_a_record_of_others_may_have_the_mark_after_the_first_question() -> None:
    turns = [Turn("human", f"{QUESTION}\n<image>"), Turn("gpt", ANSWER)]
    assert form_faults(turns, kind=None) == []
    assert only(form_faults(turns, kind="conversation"), "misplaced_image").turn == 0


def test_turns_must_alternate_and_end_with_an_answer() -> None:
    human, gpt = talk(QUESTION, ANSWER)
    assert only(form_faults([human], kind=None), "turn_order").turn == 0
    assert "turn_order" in {fault.reason for fault in form_faults([gpt, human], kind=None)}
    assert form_faults([], kind=None) == []


def test_faults_point_at_the_words() -> None:
    answer = "He kneels. **Both** hands hold the dog. Der Hund sitzt auf dem Gras."
    turns = talk(QUESTION, answer)
    places = {fault.reason: turns[1].value[fault.start : fault.end] for fault in form_faults(turns, kind=None)}
    assert places["markdown"] == "**Both**"
    assert places["wrong_language"].strip() == "Der Hund sitzt auf dem Gras."
    turns = talk("Why are his bent knees useful in this sport?", "They are.")
    fault = next(f for f in form_faults(turns, kind="reasoning") if f.reason == "reveals_details")
    assert turns[0].value[fault.start : fault.end] == "bent knees"


def test_a_question_that_tells_its_answer_is_a_fault_of_the_question() -> None:
    faults = form_faults(talk("What is the running man doing?", "The man is running."), kind="conversation")
    assert only(faults, "question_gives_answer").turn == 0


def test_a_detailed_instruction_may_ask_for_what_it_names() -> None:
    line = "Describe the people and what they do with their hands."
    assert reasons(line, ANSWER + " " + "The dog sits in front of him and looks back.", kind="detailed") == set()


def test_reasons_have_one_sentence_each() -> None:
    faults = form_faults(talk("Who is it? Where is he?", "**He** is on the"), kind="detailed")
    assert {fault.reason for fault in faults} == {"several_questions", "markdown", "truncated", "too_short"}
    for fault in faults:
        assert not fault.detail.endswith(".")
        assert "\n" not in fault.detail
    assert all(first.turn <= second.turn for first, second in pairwise(faults))


@pytest.mark.parametrize("text", ["Jean-Claude Van Damme", "Santa Monica", "Ibuprofen", "12", "No", "Arsenal FC"])
def test_names_and_numbers_are_no_other_language(text: str) -> None:
    assert is_english(text)
