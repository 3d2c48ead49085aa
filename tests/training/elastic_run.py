"""A run with `workers.least: 1` on a cluster of two nodes, of which one is killed and later comes back.

    python elastic_run.py OUT

Prints how many workers the group had after each of these, as JSON. The steps wait for what is to happen, so that it
happens in the middle of the run on any machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import ray
from hand_fed import HandFeed, HandStep, config_of, fit
from msgspec.structs import replace
from ray.cluster_utils import Cluster

from kpray.training import workers
from kpray.training.checkpoints import newest_checkpoint

HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 3,
}
"""A dead node is noticed sooner than by default, and one that is only slow is not taken for dead."""

TIMEOUT_S = 300


class GatedFeed(HandFeed):
    """Two workers stop before step 5 until a node is killed, one before step 8 until there are two again."""

    def __init__(self, killed: Path) -> None:
        super().__init__()
        self._killed = killed

    def open(self, rank: int, world: int, from_step: int) -> Iterator[HandStep]:
        for step in super().open(rank, world, from_step):
            while self._waits(step.number, world):
                time.sleep(0.1)
            yield step

    def _waits(self, number: int, world: int) -> bool:
        return number >= 7 if world == 1 else number >= 4 and not self._killed.exists()


def main(out: Path) -> None:
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": HEALTH, "include_dashboard": False}
    )
    victim, _ = (cluster.add_node(num_cpus=1, include_dashboard=False) for _ in range(2))
    ray.init(address=cluster.address, log_to_driver=False)
    workers.RESIZE_INTERVAL_S = 1.0
    code = 0
    try:
        print(json.dumps(_run(cluster, victim, out)), flush=True)
    except AssertionError:
        traceback.print_exc()
        code = 1
    # Not `cluster.shutdown()`, which refuses while a run that stands still is connected.
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(code)  # Ray's own way out would wait for what is gone


def _run(cluster: Any, victim: Any, out: Path) -> list[int]:
    killed = out.with_suffix(".killed")
    config = config_of(out, workers=2)
    config = replace(config, workers=replace(config.workers, least=1))
    running = threading.Thread(target=fit, args=(config, GatedFeed(killed)), daemon=True)  # adding nodes needs this one
    running.start()
    _wait(running, lambda: _checkpointed(out) >= 3)
    worlds = [_world(out)]
    cluster.remove_node(victim, allow_graceful=False)
    killed.touch()
    _wait(running, lambda: _checkpointed(out) >= 6)
    worlds.append(_world(out))
    cluster.add_node(num_cpus=1, include_dashboard=False)
    running.join(TIMEOUT_S)
    return [*worlds, _world(out)]


def _checkpointed(out: Path) -> int:
    newest = newest_checkpoint(str(out))
    return newest.step if newest else 0


def _world(out: Path) -> int:
    return int(json.loads((out / "log" / "worker-0.json").read_text())["world"])


def _wait(running: threading.Thread, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert running.is_alive(), "the run ended before that"
        assert time.monotonic() < deadline, "the run stands still"
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
