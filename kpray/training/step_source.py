"""A run's steps and what they cost, as the workers see them."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import numpy as np

from kpray.training.batching import StepPlan, plan_steps
from kpray.training.config import TrainConfig
from kpray.training.job import Steps
from kpray.training.prepared import PreparedData


def make_plan(config: TrainConfig, data: PreparedData, global_batch: int) -> StepPlan:
    """The plan of all steps; the same on every process and for any number of workers."""
    tokens, supervised = data.lengths()
    optim = msgspec.structs.replace(config.optim, global_batch=global_batch)
    return plan_steps(tokens, supervised, optim, config.data, seed=config.seed, world=config.workers.count)


class PlannedSteps:
    """A `kpray.training.job.Source` of prepared data; every worker makes the plan anew, which beats sending it."""

    def __init__(self, config: TrainConfig, data: PreparedData, global_batch: int) -> None:
        """Steps of so many sequences."""
        self._config, self._data, self._global_batch = config, data, global_batch

    def accumulation(self, world: int) -> int:
        """Most forward passes of each of so many workers in a step."""
        return self._plan.accumulation(world)

    def longest(self) -> int:
        """The longest sample, in tokens."""
        return int(self._tokens.max())

    def tokens(self, step: int) -> int:
        """In the sequences of a step over all workers, without padding."""
        return int(self._lengths(step).sum())

    def flops(self, step: int) -> float:
        """Of the model in a step over all workers, without what is computed twice.

        Every sample is taken to have one picture of the most frequent size, which is exact for LLaVA-1.5.
        """
        from kpray.training.flops import training_flops
        from kpray.training.loads import Load

        shape, picture = self._shape
        lengths = self._lengths(step).astype(np.int64)
        load = Load(int(lengths.sum()), int((lengths**2).sum()), picture * len(lengths))
        return training_flops(shape, load, checkpointing=False).model

    def open(self, rank: int, world: int, from_step: int) -> Steps:
        """What one worker sees, from a step on."""
        from kpray.training.feeding import feed

        return feed(self._config, self._data, self._plan, rank=rank, world=world, from_step=from_step)

    def _lengths(self, step: int) -> Any:
        return self._tokens[[number for row in self._plan.rows(step) for number in row]]

    @functools.cached_property
    def _plan(self) -> StepPlan:
        return make_plan(self._config, self._data, self._global_batch)

    @functools.cached_property
    def _tokens(self) -> Any:
        return self._data.lengths()[0]

    @functools.cached_property
    def _shape(self) -> tuple[Any, Any]:
        from kpray.training.model import read_model_config
        from kpray.training.shape import model_shape
        from kpray.training.workload import typical_picture

        model_config = read_model_config(self._config.model.name)
        return model_shape(model_config, self._config.model), typical_picture(model_config)
