"""`kpray serve` from the terminal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import yaml

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("fastapi")

from serving_clients import Outcomes, stream_once
from serving_models import saved_model

from kpray.cli import run
from kpray.serving import running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("run") / "tuned" / "model")


@pytest.fixture(autouse=True)
def _no_key_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KPRAY_API_KEYS", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
    return found


@pytest.mark.filterwarnings("ignore")
def test_dry_run_shows_the_whole_configuration(folder: Path, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    base = f"base={folder}"
    options = ["--batch-size", "4", "--set", "limits.images=2", "--port", str(port)]
    assert run(["serve", str(folder.parent), "--model", base, *options, "--dry-run"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    first, second = shown["models"]
    assert (first["name"], first["path"], first["batch_size"]) == ("tuned", str(folder), 4)
    assert (second["name"], second["path"], second["batch_size"]) == ("base", str(folder), 4)
    assert shown["limits"]["images"] == 2


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve"], "name a model"),
        (["serve", "--model", "tuned"], "--model takes NAME=PATH"),
        (["serve", "FOLDER", "--set", "images=2"], "--set takes limits.KEY=VALUE"),
        (["serve", "FOLDER", "--set", "limits.image=2"], "did you mean `limits.images`"),
        (["serve", "EMPTY"], "Expected a Hugging Face image-text-to-text model"),
        (["serve", "FOLDER", "--host", "0.0.0.0"], "no key is set"),
        (["serve", "FOLDER", "--max-length", "100000"], "more than the 2048 tokens"),
    ],
)
def test_what_is_wrong_is_said_before_ray_starts(
    arguments: list[str],
    said: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("kpray.pipelines.session.start_ray", lambda **_: pytest.fail("Ray was started"))
    places = {"FOLDER": str(folder), "EMPTY": str(tmp_path)}
    assert run([places.get(argument, argument) for argument in arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_a_taken_port_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["serve", str(folder), "--port", str(port), "--dry-run"]) == 2
    assert f"127.0.0.1:{port} cannot be bound" in capsys.readouterr().err


def test_a_missing_extra_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(running, "_PACKAGES", ("json", "no_such_package"))
    assert run(["serve", "anything"]) == 2
    assert "needs no_such_package, not installed here: pip install 'kpray[serve]'" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_the_file_for_clusters_is_what_the_application_takes() -> None:
    from kpray.serving.model_app import build_app, checked_config

    values = yaml.safe_load((Path(__file__).parents[2] / "serve" / "model.yaml").read_text())
    (application,) = values["applications"]
    assert application["import_path"] == f"{build_app.__module__}:{build_app.__name__}"
    assert [served.name for served in checked_config(application["args"]).models] == ["tuned"]
    assert values["http_options"]["host"] == "127.0.0.1"


@pytest.fixture
def process(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", "from kpray.cli import main; main()", "serve", str(folder), "--port", str(port)]
    started = subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    yield started
    if started.poll() is None:
        started.kill()
    started.wait()
    assert started.stdout is not None
    started.stdout.close()


@pytest.mark.ray
def test_it_serves_says_how_to_ask_and_ends_when_all_is_answered(
    process: subprocess.Popen[str], folder: Path, port: int
) -> None:
    import openai

    assert process.stdout is not None
    said = _until_ready(process.stdout)
    assert f"tuned at http://127.0.0.1:{port}/v1" in said
    assert "only this machine can ask" in said
    example = next(line.strip() for line in said.splitlines() if line.strip().startswith("curl"))
    reply = subprocess.run(example.replace("curl", "curl -s", 1), shell=True, capture_output=True, check=True)
    assert b'"finish_reason"' in reply.stdout

    outcomes, begun = Outcomes(), threading.Event()
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="x", max_retries=0, timeout=300) as client:
        asking = threading.Thread(
            target=stream_once,
            args=(client, "tuned", outcomes),
            kwargs={"max_tokens": 300, "on_first": begun.set},
        )
        asking.start()
        assert begun.wait(120)
        process.send_signal(signal.SIGTERM)
        asking.join()
    assert (outcomes.answered, outcomes.failed, outcomes.lost) == (1, [], [])
    assert process.wait(180) == 0


def _until_ready(output: IO[str]) -> str:
    """What it says until it waits for requests."""
    said = ""
    while "Ctrl-C ends it" not in said:
        line = output.readline()
        assert line, f"it ended early; it said: {said}"
        said += line
    return said
