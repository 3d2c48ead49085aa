from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pyarrow.parquet as pq
import pytest

from kpray.cli import run
from kpray.cli.ledger import ledger as group
from kpray.ledger.journal import SceneRange, write_replies
from kpray.ledger.lines import encode_reply, encode_sent
from kpray.schemas import Reply, Usage

SCENES = SceneRange("1", "9")


def reply(request_id: str, *, usd: float | None = 0.5, day: int = 1) -> Reply:
    text = f"the answer to {request_id}"
    return Reply(request_id, text, "stop", Usage(1000, 5), usd, 0.1, "gpt-4o", f"2026-01-{day:02}T00:00:00+00:00")


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run whose ledger holds a reply, one that was bought again, and a request in doubt."""
    ledger = str(tmp_path / "run" / "ledger")
    write_replies(ledger, SCENES, [reply("a"), reply("b", usd=None)], run="r1")
    write_replies(ledger, SCENES, [reply("a", day=2)], run="r2")
    (tmp_path / "run" / "ledger" / SCENES.folder / "w.jsonl").write_bytes(encode_sent("c", "r2"))
    return tmp_path / "run"


def kpray(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, dict[str, Any]]:
    code = run(["ledger", *map(str, arguments), "--json"])
    *text, summary = capsys.readouterr().out.splitlines()
    return code, "\n".join(text), json.loads(summary)


@pytest.mark.parametrize("command", group.commands.values(), ids=lambda command: command.name)
def test_every_command_shows_examples_and_answers_in_json(
    command: click.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ledger", command.name or "", "--help"]) == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert f"kpray ledger {command.name} " in text
    assert "--json" in text


def test_show_gives_totals(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, summary = kpray("show", run_folder, capsys=capsys)
    assert code == 0
    assert "2 requests" in text
    assert "2 gpt-4o stop" in text
    assert "1.0000; the price of 1 replies is not known" in text
    assert "3,000 prompt" in text
    assert "r2: 1 replies paid" in text
    assert (summary["answered"], summary["bought_again"], summary["in_doubt"], summary["usd"]) == (2, 1, 1, 1.0)
    assert summary["runs"] == {"r1": 2, "r2": 1}


def test_show_gives_one_reply_in_full(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, summary = kpray("show", run_folder, "a", capsys=capsys)
    assert code == 0
    assert text.count("the answer to a") == 2
    assert [(r["run"], r["usd"]) for r in summary["replies"]] == [("r1", 0.5), ("r2", 0.5)]
    code, text, summary = kpray("show", run_folder, "c", capsys=capsys)
    assert "sent, and no reply came back" in text
    assert summary["in_doubt"] is True


def test_show_of_an_unknown_request_says_what_an_id_is(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", "show", str(run_folder), "zzz"]) == 2
    assert "knows no request zzz. Expected the 32 hex digits" in capsys.readouterr().err


def test_verify_of_a_sound_ledger(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, summary = kpray("verify", run_folder, capsys=capsys)
    assert code == 0
    assert [line.rsplit(maxsplit=1)[-1] for line in text.splitlines()[1:]] == ["3", "2", "1", "1", "0", "0", "0"]
    assert summary["status"] == "complete"


def test_verify_ends_with_1_and_names_the_places(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = run_folder / "ledger" / SCENES.folder / "bad.jsonl"
    bad.write_bytes(b"nothing\n" * 60 + encode_reply(reply("d"), "r") + b'{"v":2')
    code, text, summary = kpray("verify", run_folder, capsys=capsys)
    assert code == 1
    assert f"{bad}:1 " in text
    assert f"{bad}:50 " in text
    assert "and 10 more" in text
    assert (summary["status"], summary["answered"], len(summary["damage"])) == ("damaged", 3, 60)
    assert summary["torn"] == [str(bad)]


def test_compact_says_what_it_saved_and_what_it_left(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = run_folder / "ledger" / SCENES.folder / "bad.jsonl"
    bad.write_bytes(b"nothing\n")
    before = kpray("show", run_folder, capsys=capsys)[2]
    code, text, summary = kpray("compact", run_folder, capsys=capsys)
    assert code == 0
    assert "4 files, 0.0 MB -> 2 files" in text
    assert summary["left"] == [f"{bad}.merging"]
    after = kpray("show", run_folder, capsys=capsys)[2]
    for name in ("answered", "bought_again", "in_doubt", "usd", "runs"):
        assert after[name] == before[name]


def test_export_writes_one_file(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "replies.parquet"
    code, text, summary = kpray("export", run_folder, "--out", out, capsys=capsys)
    assert code == 0
    assert text == f"2 replies in {out}"
    assert summary["replies"] == pq.read_metadata(out).num_rows == 2


def test_where_no_ledger_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("show", "verify", "compact"):
        assert run(["ledger", command, str(tmp_path)]) == 1
        assert "no ledger in" in capsys.readouterr().err
