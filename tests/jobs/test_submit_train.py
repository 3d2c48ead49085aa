"""`ray job submit` of a training run on an object store: its log is followed, and one that is stopped goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("deepspeed")
pytest.importorskip("ray.train")

from ray_head import ROOT, Head

from kpray import storage
from kpray.training.checkpoints import newest_checkpoint
from kpray.training.export import export
from kpray.training.metrics import log_folder, read_metrics

sys.path.append(str(ROOT / "tests" / "training"))
from tiny_families import tiny
from toy_data import write_toy_data

pytestmark = pytest.mark.ray

RECORDS, EPOCHS = 40, 40


def train(folder: Path, out: str) -> list[str]:
    """The job; in float32, a checkpoint every 20 of some 160 steps."""
    paths = {"data": folder / "data.json", "images": folder, "model": folder / "model", "out": out}
    settings = {
        "data.max_length": 256,
        "model.dtype": "float32",
        "optim.batch_size": 1,
        "optim.epochs": EPOCHS,
        "optim.max_steps": "null",
        "checkpoint.every_steps": 20,
    }
    flags = [part for name, value in paths.items() for part in (f"--{name}", str(value))]
    flags += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return ["python", "jobs/train.py", "--config", "jobs/configs/train.yaml", *flags]


def started(head: Head, job: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as stream:
        command = head.submission(*job, name="stopped")
        return subprocess.Popen(command, env=head.environment, cwd=ROOT, stdout=stream, stderr=stream)


def wait_for_a_checkpoint(out: str, job: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    while newest_checkpoint(out) is None:
        assert job.poll() is None, f"the job ended before that:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"the job stands still:\n{log.read_text()}"
        time.sleep(0.1)


def test_a_job_that_is_stopped_goes_on_when_it_is_submitted_again(head: Head, s3_url: str, tmp_path: Path) -> None:
    write_toy_data(tmp_path / "data", RECORDS)
    for part in tiny("llava"):
        part.save_pretrained(tmp_path / "data" / "model")
    out = storage.join(s3_url, "submitted")
    job = train(tmp_path / "data", out)

    first = started(head, job, tmp_path / "first.log")
    wait_for_a_checkpoint(out, first, tmp_path / "first.log")
    head.stop_job("stopped")
    first.wait(120)  # with 0: to Ray, a job that was stopped has not failed
    assert "was stopped" in (tmp_path / "first.log").read_text()
    assert "step 1/" in (tmp_path / "first.log").read_text()
    done = len(read_metrics(out))

    again = head.submit(*job, "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    summary = next(json.loads(line) for line in again.stdout.splitlines() if line.startswith('{"status"'))
    assert done < summary["steps"], "it was stopped too late to show anything"
    sessions = json.loads(storage.read_bytes(storage.join(out, "run.json")))["sessions"]
    assert [one["from_step"] > 0 for one in sessions] == [False, True]
    assert [one.step for one in read_metrics(out)] == list(range(1, summary["steps"] + 1))
    assert set(seen(out).values()) == {EPOCHS}
    assert len(seen(out)) == RECORDS

    export(out, str(tmp_path / "model"))
    assert (tmp_path / "model" / "model.safetensors").stat().st_size > 100_000
    assert "test:test" not in (tmp_path / "model" / "lineage.json").read_text(), "the key of the object store"


def seen(out: str) -> Counter[str]:
    """How often each record was trained on."""
    names = [name for name in storage.list_files(log_folder(out)) if name.startswith("steps-rank")]
    lines = [line for name in names for line in storage.read_bytes(storage.join(log_folder(out), name)).splitlines()]
    return Counter(record_id for line in lines for record_id in json.loads(line)["record_ids"])
