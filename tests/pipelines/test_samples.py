from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from kpray.pipelines.recipe import Recipe
from kpray.pipelines.samples import Asked, rejected_to_table, samples_to_table, to_samples
from kpray.schemas import KIND_NAMES, KindName, Rejected, Reply, Sample, Sampling

CONVERSATION = json.dumps(
    {"turns": [{"question": "Who is here?", "answer": "One man."}, {"question": "Is he seated?", "answer": "No."}]}
)
REASONING = json.dumps({"question": "Why lean?", "answer": "To keep balance."})


def recipe(turns: Any = "single") -> Recipe:
    versions = dict.fromkeys(KIND_NAMES, "abc")
    return Recipe(KIND_NAMES, turns, 0, 10_000, True, "openai/gpt-4o", False, Sampling(), versions)


def asked(kind: KindName, text: str | None, *, finish_reason: str = "stop", error: str | None = None) -> Asked:
    reply = None if text is None else Reply("r1", text, finish_reason, None, None, 0.1, "m", "t", error)
    instruction = "Describe the pose." if kind == "detailed" else None
    return Asked(
        kind, "7", "000000000007.jpg", "r1", instruction, ("objects=2",), reply, error if reply is None else None
    )


def kept(kind: KindName, text: str, turns: Any = "single") -> list[Sample]:
    samples = to_samples(asked(kind, text), recipe(turns))
    assert isinstance(samples, list)
    return samples


def test_single_turns_make_a_record_of_each_exchange() -> None:
    samples = kept("conversation", CONVERSATION)
    assert [s.sample_id for s in samples] == ["7-conversation-0", "7-conversation-1"]
    assert [[(t.role, t.value) for t in s.conversations] for s in samples] == [
        [("human", "<image>\nWho is here?"), ("gpt", "One man.")],
        [("human", "<image>\nIs he seated?"), ("gpt", "No.")],
    ]


def test_multi_turns_make_one_record_with_one_image() -> None:
    (sample,) = kept("conversation", CONVERSATION, "multi")
    assert sample.sample_id == "7-conversation"
    values = [turn.value for turn in sample.conversations]
    assert values == ["<image>\nWho is here?", "One man.", "Is he seated?", "No."]


def test_a_description_answers_the_instruction_that_was_drawn() -> None:
    (sample,) = kept("detailed", json.dumps({"description": "A man stands. His arms hang down."}))
    assert sample.conversations[0].value == "<image>\nDescribe the pose."
    assert sample.conversations[1].value == "A man stands. His arms hang down."


def test_lineage_leads_back_to_the_reply_and_says_what_was_dropped() -> None:
    (sample,) = kept("reasoning", REASONING)
    lineage = sample.lineage
    assert (lineage.request_id, lineage.teacher, lineage.prompt_version) == ("r1", "openai/gpt-4o", "abc")
    assert lineage.dropped == ("objects=2",)


@pytest.mark.parametrize(
    ("item", "stage", "reason", "detail"),
    [
        (asked("reasoning", None, error="busy"), "teacher", "no_reply", "busy"),
        (asked("reasoning", None), "teacher", "no_reply", "the request was not sent"),
        (asked("reasoning", '{"que', finish_reason="length"), "teacher", "truncated", "token limit"),
        (asked("reasoning", "", finish_reason="refusal", error="I can't."), "teacher", "refused", "I can't."),
        (asked("reasoning", "", finish_reason="content_filter"), "teacher", "filtered", "content filter"),
        (asked("reasoning", "", finish_reason="error", error="bad schema"), "teacher", "request_refused", "bad schema"),
    ],
)
def test_unusable_replies_are_rejected_with_their_reason(item: Asked, stage: str, reason: str, detail: str) -> None:
    rejected = to_samples(item, recipe())
    assert isinstance(rejected, Rejected)
    assert (rejected.scene_id, rejected.kind, rejected.request_id) == ("7", "reasoning", "r1")
    assert (rejected.stage, rejected.reason) == (stage, reason)
    assert detail in rejected.detail


def test_a_reply_that_cannot_be_read_is_rejected_with_what_was_seen() -> None:
    rejected = to_samples(asked("conversation", "I would rather talk about the weather."), recipe())
    assert isinstance(rejected, Rejected)
    assert rejected.stage == "parse"
    assert rejected.reason
    assert rejected.seen == "I would rather talk about the weather."


def test_tables_hold_every_field() -> None:
    samples = kept("conversation", CONVERSATION)
    rows = samples_to_table(samples).to_pylist()
    assert rows[1] == {
        "sample_id": "7-conversation-1",
        "scene_id": "7",
        "image": "000000000007.jpg",
        "conversations": [{"from": "human", "value": "<image>\nIs he seated?"}, {"from": "gpt", "value": "No."}],
        "lineage": {
            "request_id": "r1",
            "teacher": "openai/gpt-4o",
            "prompt_version": "abc",
            "dropped": ["objects=2"],
            "repairs": "",
        },
        "claims": [],
        "faults": [],
    }
    reject = Rejected("7", "detailed", "r1", "parse", "empty", "nothing there", "")
    assert rejected_to_table([reject]).to_pylist() == [
        {
            "scene_id": "7",
            "kind": "detailed",
            "request_id": "r1",
            "stage": "parse",
            "reason": "empty",
            "detail": "nothing there",
            "seen": "",
            "conversations": [],
            "claims": [],
            "faults": [],
        }
    ]
    assert isinstance(rejected_to_table([]), pa.Table)
