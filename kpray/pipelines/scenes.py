"""Reading COCO on Ray: annotation files in, ``scenes/`` out.

Three stages of `kpray.coco`, each a Ray Dataset whose rows are independent pieces of work: files become sorted
runs, ranges of image ids become joined parts, and parts become shards of exactly `shard_size` scenes. A shard
is the unit of work for everything downstream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data

from kpray import errors, storage
from kpray.coco.filters import ReadingReport, SceneFilter, require_scenes, total
from kpray.coco.join import RangeJob, join_range
from kpray.coco.reader import plan_ranges, plan_spills
from kpray.coco.rows import SCENE_SCHEMA
from kpray.coco.source import CocoSource
from kpray.coco.spill import Spilled, spill

_TASKS_PER_CPU: Final = 4
"""Enough to even out their lengths; a task a job would cost more than many jobs."""

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

_PART_BATCH_ROWS: Final = 256
"""How much of a part is read at a time."""

_SPILL_FOLDER: Final = "_spill"  # a name that Parquet readers pass over


class PartJob(msgspec.Struct, frozen=True):
    """A range of image ids to join, and where the scenes go."""

    range: RangeJob
    path: str


class Part(msgspec.Struct, frozen=True):
    """Joined scenes of one range, on disk as Arrow IPC."""

    path: str
    scenes: int
    report: ReadingReport


class Piece(msgspec.Struct, frozen=True):
    """Some consecutive rows of a part."""

    path: str
    begin: int
    end: int


class ShardJob(msgspec.Struct, frozen=True):
    """A shard to write from consecutive pieces of parts."""

    path: str
    pieces: list[Piece]


def write_scenes(source: CocoSource, scene_filter: SceneFilter, out: str, shard_size: int) -> ReadingReport:
    """Read a dataset and write its kept scenes, sorted by image id, on the running Ray cluster.

    The files are ``shard-00000.parquet`` and so on; each appears only when it is complete. The same inputs give
    the same files whatever the number of cores.

    Args:
        source: The files; every node must reach them.
        scene_filter: What to keep.
        out: The folder ``scenes/``, local or on an object store; shards of an earlier run are replaced.
        shard_size: Scenes a shard; the last has the rest.

    Returns:
        What was read, kept and left out.

    Raises:
        InputError: A file cannot be used, or no scene is left; shards of an earlier run are then untouched.
        StorageError: A file cannot be read or written.
    """
    with _spill_folder(out) as folder:
        spilled = _run(spill, plan_spills(source, scene_filter, folder), Spilled)
        ranges = plan_ranges(spilled, scene_filter)
        part_jobs = [PartJob(job, storage.join(folder, f"part-{i:05}.arrow")) for i, job in enumerate(ranges)]
        parts = _run(_write_part, part_jobs, Part)
        found = sum(part.scenes for part in parts)
        kept = found if scene_filter.limit is None else min(found, scene_filter.limit)
        report = total(part.report for part in parts)
        if scene_filter.limit is not None:
            report += ReadingReport(dropped={"limit": found - kept})
        if kept == 0:
            require_scenes(report)
        _delete_shards(out)
        report += total(_run(_write_shard, _plan_shards(parts, kept, out, shard_size), ReadingReport))
        return msgspec.structs.replace(report, licenses=_by_name(report.licenses, spilled))


@contextmanager
def _spill_folder(out: str) -> Iterator[str]:
    folder = storage.join(out, _SPILL_FOLDER)
    storage.delete(folder)  # of a run that was killed
    storage.make_folder(folder)
    try:
        yield folder
    finally:
        storage.delete(folder)


def _delete_shards(out: str) -> None:
    for name in storage.list_files(out):
        if name.startswith("shard-") and name.endswith(".parquet"):
            storage.delete(storage.join(out, name))


def _write_part(job: PartJob) -> Part:
    table, report = join_range(job.range)
    with storage.open_atomic(job.path, durable=False) as stream, pa.ipc.new_file(stream, SCENE_SCHEMA) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=_PART_BATCH_ROWS)
    return Part(job.path, table.num_rows, report)


def _plan_shards(parts: Sequence[Part], kept: int, out: str, shard_size: int) -> list[ShardJob]:
    """Cut the parts, laid end to end, into shards of exactly the size wanted."""
    edges = list(accumulate((part.scenes for part in parts), initial=0))
    jobs = []
    for number, begin in enumerate(range(0, kept, shard_size)):
        end = min(begin + shard_size, kept)
        pieces = [
            Piece(part.path, max(begin, low) - low, min(end, high) - low)
            for part, (low, high) in zip(parts, pairwise(edges), strict=True)
            if low < end and high > begin
        ]
        jobs.append(ShardJob(storage.join(out, f"shard-{number:05}.parquet"), pieces))
    return jobs


def _write_shard(job: ShardJob) -> ReadingReport:
    table = pa.concat_tables([_read_piece(piece) for piece in job.pieces])
    with storage.open_atomic(job.path) as stream:
        # Coordinates hardly repeat: a dictionary would only cost time.
        pq.write_table(table, stream, use_dictionary=["split"])
    return _count(table)


def _read_piece(piece: Piece) -> pa.Table:
    fs, inner = storage.resolve(piece.path)
    with fs.open_input_file(inner) as file, pa.ipc.open_file(file) as reader:
        first, stop = piece.begin // _PART_BATCH_ROWS, -(-piece.end // _PART_BATCH_ROWS)
        table = pa.Table.from_batches([reader.get_batch(i) for i in range(first, stop)])
    return table.slice(piece.begin - first * _PART_BATCH_ROWS, piece.end - piece.begin)


def _count(table: pa.Table) -> ReadingReport:
    licenses = Counter("" if i is None else str(i) for i in table["license_id"].to_pylist())
    people = table["people"].combine_chunks().flatten()
    labelled = people.field("num_labelled").to_numpy()
    return ReadingReport(
        scenes=table.num_rows,
        people=len(labelled),
        people_with_keypoints=int(np.count_nonzero(labelled)),
        objects=len(table["objects"].combine_chunks().flatten()),
        captions=len(table["captions"].combine_chunks().flatten()),
        licenses=dict(licenses),
    )


def _by_name(counts: Mapping[str, int], files: Sequence[Spilled]) -> dict[str, int]:
    """Counts by licence id, under the names that the files' licence tables give."""
    names = {str(i): name for file in files for i, name in file.licenses.items()}
    named: Counter[str] = Counter()
    for license_id, count in sorted(counts.items()):
        named[names.get(license_id, f"licence {license_id}") if license_id else "not stated"] += count
    return dict(named)


def _run(work: Callable[[_Job], _Result], jobs: Sequence[_Job], result_type: type[_Result]) -> list[_Result]:
    """Do independent jobs on the cluster, a few to each task, and return the results in the order of the jobs.

    kpray's own errors travel as rows, so that they arrive as they were raised.
    """
    rows = [{"number": i, "job": msgspec.msgpack.encode(job)} for i, job in enumerate(jobs)]
    job_type = type(jobs[0])

    def do(row: dict[str, Any]) -> dict[str, Any]:
        try:
            result = work(msgspec.msgpack.decode(row["job"], type=job_type))
        except errors.KprayError as error:
            return {"number": row["number"], "error": type(error).__name__, "result": str(error).encode()}
        return {"number": row["number"], "error": "", "result": msgspec.msgpack.encode(result)}

    tasks = min(len(rows), _TASKS_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1))))
    dataset = ray.data.from_items(rows, override_num_blocks=tasks).map(do)
    # Ray Data would hold half of the CPUs back for operators that consume what this one makes. There are none.
    dataset.context.op_resource_reservation_enabled = False
    done = dataset.take_all()
    for row in done:
        if row["error"]:
            raise getattr(errors, row["error"])(row["result"].decode())
    return [msgspec.msgpack.decode(row["result"], type=result_type) for row in sorted(done, key=_number)]


def _number(row: dict[str, Any]) -> int:
    return int(row["number"])
