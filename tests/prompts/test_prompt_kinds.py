"""What holds for every kind: messages, goldens, versions, round trips and hostile replies.

Renew the golden files with ``KPRAY_UPDATE_GOLDEN=1 pytest tests/prompts/test_prompt_kinds.py`` and read the diff.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kpray.prompts import KINDS, ParseFailure, Prompt, conversation, detailed, reasoning, wording
from kpray.prompts.context import render_context
from kpray.schemas import KIND_NAMES, KindName, QuestionAnswer, Scene

GOLDEN = Path(__file__).parents[1] / "golden" / "prompts"
LARGE = 100_000

every_kind = pytest.mark.parametrize("kind", KIND_NAMES)
both_contracts = pytest.mark.parametrize("structured", [True, False], ids=["json", "text"])


def render(kind: KindName, scene: Scene, structured: bool = True, seed: int = 0) -> Prompt:
    return KINDS[kind].render(scene, seed=seed, structured=structured, max_context_chars=LARGE)


def test_every_kind_is_registered_under_its_name() -> None:
    assert tuple(KINDS) == KIND_NAMES
    assert all(kind.name == name for name, kind in KINDS.items())


@every_kind
@both_contracts
def test_prompt_matches_golden(kind: KindName, structured: bool, scene: Scene) -> None:
    rendered = "\n".join(f"[{m.role}]\n{m.content}\n" for m in render(kind, scene, structured).messages)
    golden = GOLDEN / f"{kind}.{'json' if structured else 'text'}.txt"
    if os.environ.get("KPRAY_UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(rendered, encoding="utf-8")
    assert rendered == golden.read_text(encoding="utf-8")


@every_kind
@both_contracts
def test_only_the_last_message_depends_on_the_scene(kind: KindName, structured: bool, scene: Scene) -> None:
    one = render(kind, scene, structured).messages
    other = render(kind, wording.example_scenes()["cafe"], structured).messages
    roles = [m.role for m in one]
    assert roles == ["system", *["user", "assistant"] * (len(roles) // 2 - 1), "user"]
    assert len(roles) >= 6
    assert one[:-1] == other[:-1]
    assert one[-1].content.startswith(render_context(scene, max_chars=LARGE).text)


@every_kind
def test_keypoints_reach_the_teacher_in_every_kind(kind: KindName, scene: Scene) -> None:
    assert "keypoints: [0.0, 0.0, 0, " in render(kind, scene).messages[-1].content


@every_kind
def test_schema_is_strict_and_only_there_when_the_server_enforces_it(kind: KindName, scene: Scene) -> None:
    schema = render(kind, scene, structured=True).response_schema
    assert render(kind, scene, structured=False).response_schema is None
    assert schema is not None
    for node in objects_of(dict(schema)):
        assert node["additionalProperties"] is False
        assert node["required"] == list(node["properties"])


def objects_of(node: Any) -> list[dict[str, Any]]:
    if not isinstance(node, dict):
        return []
    return [node] * (node.get("type") == "object") + [o for child in node.values() for o in objects_of(child)]


@every_kind
def test_context_limit_reaches_the_prompt(kind: KindName, scene: Scene) -> None:
    prompt = KINDS[kind].render(scene, seed=0, structured=True, max_context_chars=0)
    assert prompt.dropped == ("objects=2", "people=1")
    assert "baseball bat" not in prompt.messages[-1].content


def test_versions_differ_between_kinds_and_contracts(scene: Scene) -> None:
    versions = {KINDS[kind].version(structured=s) for kind in KIND_NAMES for s in (True, False)}
    assert len(versions) == 2 * len(KIND_NAMES)
    assert all(re.fullmatch(r"[0-9a-f]{12}", version) for version in versions)
    assert render("detailed", scene).version == KINDS["detailed"].version(structured=True)


def versions_with(changed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[KindName, str]:
    """Versions of all kinds when some wording files read differently."""
    modules = (conversation, detailed, reasoning)
    original = wording.read_text
    with monkeypatch.context() as patch:
        patch.setattr(wording, "read_text", lambda name: changed.get(name) or original(name))
        for cached in (detailed.instructions, *(f for m in modules for f in (m._constant, m._version))):
            cached.cache_clear()
        versions = {kind: KINDS[kind].version(structured=True) for kind in KIND_NAMES}
    for cached in (detailed.instructions, *(f for m in modules for f in (m._constant, m._version))):
        cached.cache_clear()
    return versions


@pytest.mark.parametrize(
    ("file", "changed_kinds"),
    [
        ("conversation.md", {"conversation"}),
        ("detailed.md", {"detailed"}),
        ("reasoning.md", {"reasoning"}),
        ("instructions.txt", {"detailed"}),
        ("shared.md", set(KIND_NAMES)),
    ],
)
def test_version_follows_the_wording_files(file: str, changed_kinds: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = versions_with({}, monkeypatch)
    after = versions_with({file: "One more line.\n" + wording.read_text(file)}, monkeypatch)
    assert {kind for kind in KIND_NAMES if before[kind] != after[kind]} == changed_kinds


def test_instruction_is_drawn_by_seed_and_scene_only(scene: Scene) -> None:
    first = render("detailed", scene, seed=3)
    assert render("detailed", scene, seed=3) == first
    assert first.instruction in detailed.instructions()
    assert first.messages[-1].content.endswith(f"\n\nInstruction: {first.instruction}")
    drawn = {detailed.draw_instruction(str(i), seed=0) for i in range(1_000)}
    assert drawn == set(detailed.instructions())
    moved = sum(
        detailed.draw_instruction(str(i), seed=0) != detailed.draw_instruction(str(i), seed=1) for i in range(200)
    )
    assert moved > 150


def test_instruction_is_the_same_in_another_process() -> None:
    code = "from kpray.prompts.detailed import draw_instruction as d; print(*(d(str(i), seed=7) for i in range(20)))"
    env = {**os.environ, "PYTHONHASHSEED": "12345"}
    printed = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == " ".join(detailed.draw_instruction(str(i), seed=7) for i in range(20))


def test_there_are_enough_different_instructions() -> None:
    assert len(set(detailed.instructions())) == len(detailed.instructions()) >= 20


def test_conversation_and_reasoning_fix_no_instruction(scene: Scene) -> None:
    assert render("conversation", scene).instruction is None
    assert render("reasoning", scene).instruction is None


def test_rendering_costs_little_besides_the_context(scene: Scene) -> None:
    bare = Scene("1", "1.jpg", "", 1, 1, None, ("A man.",), (), ())
    kind = KINDS["detailed"]
    kind.render(bare, seed=0, structured=True, max_context_chars=LARGE)
    best = min(timed(lambda: kind.render(bare, seed=0, structured=True, max_context_chars=LARGE)) for _ in range(50))
    assert best < 0.0002


def timed(action: Any) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def test_parse_failure_survives_pickling() -> None:
    failure = pickle.loads(pickle.dumps(ParseFailure("no_answer", "the last question has no answer")))
    assert (failure.reason, failure.detail) == ("no_answer", "the last question has no answer")


# Text that holds none of the marks of the two contracts.
WORDS = st.text(
    st.characters(exclude_characters="{}[]:：`=_*-\r", exclude_categories=("Cc", "Cs")), min_size=1, max_size=40
)
LINES = st.lists(WORDS, min_size=1, max_size=3).map("\n".join).map(str.strip).filter(bool)
PAIRS = st.lists(st.builds(QuestionAnswer, LINES, LINES), min_size=1, max_size=6)


@given(PAIRS, st.booleans())
def test_conversation_round_trip(pairs: list[QuestionAnswer], structured: bool) -> None:
    written = KINDS["conversation"].write(tuple(pairs), structured=structured)
    assert KINDS["conversation"].parse(written, instruction=None) == tuple(pairs)


@given(st.builds(QuestionAnswer, LINES, LINES), st.sampled_from(["detailed", "reasoning"]), st.booleans())
def test_single_answer_round_trip(pair: QuestionAnswer, kind: KindName, structured: bool) -> None:
    written = KINDS[kind].write((pair,), structured=structured)
    assert KINDS[kind].parse(written, instruction=pair.question) == (pair,)


FRAGMENTS = st.sampled_from(
    [
        "{", "}", "[", "]", '"', "“", "”", "'", ",", ":", "\n", "\r\n", " ", "===", "---", "```", "```json\n", "**",
        "Question", "Answer:", "question:", "Q1:", "A:", "Description:", '"question"', '"answer"', '"turns"',
        '"description"', '{"question": "Who?", "answer": "A man."}', '{"turns": [', "\\", "\\ud800", "\x00", "1e999",
        "Is he standing?", "Yes.", "null", "9" * 50, "[[", '{"a":',
    ]
)  # fmt: skip
HOSTILE = st.one_of(st.text(), st.lists(FRAGMENTS, max_size=14).map("".join))


def read_or_refuse(kind: KindName, text: str) -> tuple[QuestionAnswer, ...] | None:
    try:
        return KINDS[kind].parse(text, instruction="Describe the people.")
    except ParseFailure as failure:
        if not re.fullmatch(r"[a-z_]+", failure.reason) or not failure.detail:
            raise AssertionError("a refusal needs a stable reason and a detail") from failure
        return None


@given(HOSTILE, st.sampled_from(KIND_NAMES))
@example("[" * 100_000, "conversation")
@example('{"a":' * 100_000, "detailed")
@example('{"description": ' + "9" * 5_000 + "}", "detailed")
@example('{"description": "' + "\\" * 10_001, "detailed")
@example("{“" * 20_000, "reasoning")
@example("{" + " " * 50_000, "reasoning")
@example('["' + " ," * 30_000, "reasoning")
@example("\ud800", "conversation")
def test_any_reply_is_read_or_refused(text: str, kind: KindName) -> None:
    answers = read_or_refuse(kind, text)
    if answers is None:
        return
    assert answers
    for pair in answers:
        assert pair.question == pair.question.strip() != ""
        assert pair.answer == pair.answer.strip() != ""
        json.dumps([pair.question, pair.answer], ensure_ascii=False).encode()


@given(PAIRS, st.sampled_from(KIND_NAMES), st.data())
def test_json_cut_anywhere_is_refused(pairs: list[QuestionAnswer], kind: KindName, data: st.DataObject) -> None:
    answers = tuple(pairs) if kind == "conversation" else (pairs[0],)
    written = KINDS[kind].write(answers, structured=True)
    cut = data.draw(st.integers(0, len(written) - 1))
    with pytest.raises(ParseFailure):
        KINDS[kind].parse(written[:cut], instruction="Describe the people.")
