"""Whether a conversation has the form that its kind asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from kpray.quality.endings import cut_off
from kpray.quality.findings import Found, as_faults, quoted
from kpray.quality.language import foreign_parts
from kpray.quality.markup import markup
from kpray.quality.questions import (
    gives_answer,
    repeats_itself,
    repeats_question,
    reveals_details,
    same_words,
    several_questions,
)
from kpray.quality.refusals import refusals
from kpray.schemas import IMAGE_TOKEN, Fault, KindName, Turn


class Limits(NamedTuple):
    """How many words a question and an answer may have, both ends included."""

    question: tuple[int, int]
    answer: tuple[int, int]


LIMITS: Final[Mapping[KindName, Limits]] = {
    "conversation": Limits(question=(2, 50), answer=(1, 90)),
    "detailed": Limits(question=(3, 60), answer=(15, 450)),
    "reasoning": Limits(question=(4, 50), answer=(20, 400)),
}
"""The prompts ask for one or two sentences, 100 to 300 and 80 to 250 words. Models keep to that roughly, and a
picture may support less: the embedded teacher writes 20 words about a person of whom little is labelled. So only
what is far outside is refused."""

_MARK: Final = re.compile(re.escape(IMAGE_TOKEN))


def form_faults(
    turns: Sequence[Turn], *, kind: KindName | None, limits: Mapping[KindName, Limits] = LIMITS
) -> list[Fault]:
    """Everything that is wrong with the form of a conversation.

    Args:
        turns: Human and gpt in turn.
        kind: None for a record whose kind is not known: then lengths and what only one kind forbids are not checked.
        limits: By kind.
    """
    faults: list[Fault] = []
    seen: dict[str, set[str]] = {"human": set(), "gpt": set()}
    for index, turn in enumerate(turns):
        faults += as_faults("form", turns, index, _of_order(turns, index))
        faults += as_faults("form", turns, index, _of_marks(turn, index, foreign=kind is None))
        start, body = _body(turn)
        asked_at, question = _body(turns[index - 1]) if turn.role == "gpt" and index else (0, "")
        found = _of_body(turn, body, question, kind, limits, seen[turn.role])
        faults += as_faults("form", turns, index, (_moved(each, start) for each in found))
        if question and kind != "detailed":
            # A question that tells its answer is a fault of the question's turn.
            told = (_moved(each, asked_at) for each in gives_answer(question, body))
            faults += as_faults("form", turns, index - 1, told)
    return faults


def _of_order(turns: Sequence[Turn], index: int) -> Iterator[Found]:
    expected = "gpt" if index % 2 else "human"
    if turns[index].role != expected:
        yield Found("turn_order", 0, 0, f"stands where one from {expected} must; questions and answers must alternate")
    elif index == len(turns) - 1 and expected == "human":
        yield Found("turn_order", 0, 0, "has no answer; every question needs one")


def _of_marks(turn: Turn, index: int, *, foreign: bool) -> Iterator[Found]:
    end = len(turn.value.rstrip())
    for match in _MARK.finditer(turn.value):
        # LLaVA's own data has the mark before or after the first question.
        allowed = index == 0 and (match.start() == 0 or (foreign and match.end() == end))
        if not allowed:
            detail = f'holds "{IMAGE_TOKEN}", which may only stand at the start of the first question'
            yield Found("misplaced_image", match.start(), match.end(), detail)


def _of_body(
    turn: Turn,
    body: str,
    question: str,
    kind: KindName | None,
    limits: Mapping[KindName, Limits],
    seen: set[str],
) -> Iterator[Found]:
    if not body.strip():
        yield Found("empty_turn", 0, len(body), "is empty; write it")
        return
    yield from _again(turn.role, body, seen)
    if kind is not None:
        bounds = limits[kind].answer if turn.role == "gpt" else limits[kind].question
        yield from _length(body, bounds)
    yield from markup(body)
    yield from foreign_parts(body)
    yield from cut_off(body, strict=turn.role == "gpt")
    yield from _of_answer(question, body) if turn.role == "gpt" else _of_question(body, kind)


def _of_answer(question: str, answer: str) -> Iterator[Found]:
    yield from refusals(answer)
    yield from repeats_question(question, answer)
    yield from repeats_itself(answer)


def _of_question(question: str, kind: KindName | None) -> Iterator[Found]:
    yield from several_questions(question)
    if kind == "reasoning":
        yield from reveals_details(question)


def _again(role: str, body: str, seen: set[str]) -> Iterator[Found]:
    words = same_words(body)
    if words in seen and words.count(" ") >= (4 if role == "gpt" else 1):
        yield Found("repeated_turn", 0, len(body), f"stands there twice ({quoted(body)}); no two may be the same")
    seen.add(words)


def _length(body: str, bounds: tuple[int, int]) -> Iterator[Found]:
    words = len(body.split())
    if words < bounds[0]:
        yield Found("too_short", 0, len(body), f"has {words} words; write at least {bounds[0]}")
    elif words > bounds[1]:
        yield Found("too_long", 0, len(body), f"has {words} words; write at most {bounds[1]}")


def _body(turn: Turn) -> tuple[int, str]:
    """What a turn says, and where that starts; the mark of the picture around it is no part of it."""
    start = len(IMAGE_TOKEN) if turn.value.startswith(IMAGE_TOKEN) else 0
    start += turn.value.startswith("\n", start)
    return start, turn.value[start:].rstrip().removesuffix(IMAGE_TOKEN).rstrip()


def _moved(found: Found, by: int) -> Found:
    return found._replace(start=found.start + by, end=found.end + by)
