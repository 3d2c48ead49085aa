"""A small run that is filled by batch; also as a program, to be killed.

python tests/pipelines/batch_run.py FOLDER BASE_URL '{"max_requests": 4}'
"""

from __future__ import annotations

import io
import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from openai_batches import KEY, BatchServer
from scenes import scene

from kpray import storage
from kpray.coco.rows import scenes_to_table
from kpray.config import BatchConfig, GenerateConfig, TeacherConfig
from kpray.ledger.budget import Budget
from kpray.ledger.journal import SceneRange, read_ledger
from kpray.ledger.prices import ModelPrice
from kpray.pipelines.batch_fill import BatchProgress, BatchReport, fill_by_batch
from kpray.pipelines.missing import all_requests
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.shards import ShardFiles
from kpray.schemas import Reply, Request, Sampling, Scene
from kpray.teachers.openai import Secret

SAMPLING = Sampling(max_tokens=100)
PRICE = ModelPrice(prompt=2.0, completion=10.0, cached_prompt=1.0, batch_discount=0.5)


class BatchRun:
    """Some shards of scenes in a folder, one request a scene."""

    def __init__(
        self,
        folder: Path | str,
        base_url: str,
        *,
        shards: int = 3,
        scenes: int = 4,
        sampling: Sampling = SAMPLING,
        forget_errors: bool = False,
        run: str = "run-1",
        **batch: Any,
    ) -> None:
        self.settings = TeacherConfig(
            name="openai",
            mode="batch",
            base_url=base_url,
            sampling=sampling,
            retry_for_s=60.0,
            batch=BatchConfig(**{"poll_s": 0.03, **batch}),
        )
        config = GenerateConfig(out=str(folder), kinds=("detailed",), teacher=self.settings)
        self.recipe = Recipe.of(config, model="openai/gpt-4o", reads_scene=False)
        self.files = ShardFiles(config.out, storage.join(config.out, "ledger"), forget_errors)
        self.run = run
        self.shards = list(range(shards))
        self._scenes = {shard: [_scene(shard * scenes + i) for i in range(scenes)] for shard in self.shards}
        self.progress: list[BatchProgress] = []
        for shard, found in self._scenes.items():
            if not storage.exists(self.files.scenes(shard)):
                _write_scenes(self.files.scenes(shard), found)

    def fill(self, *, price: ModelPrice | None = PRICE, budget: Budget | None = None, key: str = KEY) -> BatchReport:
        return fill_by_batch(
            self.files,
            self.recipe,
            self.shards,
            images=None,
            settings=self.settings,
            key=Secret(key),
            run=self.run,
            price=price,
            budget=budget,
            on_progress=self.progress.append,
        )

    def requests(self) -> list[Request]:
        return [r for found in self._scenes.values() for r in all_requests(found, self.recipe, images=None)]

    def replies(self) -> dict[str, Reply]:
        """What the ledger holds."""
        everything = SceneRange("0", "9" * 19)
        return read_ledger(self.files.ledger, everything).replies

    def ledger_lines(self) -> list[bytes]:
        """All that was ever written to the ledger."""
        return [line for path in Path(self.files.ledger).rglob("*.jsonl") for line in path.read_bytes().splitlines()]

    def parts(self) -> list[dict[str, Any]]:
        """The states on disk."""
        paths = sorted((Path(self.files.run) / "batches").glob("?????.json"))
        return [json.loads(path.read_text()) for path in paths]


def _scene(number: int) -> Scene:
    return scene(str(1000 + number), captions=(f"Picture number {number} shows a man on a field.",))


def _write_scenes(path: str, found: list[Scene]) -> None:
    data = io.BytesIO()
    pq.write_table(scenes_to_table(found), data)
    storage.write_bytes(path, data.getvalue())


class Crash(BaseException):
    """The process is gone."""


def abandon(run: BatchRun) -> None:
    """Leave a run when its batches have been created, as a crash does."""

    def leave(*_: Any) -> None:
        raise Crash

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kpray.pipelines.batch_fill.queue.Queue.look", leave)
        with pytest.raises(Crash):
            run.fill()


@contextmanager
def in_background(run: BatchRun) -> Iterator[BatchRun]:
    """Fill a run in a thread; what it raises is raised at the end."""
    errors: list[BaseException] = []

    def fill() -> None:
        try:
            run.fill()
        except BaseException as error:  # noqa: BLE001 - for the thread that waits
            errors.append(error)

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    yield run
    thread.join(120)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def assert_complete(run: BatchRun, server: BatchServer, *, most: int = 1) -> None:
    """Every request has its reply in the ledger, and none was processed more often than this."""
    wanted = {request.request_id for request in run.requests()}
    assert set(run.replies()) == wanted
    processed = server.stats()["processed"]
    assert set(processed) == wanted
    assert max(processed.values()) <= most


if __name__ == "__main__":
    folder, url, settings = sys.argv[1:]
    run = BatchRun(folder, url, **json.loads(settings))
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000
    report, cpu_s = run.fill(), time.process_time()
    grown_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000 - before_mb
    print(f"{report.replies:,} replies, {cpu_s:.1f} CPU seconds with the imports, grown by {grown_mb:.0f} MB")
