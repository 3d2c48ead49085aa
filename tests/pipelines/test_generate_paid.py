"""`kpray generate` with a teacher that costs money: budgets, limits, breakers, shared ledgers, batches."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from generate_run import UNCHECKED, Run, openai_flags, walk
from openai_batches import BatchServer
from openai_server import KEY, OpenAIServer

from kpray.cli import run

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]

PRICED = ["teacher.price.prompt=2.5", "teacher.price.completion=10"]


def test_a_run_ends_within_its_budget_and_goes_on_with_a_larger_one(job: Run, server: OpenAIServer) -> None:
    before = server.stats().get("answered", 0)
    flags = openai_flags(server, *PRICED, "teacher.sampling.max_tokens=200", "teacher.in_flight=4")
    assert job(*flags, "--max-usd", "0.1") == 3
    spending = job.summary["spending"]
    assert 0.08 < spending["spent_usd"] <= 0.1
    assert spending["remaining_usd"] == pytest.approx(0.1 - spending["spent_usd"])
    assert spending["projected_usd"] > 0.1
    sent = server.stats()["answered"] - before
    assert job.summary["rejected"] == {"budget_spent": job.summary["requests"] - sent}
    assert len(job.llava) == sum(job.summary["samples"].values()) > 0

    assert job(*flags, "--max-usd", "5") == 0
    assert job.summary["spending"]["spent_usd"] == pytest.approx(job.summary["usd"])
    assert server.stats()["answered"] - before == job.summary["requests"]
    assert job.summary["spending"]["projected_usd"] == pytest.approx(job.summary["usd"])


def test_a_budget_needs_a_price(job: Run, server: OpenAIServer) -> None:
    assert job(*openai_flags(server), "--max-usd", "1") == 2
    assert "needs the price of gpt-4o" in job.summary["error"]
    assert not (job.folder / "scenes").exists()


def test_useless_replies_stop_the_run_and_are_shown(job: Run, server: OpenAIServer) -> None:
    server.set_faults({"text": "As an AI I would rather write a poem {", "times": 9999})
    before = server.stats().get("answered", 0)
    flags = openai_flags(server, "teacher.in_flight=4", "synthetic.count=60")
    assert job(*flags) == 1
    assert "the first 5" in job.summary["error"]
    assert job.summary["error"].count("rather write a poem") == 3
    assert server.stats()["answered"] - before < 100
    server.set_faults()
    assert job(*flags) == 0  # the useless replies were paid for: they stay, rejected
    assert job.summary["rejected"]["not_json_or_blocks"] >= 50


def test_leaking_replies_stop_the_run(job: Run, server: OpenAIServer) -> None:
    leak = json.dumps({"description": "The keypoints show that the left arm of the man is raised."})
    server.set_faults({"text": leak, "times": 9999})
    flags = openai_flags(server, "teacher.in_flight=4", "synthetic.count=70")
    assert job(*flags, "--kinds", "detailed", "--check", "repair") == 1
    assert "mentions_keypoints" in job.summary["error"]


def test_runs_share_a_ledger(
    job: Run, server: OpenAIServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = ["--ledger", str(tmp_path / "ledger"), *openai_flags(server, *PRICED)]
    job(*shared)
    assert not (job.folder / "ledger").exists()
    asked = server.stats()["requests"]
    other = Run(tmp_path / "other", capsys)
    assert other(*shared, "--set", "shard_size=3") == 0
    assert server.stats()["requests"] == asked
    assert sorted(r["id"] for r in other.llava) == sorted(r["id"] for r in job.llava)
    assert (other.summary["new_replies"], other.summary["spending"]["spent_usd"]) == (0, 0.0)
    assert other.summary["usd"] == pytest.approx(job.summary["spending"]["spent_usd"])


def test_errors_are_asked_again_only_when_told_so(job: Run, server: OpenAIServer) -> None:
    server.set_faults({"status": 400, "message": "content policy", "times": 3})
    flags = openai_flags(server)
    assert job(*flags) == 0
    assert job.summary["rejected"] == {"request_refused": 3}
    asked = server.stats()["requests"]
    assert job(*flags, "--rebuild") == 0
    assert server.stats()["requests"] == asked
    assert job(*flags, "--rebuild", "--set", "ask_errors_again=true") == 0
    assert server.stats()["requests"] == asked + 3
    assert job.summary["rejected"] == {}


def test_the_ledger_alone_makes_the_dataset_again(
    job: Run, server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = openai_flags(server)
    job(*flags)
    before = job.hashes()
    asked = server.stats()["requests"]
    assert run(["ledger", "compact", str(job.folder)]) == 0
    assert run(["ledger", "verify", str(job.folder)]) == 0
    assert all(path.suffix == ".parquet" for path in walk(job.folder / "ledger"))
    monkeypatch.delenv("OPENAI_API_KEY")
    assert job(*flags, "--offline", "--rebuild") == 0
    assert job.hashes() == before
    other = Run(tmp_path / "other", capsys)
    assert other(*flags, "--offline") == 3
    assert other.summary["unanswered"] == other.summary["requests"]
    assert server.stats()["requests"] == asked


def test_the_accounts_limits_are_kept_by_all_workers_together(job: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with OpenAIServer(requests_per_minute=600, burst_s=2) as limited:
        limits = "teacher.limits.requests_per_minute=540"
        assert job(*openai_flags(limited, limits, "teacher.workers=2", "teacher.retry_for_s=60")) == 0
        stats = limited.stats()
    assert stats["answered"] == job.summary["requests"]
    assert stats.get("429", 0) == 0


def test_a_server_that_is_down_for_a_while_loses_nothing(job: Run, server: OpenAIServer) -> None:
    before = server.stats().get("answered", 0)

    def take_down() -> None:
        while server.stats().get("answered", 0) < before + 5:
            time.sleep(0.02)
        server.change(down_s=3)

    server.change(latency_s=0.2)
    thread = threading.Thread(target=take_down)
    thread.start()
    assert job(*openai_flags(server, "teacher.retry_for_s=60", "teacher.in_flight=2")) == 0
    thread.join()
    server.change(latency_s=0.0)
    assert job.summary["unanswered"] == 0
    assert server.stats()["answered"] - before == job.summary["requests"]
    manifest = json.loads((job.folder / "run.json").read_text())
    assert manifest["sessions"][0]["retried"] > 0


def test_batches_make_the_dataset_at_half_the_price(job: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with BatchServer(stop_after={"lines": 4, "status": "expired", "times": 1}) as batches:
        settings = [f"teacher.base_url={batches.base_url}", "teacher.batch.poll_s=0.1", *PRICED]
        flags = [
            "--teacher",
            "openai",
            "--mode",
            "batch",
            *UNCHECKED,
            *(part for s in settings for part in ("--set", s)),
        ]
        assert job(*flags) == 0
        assert job.summary["unanswered"] == 0
        assert job.summary["new_replies"] == job.summary["requests"]
        asked = batches.stats()["lines"]
        assert job(*flags, "--rebuild", "--turns", "multi") == 0
        assert batches.stats()["lines"] == asked
    spending = job.summary["spending"]
    tokens = 2.5e-6 * job.summary["prompt_tokens"] + 1e-5 * job.summary["completion_tokens"]
    assert spending["spent_usd"] == pytest.approx(tokens / 2)


def test_a_damaged_ledger_ends_the_run_before_anything_is_bought_again(job: Run, server: OpenAIServer) -> None:
    flags = openai_flags(server)
    job(*flags)
    asked = server.stats()["requests"]
    folder = next((job.folder / "ledger").iterdir())
    (folder / "compact-1.parquet").write_bytes(b"garbage")
    assert job(*flags, "--rebuild") == 1
    assert "compact-1.parquet: it is damaged" in job.summary["error"]
    assert "Traceback" not in job.stderr
    assert server.stats()["requests"] == asked
