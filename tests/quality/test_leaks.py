from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray.quality.form import form_faults
from kpray.quality.leaks import leak_faults
from kpray.schemas import Turn

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "text_checks.py"


def load_benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("text_checks", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BOTH_HALVES = pytest.mark.parametrize("held_out", [False, True], ids=["tuned", "held-out"])


@BOTH_HALVES
def test_labelled_sentences_are_judged_as_labelled(held_out: bool) -> None:
    benchmark = load_benchmark()
    entries = [entry for entry in benchmark.read_labelled() if entry.held_out == held_out]
    over_all = benchmark.score(entries)["all"]
    mistakes = [(entry.reason, entry.text, sorted(reasons)) for entry, reasons in benchmark.wrong(entries)]
    assert len(entries) >= 200
    assert over_all.precision >= 0.98, mistakes
    assert over_all.recall >= 0.98, mistakes


def test_the_labelled_set_is_half_faulty_and_has_no_sentence_twice() -> None:
    entries = load_benchmark().read_labelled()
    faulty = sum(entry.faulty for entry in entries)
    assert len(entries) >= 400
    assert 0.45 <= faulty / len(entries) <= 0.55
    assert len({entry.turns for entry in entries}) == len(entries)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("According to the keypoints, the left arm is raised.", "mentions_keypoints"),
        ("The key-points of the man lie close together.", "mentions_keypoints"),
        ("Her bounding box is the largest.", "mentions_boxes"),
        ("The coordinates suggest that he leans.", "mentions_coordinates"),
        ("The wrist is at (0.512, 0.334).", "states_coordinates"),
        ("The annotation says that there is a ball.", "mentions_annotations"),
    ],
)
def test_what_gives_the_source_away_is_named(text: str, name: str) -> None:
    assert {fault.reason for fault in leak_faults([Turn("gpt", text)])} == {name}


@pytest.mark.parametrize(
    "text",
    [
        "The key point of the exercise is balance.",
        "Two boxers face each other in a boxing ring.",
        "He coordinates the team from the side of the field.",
        "Number 23 jumps for the ball; the score is 3.5.",
    ],
)
def test_ordinary_sentences_are_no_leaks(text: str) -> None:
    assert leak_faults([Turn("gpt", text)]) == []


def test_every_leak_is_found_in_its_turn_and_place() -> None:
    turns = [
        Turn("human", "<image>\nWhat do the keypoints of the man show?"),
        Turn("gpt", "He stands. The keypoints show that, and the bounding box does."),
    ]
    faults = leak_faults(turns)
    assert [(f.turn, f.reason, turns[f.turn].value[f.start : f.end]) for f in faults] == [
        (0, "mentions_keypoints", "keypoints"),
        (1, "mentions_keypoints", "keypoints"),
        (1, "mentions_boxes", "bounding box"),
    ]
    assert faults[0].detail.startswith('the question mentions "keypoints"')
    assert faults[2].detail.startswith('the answer mentions "bounding box"')
    assert {fault.check for fault in faults} == {"leak"}


PIECES = (
    *"\"'“(.*_#?`[<>|$0,-: \n\taA",
    "**a", "0.1,", "(1,2", "key point ", "annotated ", "what, ", "isn't ", "I'm ", "\n- ", "\n1. ", "x = ", "[a](",
    "<b ", "the box of the ", "男", "der ", "...\"", "? ", "1\"",
)  # fmt: skip
LONG = 30_000


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("end", ["", "x", "."])
def test_long_repeats_take_linear_time(piece: str, end: str) -> None:
    text = piece * (LONG // len(piece)) + end
    started = time.process_time()
    turns = [Turn("human", text), Turn("gpt", text)]
    leak_faults(turns)
    form_faults(turns, kind="reasoning")
    # A pattern that backtracks takes minutes here; this is some hundred times what is needed.
    assert time.process_time() - started < 8


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), max_size=60).map("".join))
def test_any_text_is_judged_and_faults_lie_inside_it(text: str) -> None:
    turns = [Turn("human", f"<image>\n{text}"), Turn("gpt", text)]
    faults = [*leak_faults(turns), *form_faults(turns, kind="conversation")]
    assert all(0 <= fault.start <= fault.end <= len(turns[fault.turn].value) for fault in faults)
    assert all(fault.detail.startswith(("the question ", "the answer ")) for fault in faults)
    assert faults == [*leak_faults(turns), *form_faults(turns, kind="conversation")]
