"""What the driver gives to every worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from kpray.training.config import TrainConfig
from kpray.training.metrics import StepMetrics


class Step(Protocol):
    """What a worker sees in one step; `kpray.training.feeding` makes them."""

    @property
    def number(self) -> int:
        """From 0."""

    @property
    def micro_batches(self) -> Sequence[Mapping[str, Any]]:
        """The model's arguments for each forward pass, as many on every worker."""

    @property
    def record_ids(self) -> Sequence[str]:
        """Of the records in them."""


class Steps(Iterator[Step], Protocol):
    """What one worker sees, step after step."""

    def close(self) -> None:
        """End it before its last step."""


class Source(Protocol):
    """Where a worker's steps come from; made on the driver, used on the workers."""

    def accumulation(self, world: int) -> int:
        """Most forward passes of each of so many workers in a step."""

    def tokens(self, step: int) -> int:
        """In the sequences of a step (from 0) over all workers, without padding."""

    def flops(self, step: int) -> float:
        """Of the model in a step (from 0) over all workers, without what is computed twice."""

    def longest(self) -> int:
        """The longest sample, in tokens."""

    def open(self, rank: int, world: int, from_step: int) -> Steps:
        """What one worker sees, from a step on."""


class Job(NamedTuple):
    """A run, as a worker sees it.

    Attributes:
        config: The run.
        session: Of the command; names its note.
        steps: Of the whole run.
        source: Of the steps.
        on_step: Takes each step's metrics on the first worker.
    """

    config: TrainConfig
    session: str
    steps: int
    source: Source
    on_step: Callable[[StepMetrics], Any]


def work(job: Job) -> int:
    """Take all steps that are left; returns how many the run has taken. Runs on a worker, which has torch."""
    from kpray.training.loop import train_worker

    return train_worker(job)
