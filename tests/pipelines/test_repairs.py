"""What becomes of replies that give away their source or that the keypoints contradict."""

from __future__ import annotations

import json
from typing import Any

import pyarrow.dataset as pads
import pytest
from generate_run import Run, openai_flags
from openai_batches import BatchServer
from openai_server import KEY, OpenAIServer

SOUND = (
    "The light is soft and falls evenly over the whole place. The colours are calm, and the ground looks dry and "
    "level. Nothing disturbs the quiet mood of this moment, which could be early in the morning or late in the day."
)
LEAKY = f"{SOUND} The keypoints give a good idea of it all."
AGAIN = "cannot be used"
"""Stands in every request that asks again."""


def says(text: str, **more: Any) -> dict[str, Any]:
    return {"text": json.dumps({"description": text}), "times": 1_000, **more}


def flags(server: OpenAIServer, *more: str, check: str = "repair") -> list[str]:
    return [*openai_flags(server), "--kinds", "detailed", "--check", check, *more]


def asked_of(server: OpenAIServer) -> int:
    return int(server.stats().get("requests", 0))


def samples(run: Run) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pads.dataset(run.folder / "samples").to_table().to_pylist()
    return rows


@pytest.mark.ray
def test_a_reply_with_a_fault_is_asked_for_once_more_and_the_second_one_is_kept(job: Run, server: OpenAIServer) -> None:
    server.set_faults(says(SOUND, match=AGAIN), says(LEAKY, times=4), says(SOUND))
    before = asked_of(server)
    assert job(*flags(server)) == 0
    asked = job.summary["requests"]
    assert (job.summary["repairs"], job.summary["repaired"]) == (4, 4)
    assert job.summary["faults"] == {"mentions_keypoints": 4}
    assert job.summary["samples"] == {"detailed": asked}
    assert job.summary["rejected"] == {}
    assert asked_of(server) - before == asked + 4
    second = [row["lineage"] for row in samples(job) if row["lineage"]["repairs"]]
    assert len(second) == 4
    assert all(lineage["repairs"] != lineage["request_id"] for lineage in second)

    hashes = job.hashes()
    assert job(*flags(server), "--rebuild", "--offline") == 0
    assert job.hashes() == hashes
    assert asked_of(server) - before == asked + 4


@pytest.mark.ray
def test_the_fault_is_named_to_the_teacher_after_its_own_reply(job: Run, server: OpenAIServer) -> None:
    server.set_faults(says(SOUND, match=AGAIN), says(LEAKY))
    assert job(*flags(server, "--limit", "1")) == 0
    messages = server.stats()["last_body"]["messages"]
    assert [message["role"] for message in messages[-3:]] == ["user", "assistant", "user"]
    assert json.loads(messages[-2]["content"])["description"] == LEAKY
    assert "keypoints" in messages[-1]["content"]


@pytest.mark.ray
def test_what_has_a_fault_twice_is_rejected_with_its_reason(job: Run, server: OpenAIServer) -> None:
    server.set_faults(says(LEAKY, match=AGAIN), says(LEAKY, times=3), says(SOUND))
    assert job(*flags(server)) == 0
    assert (job.summary["repairs"], job.summary["repaired"]) == (3, 0)
    assert job.summary["rejected"] == {"mentions_keypoints": 3}
    assert sum(job.summary["samples"].values()) == job.summary["requests"] - 3
    rejected = job.rejected()
    assert {(row["stage"], row["reason"]) for row in rejected} == {("check", "mentions_keypoints")}
    assert all(LEAKY in row["seen"] for row in rejected)
    assert all("asked for twice" in row["detail"] for row in rejected)
    before = asked_of(server)
    assert job(*flags(server)) == 0
    assert asked_of(server) == before


@pytest.mark.ray
@pytest.mark.parametrize(("check", "kept"), [("report", True), ("reject", False)])
def test_the_other_modes_ask_nothing_again(job: Run, server: OpenAIServer, check: str, kept: bool) -> None:
    server.set_faults(says(LEAKY, times=3), says(SOUND))
    assert job(*flags(server, check=check)) == 0
    assert job.summary["repairs"] == 0
    assert job.summary["faults"] == {"mentions_keypoints": 3}
    assert job.summary["rejected"] == ({} if kept else {"mentions_keypoints": 3})
    faulty = [row for row in samples(job) if row["faults"]]
    assert len(faulty) == (3 if kept else 0)
    for row in faulty:
        (fault,) = row["faults"]
        words = row["conversations"][fault["turn"]]["value"][fault["start"] : fault["end"]]
        assert words == "keypoints"


@pytest.mark.ray
def test_a_second_attempt_without_an_answer_is_made_up_for_by_the_next_start(job: Run, server: OpenAIServer) -> None:
    server.set_faults({"match": AGAIN, "status": 500, "times": 1_000}, says(LEAKY, times=3), says(SOUND))
    assert job(*flags(server)) == 3
    assert job.summary["unanswered"] == 3
    server.set_faults(says(SOUND, match=AGAIN))
    before = asked_of(server)
    assert job(*flags(server)) == 0
    assert asked_of(server) - before == 3
    assert job.summary["samples"] == {"detailed": job.summary["requests"]}


@pytest.mark.ray
def test_in_batch_mode_a_second_batch_asks_again(job: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with BatchServer(line_faults=[in_batch(SOUND, match=AGAIN), in_batch(LEAKY, times=4), in_batch(SOUND)]) as batches:
        settings = [f"teacher.base_url={batches.base_url}", "teacher.batch.poll_s=0.1", "check.near_duplicates=null"]
        by_key = [part for setting in settings for part in ("--set", setting)]
        assert job("--teacher", "openai", "--mode", "batch", "--kinds", "detailed", *by_key) == 0
        assert (job.summary["repairs"], job.summary["repaired"]) == (4, 4)
        assert job.summary["new_replies"] == job.summary["requests"] + 4


def in_batch(text: str, **more: Any) -> dict[str, Any]:
    return {"body": {"message": {"content": json.dumps({"description": text})}}, "times": 1_000, **more}


@pytest.mark.ray
def test_what_the_keypoints_contradict_is_a_fault_of_the_reply(job: Run, server: OpenAIServer) -> None:
    lying = f"Everybody in the picture is lying flat on their back. {SOUND}"
    server.set_faults(says(SOUND, match=AGAIN), says(lying))
    assert job(*flags(server)) == 0
    found = job.summary["faults"]["contradicted"]
    assert 0 < found == job.summary["repairs"] == job.summary["repaired"]
    assert job.summary["rejected"] == {}
