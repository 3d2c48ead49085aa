"""The judge on Ray Serve, over HTTP: two processes that judge, one ledger."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("fastapi")

with warnings.catch_warnings():  # Ray's own, when it is imported
    warnings.simplefilter("ignore")

    from kpray.serving import judge_app
    from kpray.serving.judging.bench import ShardedBench, shard_of

import httpx
import psutil
from gateway_server import wait_until
from judge_address import CONTEXT, item
from judge_items import items
from judge_server import JudgeServer
from openai_server import KEY as JUDGE_KEY
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError

from kpray.errors import ConfigError, TeacherError
from kpray.judges.types import none_of
from kpray.ledger.inspection import survey
from kpray.scoring.judging.geometric import GEOMETRIC_JUDGE
from kpray.serving.config import JudgeConfig
from kpray.serving.judging.replica import shares

pytestmark = pytest.mark.filterwarnings("ignore")

YAML = Path(__file__).parents[2] / "serve" / "judge.yaml"


def about(scene: int, i: int = 0) -> dict[str, Any]:
    return item(i, context=CONTEXT | {"image_id": scene})


def judge_pids(parent: int) -> list[int]:
    """Processes that judge, among the children of a process."""
    found = []
    for process in psutil.Process(parent).children(recursive=True):
        try:
            if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::ServeReplica:judge:judge-"):
                found.append(process.pid)
        except psutil.Error:  # it ended
            continue
    return found


def _minds_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def serve_run(folder: Path, **args: Any) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """``serve run`` of a file like the one in the tree, on a Ray of its own; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = yaml.safe_load(YAML.read_text())
    settings["http_options"]["port"] = port
    settings["applications"][0]["args"] = args
    (folder / "judge.yaml").write_text(yaml.safe_dump(settings))
    command = [str(Path(sys.executable).parent / "serve"), "run", str(folder / "judge.yaml"), "--address", "local"]
    environment = {**os.environ, "OPENAI_API_KEY": JUDGE_KEY}
    with (folder / "log").open("wb") as log:
        # A shell that starts the tests in the background has them ignore Ctrl-C, and their children too.
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, preexec_fn=_minds_ctrl_c)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)


def is_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    assert process.poll() is None
    try:
        return httpx.get(f"{url}/-/ready", timeout=5).json()["status"] == "ready"
    except (httpx.HTTPError, ValueError, KeyError):
        return False


@pytest.mark.ray
def test_two_processes_one_ledger_and_a_kill(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with JudgeServer(latency_s=0.3) as server:
        settings = {"judge": "openai", "base_url": server.base_url, "ledger": str(ledger), "in_flight": 4}
        with serve_run(tmp_path, judge=settings, replicas=2) as (process, url):
            wait_until(lambda: is_ready(process, url), seconds=240)
            body = {"items": [about(scene, 2 * scene + i) for scene in range(10) for i in range(2)]}
            with ThreadPoolExecutor(3) as pool:  # the same, three times at once
                asked = [pool.submit(httpx.post, f"{url}/v1/judge", json=body, timeout=300) for _ in range(3)]
                wait_until(lambda: server.counts()["distinct"] >= 8, seconds=120)
                victims = judge_pids(process.pid)
                os.kill(victims[0], signal.SIGKILL)
                responses = [one.result() for one in asked]
            counts = server.counts()
            again = httpx.post(f"{url}/v1/judge", json=body, timeout=300)
            assert server.counts() == counts
    assert len(victims) == 2
    for response in (*responses, again):
        assert response.status_code == 200, response.text
        assert [result["unscored"] for result in response.json()["results"]] == [None] * 20
    assert counts["distinct"] == 40
    assert counts["answered"] - counts["distinct"] <= 4  # under way in the process that was killed
    assert again.json()["usage"]["from_ledger"] == 40
    found = survey(str(ledger))
    assert (found.answered, found.in_doubt, found.damage, found.folders) == (40, 0, [], 10)
    assert {run.rpartition("-")[2] for run in found.runs} == {"000", "001"}
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or JUDGE_KEY not in path.read_bytes().decode(errors="replace")


def test_the_file_in_the_tree_is_a_good_configuration() -> None:
    (application,) = yaml.safe_load(YAML.read_text())["applications"]
    assert application["import_path"] == "kpray.serving.judge_app:build_app"
    config = judge_app.checked_config(application["args"])
    assert config.judge.judge == "geometric"
    assert Path(config.judge.ledger).is_absolute()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"judge": {"modle": "x"}}, "unknown key `judge.modle`"),
        ({"replicas": 0}, "`replicas` has to be 1 or more"),
        ({"judge": {"repeats": 0}}, "`judge.repeats`"),
        ({"judge": {"judge": "openai", "base_url": "http://localhost:1/v1", "max_usd": 1.0}}, "needs the price"),
    ],
)
def test_a_wrong_configuration_says_so(args: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        judge_app.checked_config(args)


def test_a_wrong_key_is_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody-here")
    with JudgeServer() as server:
        settings = {"judge": "openai", "base_url": server.base_url, "ledger": str(tmp_path)}
        with pytest.raises(TeacherError, match="refuses the key in OPENAI_API_KEY"):
            judge_app.build_app({"judge": settings})
        monkeypatch.setenv("OPENAI_API_KEY", JUDGE_KEY)
        with pytest.raises(TeacherError, match="no model 'gpt-5o'"):
            judge_app.build_app({"judge": settings | {"model": "gpt-5o"}})
        assert "requests" not in server.stats()


def test_the_budget_is_divided_and_what_was_spent_is_counted(tmp_path: Path) -> None:
    from kpray.ledger.journal import SceneRange, write_replies
    from kpray.schemas import Reply

    reply = Reply("a", "8 9", "stop", None, 0.4, 1.0, "gpt-4o", "2026-01-01")
    write_replies(str(tmp_path), SceneRange("7", "7"), [reply], run="judge-old-000")
    config = JudgeConfig(judge="openai", ledger=str(tmp_path), max_usd=1.0)
    parts = shares(config, session="new", count=3, seconds=9)
    assert [part.max_usd for part in parts] == [pytest.approx(0.2)] * 3
    assert len({part.run for part in parts}) == 3


class _Handle:
    """Of a deployment whose calls go as a test says."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.judgements = self
        self.calls: list[Any] = []

    def remote(self, asked: Any, within_s: float | None) -> Any:
        self.calls.append(asked)
        outcome = self.outcomes.pop(0)

        async def answer() -> Any:
            if isinstance(outcome, Exception):
                raise outcome
            return [none_of(one, GEOMETRIC_JUDGE, "by-" + outcome, "") for one in asked]

        return answer()


def test_a_scene_s_items_go_to_one_process_and_come_back_in_order() -> None:
    asked = [one for scene in ("3", "1", "2", "3") for one in items(1, scene_id=scene)]
    handles = [_Handle("0"), _Handle("1")]
    got = asyncio.run(ShardedBench(handles, lambda one: GEOMETRIC_JUDGE).judgements(asked, within_s=60))
    assert [one.verdict.unscored for one in got] == [f"by-{shard_of(one.scene.scene_id, 2)}" for one in asked]
    assert [one.verdict.question_id for one in got] == [one.question.question_id for one in asked]
    assert {len(handle.calls) for handle in handles} == {1}


def test_a_process_that_dies_is_asked_again_and_a_full_one_is_not() -> None:
    one = items(1, scene_id="7")
    dying = _Handle(ActorDiedError(), "0")
    full = _Handle(BackPressureError(num_queued_requests=1, max_queued_requests=1))

    def judged(handle: _Handle) -> list[str | None]:
        bench = ShardedBench([handle], lambda item: GEOMETRIC_JUDGE)
        return [judgement.verdict.unscored for judgement in asyncio.run(bench.judgements(one, within_s=60))]

    assert judged(dying) == ["by-0", "by-0"]
    assert len(dying.calls) == 2
    assert judged(full) == ["no_reply", "no_reply"]
