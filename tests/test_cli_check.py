"""`kpray check` as a person runs it: the real command, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kpray.cli import run
from kpray.coco.synthetic import write_coco

KPRAY = [sys.executable, "-c", "from kpray.cli import main; main()"]
ONE_PERSON = "COCO_train2014_000000000008.jpg"


def record(record_id: str, answer: str) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nHow many people are here?"}, {"from": "gpt", "value": answer}]
    return {"id": record_id, "image": ONE_PERSON, "conversations": turns}


def write_dataset(folder: Path) -> Path:
    rows = [
        record("good", "There is one person in the picture."),
        record("wrong", "There are four people in the picture."),
        record("leak", "According to the bounding boxes, there is one person."),
        {"id": "broken"},
    ]
    path = folder / "mine.json"
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.ray
def test_the_command_checks_a_dataset(tmp_path: Path) -> None:
    coco = write_coco(tmp_path / "coco", count=12, seed=0, images=False)
    out = tmp_path / "out"
    files = ["--captions", coco.captions, "--keypoints", coco.keypoints, "--instances", coco.instances]
    command = [*KPRAY, "check", str(write_dataset(tmp_path)), *files, "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["records"] == 4
    verdicts = {"contradicted": 1, "leak": 1, "passed": 1, "unreadable": 1}
    assert summary["verdicts"] == verdicts
    assert summary["with_scene"] == 3
    assert "counts" not in summary
    assert summary["unreadable"][0]["id"] == "broken"
    assert json.loads((out / "summary.json").read_text()) == summary
    table = pq.read_table(out / "verdicts")
    assert dict(zip(table["id"].to_pylist(), table["verdict"].to_pylist(), strict=True)) == {
        "good": "passed", "wrong": "contradicted", "leak": "leak", "broken": "unreadable",
    }  # fmt: skip
    card = (out / "README.md").read_text()
    for text in (done.stdout, card):
        assert "person_count" in text
        assert "grounding/contradicted" in text
        assert "broken" in text
    assert "Traceback" not in done.stderr
    strict = subprocess.run([*command, "--strict"], capture_output=True, text=True, timeout=180, check=False)
    assert strict.returncode == 3
    assert "3 of 4 records have faults" in strict.stderr


@pytest.mark.ray
def test_a_run_is_checked_with_its_own_scenes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    small = ["--set", "synthetic.count=6", "--set", "synthetic.images=false", "--kinds", "detailed"]
    subprocess.run([*KPRAY, "generate", "--out", str(folder), *small], capture_output=True, timeout=180, check=True)
    done = subprocess.run([*KPRAY, "check", str(folder), "--json"], capture_output=True, timeout=180, check=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["records"] == summary["with_scene"] == summary["kinds"]["detailed"] > 0
    assert summary["claims"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--captions", "c.json"], 2, "go together"),
        (["--instances", "i.json"], 2, "go together"),
        (["--near-duplicates", "0"], 2, "not in the range"),
    ],
)
def test_mistakes_end_with_one_sentence_and_a_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert run(["check", str(write_dataset(tmp_path)), *arguments, "--json"]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert json.loads(captured.out.splitlines()[-1])["status"] == "failed"
