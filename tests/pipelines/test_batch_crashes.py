"""A batch run goes on where it stopped, wherever that was, and nothing is bought twice."""

from __future__ import annotations

import io
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import batch_run
import pytest
from batch_run import BatchRun, Crash, abandon, assert_complete, in_background, wait_until
from openai_batches import KEY, BatchServer

from kpray import storage
from kpray.config import TeacherConfig
from kpray.errors import StorageError, TeacherStoppedError
from kpray.pipelines.batch_fill import results
from kpray.pipelines.batch_fill.parts import PartFolder
from kpray.schemas import Sampling
from kpray.teachers.openai import Secret
from kpray.teachers.openai_batch import BatchAccount


@pytest.fixture(scope="module")
def shared_server() -> Iterator[BatchServer]:
    with BatchServer() as running:
        yield running


@pytest.fixture
def server(shared_server: BatchServer) -> BatchServer:
    shared_server.reset()
    return shared_server


Make = Callable[..., BatchRun]


@pytest.fixture
def make(server: BatchServer, tmp_path: Path) -> Make:
    """Makes the run in the test's folder; called again, it is the same run in another process."""
    return lambda **settings: BatchRun(tmp_path, server.base_url, **settings)


def test_a_batch_goes_on_without_us(server: BatchServer, make: Make) -> None:
    abandon(make())
    report = make().fill()
    assert (report.replies, report.submitted) == (12, 0)
    assert_complete(make(), server)


def test_batches_of_others_are_left_alone(server: BatchServer, make: Make) -> None:
    account = BatchAccount(TeacherConfig(name="openai", base_url=server.base_url), Secret(KEY))
    server.set(stall_from=0)
    abandon(make())
    state = Path(make().files.run) / "batches" / "00001.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"step": "submitting", "batch_id": None}))
    for i in range(7):  # more than one page of newer ones
        file_id = account.upload(f"other-{i}.jsonl", io.BytesIO(b'{"custom_id": "x", "body": {"messages": []}}\n'))
        account.create(file_id, {"project": "another"})
    account.close()
    with in_background(make()):
        wait_until(lambda: server.stats()["lines"] >= 12)
        server.set()
    stats = server.stats()
    assert stats["batches"] == 8
    assert not [call for call in stats["calls"] if call.startswith("DELETE") or call.endswith("cancel")]
    assert set(make().replies()) == {request.request_id for request in make().requests()}


def test_another_recipe_drops_what_was_not_sent(server: BatchServer, make: Make) -> None:
    server.set(faults=[{"path": "/v1/files", "method": "POST", "status": 403, "times": 1}])
    with pytest.raises(TeacherStoppedError):
        make().fill()
    other = make(sampling=Sampling(max_tokens=200))
    assert other.fill().replies == 12
    assert_complete(other, server)


def test_another_recipe_collects_what_was_sent(server: BatchServer, make: Make) -> None:
    abandon(make())
    other = make(sampling=Sampling(max_tokens=200))
    assert other.fill().replies == 24
    wanted = {request.request_id for run in (make(), other) for request in run.requests()}
    assert set(other.replies()) == wanted


def test_a_damaged_state_is_an_error(make: Make) -> None:
    storage.write_bytes(storage.join(make().files.run, "batches", "00001.json"), b"{")
    with pytest.raises(StorageError, match=r"00001.json is not the state of a batch"):
        make().fill()


CRASHING: list[tuple[Any, str]] = [
    (BatchAccount, "upload"),
    (BatchAccount, "create"),
    (BatchAccount, "download"),
    (PartFolder, "save"),
    (PartFolder, "write_ids"),
    (results, "write_replies"),
    (storage, "delete"),
]
"""All that leaves a trace, here or at the server."""


def test_a_crash_after_any_step_costs_nothing(server: BatchServer, tmp_path: Path) -> None:
    step, crashed = 0, True
    while crashed:
        server.reset()
        run = BatchRun(tmp_path / str(step), server.base_url, shards=2, scenes=2, max_requests=3, poll_s=0.005)
        crashed = crash_after(run, step)
        report = run.fill()
        assert server.stats()["batches"] == 2
        assert server.stats()["uploads"] == 2
        assert_complete(run, server)
        assert len(run.ledger_lines()) == 4
        assert report.replies <= 4
        step += 1
    assert step > 15


def crash_after(run: BatchRun, step: int) -> bool:
    """Fill a run until so many steps have been done; False if it was finished before."""
    left = step

    def then_crash(call: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            returned = call(*args, **kwargs)
            if left == 0:
                raise Crash
            left -= 1
            return returned

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in CRASHING:
            patch.setattr(owner, name, then_crash(getattr(owner, name)))
        try:
            run.fill()
        except Crash:
            return True
    return False


def test_a_process_that_is_killed_over_and_over(server: BatchServer, tmp_path: Path) -> None:
    settings = {"shards": 6, "scenes": 8, "max_requests": 5}
    server.set(line_s=0.02, shuffle=True)
    drawn = random.Random(5)
    for _ in range(12):
        process = start(server, tmp_path, settings)
        calls = api_calls(server)
        target = calls + drawn.randint(1, 14)
        wait_until(lambda process=process, target=target: api_calls(server) >= target or process.poll() is not None)
        time.sleep(drawn.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait()
    server.set()
    run = BatchRun(tmp_path, server.base_url, **settings)
    run.fill()
    assert_complete(run, server)
    assert sum(server.stats()["totals"]) == 48
    assert len(run.ledger_lines()) == 48


def start(server: BatchServer, folder: Path, settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    command = [sys.executable, batch_run.__file__, str(folder), server.base_url, json.dumps(settings)]
    return subprocess.Popen(command)


def api_calls(server: BatchServer) -> int:
    return sum(server.stats()["calls"].values())
