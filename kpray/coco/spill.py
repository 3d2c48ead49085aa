"""One pass over an annotation file, leaving sorted runs on disk: the first half of an external merge sort.

A run is an Arrow IPC file whose rows are sorted by image id (rows of one image stay in the file's order).
Runs have a fixed size in bytes, so memory does not grow with the file; any range of image ids can be fetched
from all runs without reading the rest of them.
"""

from __future__ import annotations

import gc
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kpray import storage
from kpray.coco import records
from kpray.coco.source import Role
from kpray.coco.stream import CHUNK_BYTES, read_arrays
from kpray.errors import InputError

RUN_BYTES: Final = 8 << 20
"""How much of a table is sorted at a time."""

_BATCH_ROWS: Final = 2048
"""How much of a run is fetched at a time."""

TableName = Literal["images", "annotations"]
Key = int | str

_ANNOTATIONS: Final[Mapping[Role, tuple[Any, Any]]] = {
    "keypoints": (records.KeypointRecord, records.keypoint_columns),
    "instances": (records.InstanceRecord, records.instance_columns),
    "captions": (records.CaptionRecord, records.caption_columns),
}


class SpillJob(msgspec.Struct, frozen=True):
    """One file to pass over.

    Attributes:
        role: What the file was given as.
        path: The file.
        folder: Where its runs go.
        text_ids: Whether images are named by text instead of numbers.
        chunk_bytes: See `kpray.coco.stream`.
        run_bytes: See `RUN_BYTES`.
    """

    role: Role
    path: str
    folder: str
    text_ids: bool
    chunk_bytes: int = CHUNK_BYTES
    run_bytes: int = RUN_BYTES


class Run(msgspec.Struct, frozen=True):
    """A sorted file.

    Attributes:
        table: What it holds.
        path: Where it is.
        keys: First image id of each of its record batches, then its last image id.
    """

    table: TableName
    path: str
    keys: list[Key]


class Spilled(msgspec.Struct, frozen=True):
    """What is known of a file after the pass over it.

    Attributes:
        role: What the file was given as.
        path: The file.
        runs: In the file's order.
        image_keys: Sorted ids of its image rows, without repetition.
        categories: Its category table.
        licenses: Its licence table.
    """

    role: Role
    path: str
    runs: list[Run]
    image_keys: list[Key]
    categories: dict[int, str]
    licenses: dict[int, str]


def spill(job: SpillJob) -> Spilled:
    """Pass over a file once and leave its rows as sorted runs.

    Raises:
        InputError: The file is not sound (see `kpray.coco.stream` and `kpray.coco.records`), its category
            table has no ``person``, or an annotation's category is not in the table.
        StorageError: The file cannot be read or a run cannot be written.
    """
    annotation_type, _ = _ANNOTATIONS[job.role]
    types = {
        "images": records.ImageRecord,
        "annotations": annotation_type,
        "categories": records.NamedRecord,
        "licenses": records.NamedRecord,
    }
    spiller = _Spiller(job)
    with _without_garbage_collection():
        for name, rows in read_arrays(job.path, types, job.chunk_bytes):
            spiller.take(name, rows)
    return spiller.finish()


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Millions of records come and go without a cycle among them; looking for cycles would only cost time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Spiller:
    """What is gathered during the pass over a file."""

    def __init__(self, job: SpillJob) -> None:
        self._job = job
        self._to_keys = records.text_keys if job.text_ids else records.number_keys
        self._waiting: dict[TableName, list[pa.Table]] = {"images": [], "annotations": []}
        self._runs: list[Run] = []
        self._image_keys: list[npt.NDArray[Any]] = []
        self._names: dict[str, dict[int, str]] = {"categories": {}, "licenses": {}}
        self._used_categories: set[int] = set()

    def take(self, name: str, rows: list[Any]) -> None:
        """Take some elements of one of the file's arrays."""
        if name in self._names:
            self._names[name] |= {row.id: row.name for row in rows}
        elif rows and name == "images":
            table = records.image_columns(rows, self._to_keys, self._job.path)
            self._image_keys.append(keys_of(table))
            self._add("images", table)
        elif rows:
            _, annotation_columns = _ANNOTATIONS[self._job.role]
            table = annotation_columns(rows, self._to_keys, self._job.path)
            if "category_id" in table.column_names:
                self._used_categories.update(table["category_id"].unique().to_pylist())
            self._add("annotations", table)

    def _add(self, name: TableName, table: pa.Table) -> None:
        self._waiting[name].append(table)
        if sum(part.nbytes for part in self._waiting[name]) >= self._job.run_bytes:
            self._write(name)

    def _write(self, name: TableName) -> None:
        self._runs.append(_write_run(name, self._waiting[name], self._job, len(self._runs)))
        self._waiting[name] = []

    def finish(self) -> Spilled:
        """Write what is waiting and say what the file held."""
        for name, parts in self._waiting.items():
            if parts:
                self._write(name)
        if self._job.role != "captions":
            _check_categories(self._job, self._names["categories"], self._used_categories)
        image_keys = np.unique(np.concatenate(self._image_keys)).tolist() if self._image_keys else []
        return Spilled(self._job.role, self._job.path, self._runs, image_keys, **self._names)


def _check_categories(job: SpillJob, categories: Mapping[int, str], used: set[int]) -> None:
    if "person" not in categories.values():
        known = ", ".join(sorted(categories.values())[:5]) or "nothing"
        raise InputError(
            f"{job.path}: the category table has no `person` (it has {known}). Expected COCO's categories;"
            " rename the category of people to `person`."
        )
    if unknown := sorted(used - set(categories)):
        raise InputError(
            f"{job.path}: annotations have category id {unknown[0]}, which is not in the category table"
            f" ({len(categories)} categories). Add it to `categories`."
        )


def _write_run(name: TableName, parts: list[pa.Table], job: SpillJob, number: int) -> Run:
    table = pa.concat_tables(parts).combine_chunks()
    keys = keys_of(table)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    path = storage.join(job.folder, f"{job.role}-{number:05}-{name}.arrow")
    batches = table.take(pa.array(order)).combine_chunks().to_batches(max_chunksize=_BATCH_ROWS)
    with storage.open_atomic(path, durable=False) as stream, pa.ipc.new_file(stream, table.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return Run(name, path, [*keys[::_BATCH_ROWS].tolist(), *keys[-1:].tolist()])


def keys_of(table: pa.Table) -> npt.NDArray[Any]:
    """The image ids of a table's rows: int64, or text as objects."""
    keys: npt.NDArray[Any] = table["key"].to_numpy()
    return keys


def fetch(runs: list[Run], low: Key | None, high: Key | None) -> Iterator[pa.Table]:
    """The rows of some runs whose image id is at least `low` and below `high` (None: no limit), run by run."""
    for run in runs:
        batches = len(run.keys) - 1
        first = 0 if low is None else max(bisect_left(run.keys, low) - 1, 0)
        stop = batches if high is None else bisect_left(run.keys, high, hi=batches)
        if first >= stop:
            continue
        table = _read_batches(run.path, first, stop)
        keys = keys_of(table)
        begin = 0 if low is None else int(np.searchsorted(keys, low))
        end = len(keys) if high is None else int(np.searchsorted(keys, high))
        yield table.slice(begin, end - begin)


def _read_batches(path: str, first: int, stop: int) -> pa.Table:
    fs, inner = storage.resolve(path)
    with fs.open_input_file(inner) as file, pa.ipc.open_file(file) as reader:
        return pa.Table.from_batches([reader.get_batch(i) for i in range(first, stop)], reader.schema)
