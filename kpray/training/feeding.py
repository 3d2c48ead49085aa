"""The stream of steps into a training worker: decoded, tokenized and collated ahead of it, by other processes.

Each worker runs a Ray Dataset of its own, whose rows are its micro-batches in order. Feeders (actors on the worker's
node) make the tensors; Ray hands them over in order and holds the feeders back when `AHEAD_BYTES` are waiting. Nothing
of what came before the first step is read, so going on in the middle of an epoch costs nothing.

Floating-point inputs travel in the model's dtype, which the model would make of them anyway; bfloat16 halves the
memory. Images and the dataset must not change under a run: what cannot be read any more, or has another length than
it was prepared with, stops the run.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import ray
import safetensors.torch
import torch
from ray.data import ActorPoolStrategy, ExecutionResources

from kpray.errors import InputError, KprayError
from kpray.training.batching import StepPlan
from kpray.training.config import TrainConfig
from kpray.training.encoder import Encoder, load_encoder
from kpray.training.prepared import PreparedData, RecordStore
from kpray.training.types import IGNORED, CannotTrain, Encoded

Tensors = dict[str, torch.Tensor]
_Made = tuple[Tensors, list[str]]

AHEAD_BYTES: Final = 1 << 30
"""About so much may wait for a worker in Ray's object store; half of it is micro-batches that are ready."""

_MOST_BLOCKS: Final = 4096
"""Ray takes a millisecond to set up each; with fewer micro-batches, each is a block."""


class Step(NamedTuple):
    """What one worker sees in one step.

    Attributes:
        number: From 0.
        micro_batches: The model's keyword arguments, for each forward pass; as many on every worker. One that would
            be empty, or without an image in a dataset that has images, gets a further row of which nothing is
            supervised: all workers then pass the same parts of the model, and collectives stay in step.
        record_ids: Of the records in them, without those further rows.
        supervised: Tokens with loss in the *global* batch: what the sum of all losses is divided by.
    """

    number: int
    micro_batches: list[Tensors]
    record_ids: tuple[str, ...]
    supervised: int


class Feed(Iterator[Step]):
    """The steps, and how long the training loop had to wait for them.

    Attributes:
        first_s: Until the first step was there.
        waited_s: For all further steps.
    """

    def __init__(
        self, made: Generator[_Made, None, None] | _Ahead, plan: StepPlan, accumulation: int, from_step: int
    ) -> None:
        """Steps of so many of the micro-batches that come."""
        self._made = made
        self._steps = _steps(made, plan, accumulation, from_step)
        self._began = 0.0
        self.first_s = 0.0
        self.waited_s = 0.0

    def __next__(self) -> Step:
        asked = time.perf_counter()
        step = next(self._steps)
        now = time.perf_counter()
        if self._began:
            self.waited_s += now - asked
        else:
            self._began, self.first_s = now, now - asked
        return step

    def close(self) -> None:
        """End it before its last step; the feeders end too."""
        self._made.close()

    @property
    def stall_share(self) -> float:
        """Share of the time since the first step that was spent waiting for a step (0..1)."""
        elapsed = time.perf_counter() - self._began if self._began else 0.0
        return self.waited_s / elapsed if elapsed else 0.0


class _Maker(msgspec.Struct, frozen=True, eq=False):
    """Makes a worker's micro-batches; item ``i`` is micro-batch ``i % accumulation`` of step ``i // accumulation``."""

    encoder: Encoder
    data: PreparedData
    plan: StepPlan
    rank: int
    world: int
    dtype: str

    @property
    def accumulation(self) -> int:
        return self.plan.accumulation(self.world)

    def make(self, item: int, records: RecordStore) -> _Made:
        """A micro-batch, and the ids of its records.

        Raises:
            InputError: A record is not what it was when it was prepared.
        """
        step, place = divmod(item, self.accumulation)
        rows = self.plan.micro_batches(step, self.rank, self.world)[place]
        encoded = [[_encode_again(self.encoder, records, number) for number in row] for row in rows]
        chosen = [records[number][0] for row in rows for number in row]
        pictures_exist = records[self.data.filler][0].image is not None
        if not rows or (pictures_exist and all(record.image is None for record in chosen)):
            encoded.append([self._filler(records)])
        return self._collate(encoded), [record.record_id for record in chosen]

    def _filler(self, records: RecordStore) -> Encoded:
        """A record without labels. It has an image where any has, so that every worker passes the vision tower."""
        encoded = _encode_again(self.encoder, records, self.data.filler)
        return encoded._replace(labels=np.full_like(encoded.labels, IGNORED))

    def _collate(self, rows: list[list[Encoded]]) -> Tensors:
        dtype = getattr(torch, self.dtype)
        batch = self.encoder.collate(rows)
        return {key: one.to(dtype) if one.is_floating_point() else one for key, one in batch.items()}


def _encode_again(encoder: Encoder, records: RecordStore, number: int) -> Encoded:
    record, tokens = records[number]
    try:
        encoded = encoder.encode(record)
    except CannotTrain as error:
        raise InputError(
            f"record {record.record_id} could be encoded when the data was prepared, and cannot any more ({error}). "
            "Expected data that does not change under a run; put it back and start the same command again"
        ) from error
    if len(encoded.input_ids) != tokens:
        raise InputError(
            f"record {record.record_id} had {tokens:,} tokens when the data was prepared, and has "
            f"{len(encoded.input_ids):,} now. Its image {record.image} has changed under the run; put it back"
        )
    return encoded


def feed(
    config: TrainConfig,
    data: PreparedData,
    plan: StepPlan,
    *,
    rank: int,
    world: int,
    from_step: int = 0,
    encoder: Encoder | None = None,
    ahead_bytes: int = AHEAD_BYTES,
) -> Feed:
    """The steps of one worker, made ahead by feeders; to be called in the worker.

    The feeders take no CPUs of the cluster's books: reserve ``cpus + feeders`` for each worker.

    Args:
        config: Of the run; says the model, its dtype and the number of feeders.
        data: As prepared.
        plan: Of all steps.
        rank: Of the worker.
        world: How many workers there are.
        from_step: The first step to make.
        encoder: None loads the one of the configuration's model.
        ahead_bytes: About how much may wait for this worker.

    Returns:
        The steps from `from_step` on. It raises `InputError` at the step whose data has changed.
    """
    maker = _maker(config, data, plan, rank, world, encoder)
    first, last = from_step * maker.accumulation, plan.steps * maker.accumulation
    made = _made_by_feeders(maker, first, last, config.workers.feeders, ahead_bytes)
    return Feed(_Ahead(made), plan, maker.accumulation, from_step)


def feed_in_process(
    config: TrainConfig,
    data: PreparedData,
    plan: StepPlan,
    *,
    rank: int,
    world: int,
    from_step: int = 0,
    encoder: Encoder | None = None,
) -> Feed:
    """The same steps as `feed`, made when they are asked for, without Ray."""
    maker = _maker(config, data, plan, rank, world, encoder)
    first, last = from_step * maker.accumulation, plan.steps * maker.accumulation
    records = RecordStore(data)
    made = (maker.make(item, records) for item in range(first, last))
    return Feed(made, plan, maker.accumulation, from_step)


def _maker(
    config: TrainConfig, data: PreparedData, plan: StepPlan, rank: int, world: int, encoder: Encoder | None
) -> _Maker:
    encoder = encoder or load_encoder(config.model.name, config.data)
    return _Maker(encoder, data, plan, rank, world, config.model.dtype)


def _steps(made: Iterator[_Made], plan: StepPlan, accumulation: int, from_step: int) -> Iterator[Step]:
    for number in range(from_step, plan.steps):
        parts = [next(made) for _ in range(accumulation)]
        ids = tuple(record_id for _, some in parts for record_id in some)
        yield Step(number, [tensors for tensors, _ in parts], ids, plan.supervised(number))


def _made_by_feeders(
    maker: _Maker, first: int, last: int, feeders: int, ahead_bytes: int
) -> Generator[_Made, None, None]:
    if first >= last:
        return
    here = ray.get_runtime_context().get_node_id()
    # from_items makes its blocks here; from_arrow starts a task, which waits for ever where workers hold all CPUs.
    spans = _spans(first, last, min(last - first, _MOST_BLOCKS))
    dataset = ray.data.from_items(spans, override_num_blocks=len(spans)).map_batches(
        _Feeder,
        fn_constructor_kwargs={"maker": maker},
        compute=ActorPoolStrategy(size=feeders),
        batch_size=None,
        # The worker's own share of the books covers them: with the cluster full of workers, nothing else would start.
        num_cpus=0,
        label_selector={"ray.io/node-id": here},
    )
    _set_up(dataset.context, ahead_bytes)
    for table in dataset.iter_batches(batch_size=1, prefetch_batches=1, batch_format="pyarrow"):
        yield _unpack(table.to_pylist()[0])


def _spans(first: int, last: int, count: int) -> list[dict[str, int]]:
    """So many neighbouring ranges of items, each one row of the feeders' dataset."""
    cuts = np.linspace(first, last, count + 1).round().astype(int).tolist()
    return [{"first": a, "last": b} for a, b in itertools.pairwise(cuts)]


class _Ahead(Iterator[_Made]):
    """Takes micro-batches over in a thread that starts at once.

    So feeders start while the model is still being loaded, and unpacking tensors is no part of a step.
    """

    def __init__(self, made: Generator[_Made, None, None]) -> None:
        self._made = made
        self._ready: queue.Queue[_Made | Exception] = queue.Queue(maxsize=2)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._take, name="feed", daemon=True)
        self._thread.start()

    def _take(self) -> None:
        with contextlib.closing(self._made):
            try:
                while not self._closed.is_set():
                    self._ready.put(next(self._made))
            except Exception as error:  # noqa: BLE001 - raised where the next micro-batch is asked for
                self._ready.put(error)

    def __next__(self) -> _Made:
        one = self._ready.get()
        if isinstance(one, Exception):  # StopIteration too, which is how it ends
            raise one
        return one

    def close(self) -> None:
        """End the feeders; not waited for longer than a minute, as a worker that fails must end."""
        self._closed.set()
        deadline = time.monotonic() + 60
        while self._thread.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                self._ready.get(timeout=0.05)


def _set_up(context: Any, ahead_bytes: int) -> None:
    context.execution_options.preserve_order = True
    context.execution_options.resource_limits = ExecutionResources.for_limits(object_store_memory=ahead_bytes)
    context.target_max_block_size = 1  # every micro-batch leaves its feeder as soon as it is made
    context.enable_progress_bars = False
    context.print_on_execution_start = False


class _Feeder:
    """Makes the micro-batches of blocks of items; an actor."""

    def __init__(self, maker: _Maker) -> None:
        torch.set_num_threads(1)  # several feeders and the worker itself share the machine
        self._maker = maker
        self._records = RecordStore(maker.data)

    def __call__(self, batch: Mapping[str, Any]) -> Iterator[pa.Table]:
        for first, last in zip(batch["first"].tolist(), batch["last"].tolist(), strict=True):
            for item in range(first, last):
                yield _pack(self._maker, item, self._records)


_PACKED: Final = pa.schema(
    [("tensors", pa.large_binary()), ("record_ids", pa.list_(pa.string())), ("error", pa.string())]
)


def _pack(maker: _Maker, item: int, records: RecordStore) -> pa.Table:
    """A row; an error is one too, as one that is raised would come out wrapped, or be tried again."""
    try:
        tensors, ids = maker.make(item, records)
    except KprayError as error:
        return pa.Table.from_pylist([{"error": str(error)}], schema=_PACKED)
    data = safetensors.torch.save({key: one.contiguous() for key, one in tensors.items()})
    return pa.Table.from_pylist([{"tensors": data, "record_ids": ids}], schema=_PACKED)


def _unpack(row: Mapping[str, Any]) -> _Made:
    if row["error"] is not None:
        raise InputError(row["error"])
    return safetensors.torch.load(row["tensors"]), row["record_ids"]
