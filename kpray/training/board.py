"""How the driver hears of steps while workers take them.

In a module of its own, as the actor's process would import torch with the module that starts the workers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import ray

from kpray.training.metrics import StepMetrics


class Board:
    """An actor that holds the newest step's metrics until the driver shows them."""

    def __init__(self) -> None:
        self._news: list[StepMetrics] = []

    def put(self, metrics: StepMetrics) -> None:
        """Take a step's metrics."""
        self._news.append(metrics)

    def take(self) -> list[StepMetrics]:
        """What came since the last time."""
        news, self._news = self._news, []
        return news


class Watch:
    """Shows on the driver what the workers report to a `Board`."""

    def __init__(self, show: Callable[[StepMetrics], None], every_s: float = 0.5) -> None:
        self.board = ray.remote(num_cpus=0, max_restarts=-1)(Board).remote()  # its node may be lost
        self._show, self._every_s = show, every_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()
        self._look()
        ray.kill(self.board)

    def _run(self) -> None:
        while not self._done.wait(self._every_s):
            self._look()

    def _look(self) -> None:
        try:
            for metrics in ray.get(self.board.take.remote(), timeout=5):
                self._show(metrics)
        except (ray.exceptions.RayError, TimeoutError):
            return  # the next look shows it
