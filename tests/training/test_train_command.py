"""`kpray train` from a dataset to checkpoints, and what it says before it starts anything."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("deepspeed")
pytest.importorskip("ray.train")

from tiny_families import tiny
from toy_data import write_toy_data
from transformers import AutoModelForImageTextToText

from kpray.cli import run
from kpray.training.checkpoints import newest_checkpoint
from kpray.training.metrics import read_metrics

RECORDS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset and a tiny LLaVA with its processor."""
    folder = tmp_path_factory.mktemp("train")
    write_toy_data(folder, RECORDS)
    model, processor = tiny("llava")
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    return folder


def arguments(folder: Path, out: str, **settings: Any) -> list[str]:
    given = {
        "data.max_length": 256,
        "model.dtype": "float32",
        "optim.batch_size": 1,
        "optim.accumulation": 2,
        "optim.lr": 1e-3,
        "checkpoint.every_steps": 2,
    }
    flags = [part for key, value in (given | settings).items() for part in ("--set", f"{key}={json.dumps(value)}")]
    data = ["--data", str(folder / "data.json"), "--images", str(folder), "--model", str(folder / "model")]
    return ["train", *data, "--out", str(folder / out), *flags]


def command(parts: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from kpray.cli import main; main()", *parts],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )


class Done(NamedTuple):
    """A run that came to its end."""

    out: Path
    summary: dict[str, Any]
    stderr: str


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    ended = command([*arguments(folder, "out"), "--json"])
    assert ended.returncode == 0, ended.stderr
    return Done(folder / "out", json.loads(ended.stdout.splitlines()[-1]), ended.stderr)


@pytest.mark.ray
def test_a_run_from_data_to_checkpoints(done: Done) -> None:
    assert (done.summary["status"], done.summary["records"]) == ("complete", RECORDS)
    assert math.isfinite(done.summary["last_loss"])
    newest = newest_checkpoint(str(done.out))
    assert newest is not None
    assert newest.path == done.summary["checkpoint"]
    manifest = json.loads((done.out / "run.json").read_text())
    assert manifest["sessions"][-1]["status"] == "complete"
    assert manifest["software"]["torch"]


@pytest.mark.ray
def test_every_record_is_seen_once(done: Done) -> None:
    logs = (done.out / "log").glob("steps-rank*.jsonl")
    lines = [json.loads(line) for path in logs for line in path.read_text().splitlines()]
    seen = [record_id for line in lines for record_id in line["record_ids"]]
    assert sorted(seen) == sorted(f"r{number}@{number}" for number in range(RECORDS))


@pytest.mark.ray
def test_progress_is_told_and_every_steps_work_is_logged(done: Done) -> None:
    steps = done.summary["steps"]
    assert "prepared 1/1 parts of the data" in done.stderr
    assert f"step {steps}/{steps}, loss" in done.stderr
    logged = read_metrics(str(done.out))
    assert sum(one.samples for one in logged) == RECORDS
    assert sum(one.tokens for one in logged) == done.summary["tokens"]
    # At the very least, two operations a weight of the language model and token, forward and twice that backward.
    assert all(one.flops > 6 * one.tokens * 10_000 for one in logged)
    assert all(one.mfu is None for one in logged), "nobody knows what a CPU's peak is"


@pytest.mark.ray
def test_the_model_is_exported_into_the_runs_folder(done: Done) -> None:
    assert done.summary["model"] == str(done.out / "model")
    _, info = AutoModelForImageTextToText.from_pretrained(done.out / "model", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    lineage = json.loads((done.out / "model" / "lineage.json").read_text())
    assert lineage["step"] == lineage["steps"] == done.summary["steps"]


@pytest.mark.ray
def test_the_same_command_on_a_finished_run_trains_no_more_and_exports_what_is_missing(
    done: Done, folder: Path, ray_local: None, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(done.out / "model")
    before = (done.out / "log" / "metrics.jsonl").read_bytes()
    assert run([*arguments(folder, "out"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (again["steps"], again["model"]) == (done.summary["steps"], str(done.out / "model"))
    assert (done.out / "log" / "metrics.jsonl").read_bytes() == before
    made = (done.out / "model" / "lineage.json").stat().st_mtime_ns
    assert run(arguments(folder, "out")) == 0
    assert (done.out / "model" / "lineage.json").stat().st_mtime_ns == made, "the model of this checkpoint is there"


@pytest.mark.ray
def test_other_settings_in_the_same_folder_are_refused(
    done: Done, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments(folder, "out"), "--seed", "3", "--set", "optim.lr=0.5"]) == 2
    assert "holds a training run of other settings (optim.lr, seed differ)" in capsys.readouterr().err


@pytest.mark.ray
def test_data_that_has_changed_is_refused_before_anything_is_touched(
    done: Done, folder: Path, ray_local: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def files() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in done.out.rglob("*") if path.is_file()}

    before, data = files(), (folder / "data.json").read_bytes()
    (folder / "data.json").write_bytes(data.replace(b"What is in 3?", b"What is in 4?"))
    try:
        assert run(arguments(folder, "out")) == 2
    finally:
        (folder / "data.json").write_bytes(data)
    assert re.search(r"data\.json, or the processor of .*model, has changed since the run in", capsys.readouterr().err)
    assert files() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--data", "nowhere.json"], "there is no .*nowhere.json. Expected the folder of a `kpray generate` run"),
        (["--model", "/"], "`model.name: /` cannot be loaded.*found the folder /"),
        (["--set", "optim.warmup=3"], "`optim.warmup` is a share of the steps"),
        (["--set", "optim.batch_size=0"], "`optim.batch_size` must be at least 1; found 0"),
        (["--set", "model.frozen=[vision, projector, language]"], "nothing would learn"),
        (["--set", "report_to=[mlflow]"], "needs the package mlflow: pip install mlflow"),
        (["--set", "modle.name=x"], "unknown key `modle`"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(
    folder: Path, capsys: pytest.CaptureFixture[str], change: list[str], message: str
) -> None:
    assert run([*arguments(folder, "refused"), *change]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (folder / "refused").exists()


def test_a_dry_run_starts_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments(folder, "dry"), "--dry-run"]) == 0
    assert "4 sequences a step: 2 workers x 2 passes x 1" in capsys.readouterr().out
    assert not (folder / "dry").exists()


def test_a_dataset_folder_is_not_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "generated").mkdir()
    (folder / "generated" / "run.json").write_text('{"config": {}, "reading": {}, "identity": {}, "software": {}}')
    assert run(arguments(folder, "generated")) == 2
    assert "holds a dataset of `kpray generate`; choose another --out" in capsys.readouterr().err


def test_a_missing_extra_names_the_command_that_installs_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "deepspeed" else object())
    assert run(arguments(folder, "refused")) == 2
    assert "needs deepspeed, not installed here: pip install 'kpray[train]'" in capsys.readouterr().err
