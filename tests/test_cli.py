from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from generate_run import UNCHECKED
from openai_server import KEY, OpenAIServer

from kpray.cli import cli, run

KPRAY = [sys.executable, "-c", "from kpray.cli import main; main()"]


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_subcommand_shows_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert f"kpray {name} " in text


def commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from commands(command)
        else:
            yield command


@pytest.mark.parametrize("command", list(commands(cli)), ids=lambda command: command.name)
def test_every_subcommand_can_answer_in_json(command: click.Command) -> None:
    assert "--json" in {option for parameter in command.params for option in parameter.opts}


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("kpray, version 0.")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["generate"], 2, "missing required field `out`"),
        (["generate", "--out", "x", "--set", "sede=1"], 2, "did you mean `seed`"),
        (["generate", "--out", "x", "--set", "check.near_duplicates=2"], 2, "above 0 and at most 1"),
        (["generate", "--out", "x", "--set", "check.spacy_model=none_such"], 2, "pip install spacy"),
        (["generate", "--out", "x", "--kinds", "poems"], 2, "`kinds"),
        (["generate", "--out", "x", "--captions", "nowhere.json"], 2, "without `keypoints`"),
        (["generate", "--out", "x", "--captions", "a.json", "--keypoints", "b.json"], 1, "there is no file"),
        (["generate", "--out", "x", "--config", "nowhere.yaml"], 1, "there is no file nowhere.yaml"),
        (["generate", "--limit", "few"], 2, "not a valid integer"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_mistakes_end_with_one_sentence_and_a_code(
    arguments: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*arguments, "--json"]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert json.loads(captured.out.splitlines()[-1])["status"] == "failed"
    assert list(tmp_path.iterdir()) == []  # nothing half done is left behind


def test_dry_run_shows_configuration_count_and_prompts_and_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    out = tmp_path / "run"
    flags = ["--teacher", "openai", "--kinds", "detailed,reasoning", "--set", "synthetic.count=6", "--json"]
    assert run(["generate", "--out", str(out), "--dry-run", *flags]) == 0
    text = capsys.readouterr().out
    plan = json.loads(text.splitlines()[-1])
    assert plan["requests"] == 2 * plan["scenes"] > 0
    assert "model: gpt-4o" in text
    assert f"{plan['requests']:,} requests to openai/gpt-4o" in text
    assert "# Prompt: detailed" in text
    assert "# Prompt: reasoning" in text
    assert "# Prompt: conversation" not in text
    assert text.count("[system]") == 2
    assert "keypoints: [" in text
    assert not out.exists()


@pytest.mark.ray
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_a_stopped_run_is_finished_by_the_same_command(tmp_path: Path, signal_number: int) -> None:
    in_flight = 4
    with OpenAIServer(latency_s=0.1) as server:
        command = [
            *KPRAY, "generate", "--out", str(tmp_path / "run"), "--json", "--teacher", "openai",
            "--set", f"teacher.base_url={server.base_url}", "--set", f"teacher.in_flight={in_flight}",
            "--set", "synthetic.count=40", "--set", "synthetic.images=false", *UNCHECKED,
        ]  # fmt: skip
        environment = {**os.environ, "OPENAI_API_KEY": KEY}
        first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while server.stats().get("answered", 0) < 20 and time.monotonic() < deadline:
            time.sleep(0.1)
        first.send_signal(signal_number)
        output, errors = first.communicate(timeout=60)
        if signal_number == signal.SIGKILL:
            assert first.returncode == -signal.SIGKILL
        else:
            assert first.returncode == 130
            assert json.loads(output.splitlines()[-1])["status"] == "interrupted"
            assert "give the same command to go on" in errors
            assert "Traceback" not in errors
        second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=True)
        summary = json.loads(second.stdout.splitlines()[-1])
        assert summary["status"] == "complete"
        assert summary["new_replies"] < summary["requests"]
        assert server.stats()["requests"] <= summary["requests"] + in_flight
