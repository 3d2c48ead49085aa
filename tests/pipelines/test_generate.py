"""`kpray generate` from end to end, on a real Ray cluster."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from generate_run import SMALL, Run, openai_flags, walk
from openai_server import OpenAIServer

from kpray import storage
from kpray.cli import run

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


def test_synthetic_scenes_become_a_dataset(job: Run) -> None:
    assert job("--set", "synthetic.images=true") == 0
    assert job.summary["status"] == "complete"
    records = job.llava
    assert len({record["id"] for record in records}) == len(records) == sum(job.summary["samples"].values())
    kinds = Counter(record["id"].split("-")[1] for record in records)
    assert kinds == job.summary["samples"]
    assert kinds["detailed"] == kinds["reasoning"] == job.summary["scenes"]
    for record in records:
        assert (job.folder / "coco" / "images" / record["image"]).is_file()
        turns = record["conversations"]
        assert [turn["from"] for turn in turns] == ["human", "gpt"]
        assert turns[0]["value"].startswith("<image>\n")
        assert turns[0]["value"].count("<image>") == 1
        assert turns[1]["value"].strip()


def test_the_samples_lead_back_to_the_ledger(job: Run) -> None:
    job()
    table = pads.dataset(job.folder / "samples", partitioning="hive").to_table()
    asked_for = {row["request_id"] for row in table["lineage"].to_pylist()}
    lines = [line for p in walk(job.folder / "ledger") for line in p.read_text().splitlines()]
    assert asked_for == {json.loads(line)["reply"]["request_id"] for line in lines}
    assert set(table["kind"].to_pylist()) == {"conversation", "detailed", "reasoning"}


def test_the_run_says_what_it_was(job: Run) -> None:
    job("--seed", "3")
    manifest = json.loads((job.folder / "run.json").read_text())
    assert manifest["config"]["seed"] == 3
    assert manifest["totals"]["requests"] == 3 * manifest["reading"]["scenes"]
    assert manifest["software"]["ray"]
    card = (job.folder / "README.md").read_text()
    for kind, count in job.summary["samples"].items():
        assert f"| {kind} | {count} |" in card
    assert all(version in card for version in manifest["identity"]["recipe"]["prompt_versions"].values())
    assert "not by a language model" in card


def test_the_same_command_again_touches_nothing(job: Run) -> None:
    job()
    before = job.times()
    assert job() == 0
    assert job.times() == before
    assert job.summary["new_replies"] == 0


def test_the_dataset_does_not_depend_on_who_makes_it(
    job: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job()
    other = Run(tmp_path / "other", capsys)
    other("--set", "teacher.in_flight=1")
    assert other.hashes() == job.hashes()


def test_a_shard_that_was_lost_is_made_again_from_the_ledger(job: Run) -> None:
    job()
    before = job.hashes()
    (job.folder / "completions" / "shard-00001.json").unlink()
    (job.folder / "samples" / "kind=detailed" / "shard-00001.parquet").unlink()
    assert job() == 0
    assert job.summary["new_replies"] == 0
    assert job.hashes() == before


def test_kinds_turns_limit_and_exports(job: Run) -> None:
    flags = ["--kinds", "reasoning,conversation", "--turns", "multi", "--limit", "5", "--export", "sharegpt,messages"]
    assert job(*flags) == 0
    assert job.summary["samples"] == {"conversation": 5, "reasoning": 5}
    messages = [json.loads(line) for line in (job.folder / "messages.jsonl").read_text().splitlines()]
    sharegpt = json.loads((job.folder / "sharegpt.json").read_text())
    assert [m["id"] for m in messages] == [s["id"] for s in sharegpt] == [r["id"] for r in job.llava]
    assert max(len(m["messages"]) for m in messages) > 2


def test_an_export_can_be_added_later_without_asking_again(job: Run) -> None:
    job()
    before = job.times()
    assert job("--export", "messages") == 0
    after = job.times()
    assert set(after) - set(before) == {str(job.folder / "messages.jsonl")}
    assert {path: after[path] for path in before} == before


def test_other_settings_do_not_overwrite_a_dataset(job: Run) -> None:
    job()
    before = job.hashes()
    assert job("--seed", "1", "--limit", "3") == 2
    assert "other settings (limit, recipe.seed differ)" in job.summary["error"]
    assert job.hashes() == before
    assert job("--seed", "1", "--limit", "3", "--rebuild") == 0
    assert job.summary["scenes"] == 3


def test_an_image_list_counts_by_its_contents(job: Run, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("1\n2\n")
    flags = ["--set", f"scenes.image_list={listed}", "--kinds", "detailed"]
    assert job(*flags) == 0
    assert job.summary["scenes"] == 2
    listed.write_text("1\n2\n3\n")
    assert job(*flags) == 2
    assert "(image_list differ)" in job.summary["error"]


def test_every_request_is_asked_once_and_never_again(job: Run, server: OpenAIServer) -> None:
    before = server.stats().get("requests", 0)
    assert job(*openai_flags(server)) == 0
    requests = job.summary["requests"]
    assert requests == 3 * job.summary["scenes"]
    assert server.stats()["requests"] - before == requests == job.summary["new_replies"]
    assert job.summary["prompt_tokens"] > 0
    assert job.summary["usd"] is None
    assert job(*openai_flags(server)) == 0
    assert job("--rebuild", "--turns", "multi", *openai_flags(server)) == 0
    assert server.stats()["requests"] - before == requests


def test_a_reply_that_cannot_be_read_is_kept_and_counted(job: Run, server: OpenAIServer) -> None:
    server.set_faults({"match": '"name": "detailed"', "text": "Sorry, here is a poem instead {", "times": 2})
    assert job(*openai_flags(server)) == 0
    rejected = job.rejected()
    assert len(rejected) == sum(job.summary["rejected"].values()) == 2
    assert {row["kind"] for row in rejected} == {"detailed"}
    assert {row["seen"] for row in rejected} == {"Sorry, here is a poem instead {"}
    asked = server.stats()["requests"]
    assert job("--rebuild", "--turns", "multi", *openai_flags(server)) == 0
    assert server.stats()["requests"] == asked


def test_requests_without_an_answer_are_asked_by_the_next_run_and_no_others(job: Run, server: OpenAIServer) -> None:
    server.set_faults({"status": 500, "times": 5})
    assert job(*openai_flags(server)) == 3
    assert (job.summary["status"], job.summary["unanswered"]) == ("incomplete", 5)
    assert job.summary["rejected"] == {"no_reply": 5}
    asked = server.stats()["requests"]
    assert job(*openai_flags(server)) == 0
    assert (job.summary["status"], job.summary["unanswered"], job.summary["rejected"]) == ("complete", 0, {})
    assert server.stats()["requests"] - asked == 5


def test_a_used_up_quota_stops_at_once_and_loses_nothing(job: Run, server: OpenAIServer) -> None:
    server.set_faults({"match": "conversation", "status": 429, "code": "insufficient_quota", "times": 99})
    before = server.stats()
    assert job(*openai_flags(server, "teacher.in_flight=1"), "--kinds", "detailed,conversation") == 1
    assert "insufficient_quota" in job.summary["error"]
    stopped = server.stats()
    answered = stopped["answered"] - before.get("answered", 0)
    assert answered >= 1
    assert stopped["requests"] - before.get("requests", 0) <= answered + 2
    server.set_faults()
    assert job(*openai_flags(server, "teacher.in_flight=1"), "--kinds", "detailed,conversation") == 0
    assert server.stats()["answered"] - before.get("answered", 0) == job.summary["requests"]


def test_a_wrong_key_is_found_before_anything_is_asked(
    job: Run, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-canary")
    before = server.stats().get("requests", 0)
    assert job(*openai_flags(server)) == 1
    assert "refuses the key" in job.summary["error"]
    assert not (job.folder / "scenes").exists()  # nor has anything been read for nothing
    assert server.stats().get("requests", 0) == before
    texts = [p.read_bytes() for p in walk(job.folder)]
    assert not any(b"canary" in text for text in texts)


def test_scenes_are_parquet_that_anything_reads(job: Run) -> None:
    job()
    table = pads.dataset(job.folder / "scenes", format="parquet").to_table()
    assert table.num_rows == job.summary["scenes"]
    assert pq.read_metadata(job.folder / "scenes" / "shard-00000.parquet").num_rows == 4


def test_a_run_may_lie_on_s3(tmp_path: Path, s3_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = storage.join(s3_url, tmp_path.name)
    command = ["generate", "--out", out, "--json", *SMALL, "--set", "synthetic.images=true"]
    assert run(command) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["new_replies"] == summary["requests"] == 3 * summary["scenes"]
    records = json.loads(storage.read_bytes(storage.join(out, "llava.json")))
    assert len(records) == sum(summary["samples"].values())
    assert storage.exists(storage.join(out, "coco", "images", records[0]["image"]))
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["new_replies"] == 0


def test_images_that_are_not_where_they_should_be(job: Run, tmp_path: Path) -> None:
    job("--set", "synthetic.images=true")
    annotations = job.folder / "coco" / "annotations"
    flags = ["--captions", str(annotations / "captions_synthetic.json")]
    flags += ["--keypoints", str(annotations / "person_keypoints_synthetic.json"), "--set", "shard_size=4"]
    empty, some = tmp_path / "empty", tmp_path / "some"
    empty.mkdir()
    assert run(["generate", *flags, "--images", str(empty), "--out", str(tmp_path / "none")]) == 2
    some.mkdir()
    for path in sorted((job.folder / "coco" / "images").iterdir())[1:]:
        (some / path.name).write_bytes(path.read_bytes())
    assert run(["generate", *flags, "--images", str(some), "--out", str(tmp_path / "most")]) == 0
    missing = pads.dataset(tmp_path / "most" / "rejected").to_table().to_pylist()
    assert [(row["scene_id"], row["stage"], row["reason"]) for row in missing] == [("1", "scene", "image_missing")]


def test_real_val2017(coco_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotations, out = coco_folder / "annotations", tmp_path / "run"
    files = {
        "--captions": annotations / "captions_val2017.json",
        "--keypoints": annotations / "person_keypoints_val2017_rebuilt.json",
        "--instances": annotations / "instances_val2017_subset.json",
    }
    flags = [str(part) for pair in files.items() for part in pair]
    assert run(["generate", *flags, "--out", str(out), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["scenes"], summary["requests"]) == (2346, 3 * 2346)
    # What the embedded teacher writes of people of whom little is labelled is short, and never untrue to the labels.
    assert set(summary["rejected"]) == {"too_short"}
    assert sum(summary["rejected"].values()) < 0.03 * summary["scenes"]
    records = json.loads((out / "llava.json").read_text())
    assert len({record["id"] for record in records}) == len(records)
    leaks = re.compile(r"keypoint|bounding box|coordinate|annotation|caption|\d\.\d", re.IGNORECASE)
    answers = [record["conversations"][1]["value"] for record in records]
    assert [answer for answer in answers if leaks.search(answer)] == []
