"""The checks over any dataset in LLaVA's format, as a Ray Data job: the whole of `kpray check`.

The dataset is read as a stream and cut into parts, once; scenes are read as `kpray generate` reads them. Then parts are
judged independently of each other, each leaving a file of verdicts. Nothing is ever held whole, and the verdicts are
the same whatever the number of cores.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, Final

import msgspec

from kpray import storage
from kpray.coco import CocoSource, SceneFilter, check_inputs
from kpray.pipelines.check_dataset.records import PART_RECORDS, split
from kpray.pipelines.check_dataset.report import Summary, write_report
from kpray.pipelines.check_dataset.scenes import SceneFolder
from kpray.pipelines.check_dataset.verdicts import Counts, Judging, PartTexts, judge_part, total
from kpray.pipelines.duplicates import find_duplicates
from kpray.pipelines.duplicates.finding import own_errors, rows_of_parts
from kpray.pipelines.run_folder import manifest_path
from kpray.pipelines.scenes import write_scenes

__all__ = ["Summary", "check_dataset"]

_SCRATCH: Final = "_scratch"  # a name that Parquet readers pass over
_SCENES_PER_SHARD: Final = 512
_EVERYTHING: Final = SceneFilter(min_people=0, min_keypoints=0)

Progress = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and of how much (0 while that is not known)."""


def check_dataset(
    dataset: str,
    *,
    source: CocoSource | None,
    out: str | None,
    threshold: float | None,
    progress: Progress = lambda doing, done, of: None,
) -> Summary:
    """Check every record of a dataset, on the running Ray cluster.

    Args:
        dataset: A file in LLaVA's format, or the folder of a run (its ``llava.json``).
        source: Annotations of the images; None takes those of the run, where `dataset` is one, and else leaves the
            grounding out.
        out: Folder for verdicts and summary; what an earlier check left there is replaced. None writes nothing.
        threshold: Similarity from which on two records are near duplicates; None does not look for any.
        progress: Is called now and then.

    Raises:
        InputError: The dataset is not in LLaVA's format, or the annotations cannot be used.
        StorageError: A file cannot be read or written.
    """
    is_run = storage.exists(manifest_path(dataset))
    path = storage.join(dataset, "llava.json") if is_run else dataset
    if source is not None:
        check_inputs(source)
    with _scratch(out) as scratch, own_errors():
        texts = _split(path, storage.join(scratch, "parts"), progress)
        scenes = _scenes(source, storage.join(dataset, "scenes") if is_run else None, scratch, progress)
        parts = len(texts.edges) - 1
        progress("looking for duplicates", 0, 0)
        dropped = {} if threshold is None else find_duplicates(texts, parts, threshold)
        if out is not None:
            storage.delete(storage.join(out, "verdicts"))
        job = Judging(texts, scenes, None if out is None else storage.join(out, "verdicts"))
        counts = total(_judge(job, dropped, progress))
    summary = Summary(dataset, out, grounded=scenes is not None, threshold=threshold, counts=counts)
    if out is not None:
        write_report(summary, out)
    return summary


@contextmanager
def _scratch(out: str | None) -> Iterator[str]:
    """A folder for parts and scenes, which all nodes reach if they reach `out`."""
    if out is None:
        with tempfile.TemporaryDirectory(prefix="kpray-check-") as folder:
            yield folder
        return
    folder = storage.join(out, _SCRATCH)
    storage.delete(folder)  # of a check that was killed
    try:
        yield folder
    finally:
        storage.delete(folder)


def _split(path: str, folder: str, progress: Progress) -> PartTexts:
    """Cut the dataset into parts, in one task: a stream has one reader."""
    storage.make_folder(folder)
    settings = {"folder": folder, "part_records": PART_RECORDS}
    work = rows_of_parts([{"path": path}]).map_batches(_split_task, fn_kwargs=settings, batch_size=1)
    sizes = []
    for row in work.iter_rows():
        sizes.append(row["records"])
        progress("reading", sum(sizes), 0)
    return PartTexts(folder, tuple(accumulate(sizes, initial=0)))


def _split_task(batch: Mapping[str, Any], *, folder: str, part_records: int) -> Iterator[dict[str, list[int]]]:
    for records in split(batch["path"][0], folder, part_records):
        yield {"records": [records]}


def _scenes(source: CocoSource | None, of_run: str | None, scratch: str, progress: Progress) -> SceneFolder | None:
    if source is None:
        return SceneFolder.of(of_run) if of_run else None
    progress("reading annotations", 0, 0)
    folder = storage.join(scratch, "scenes")
    write_scenes(source, _EVERYTHING, folder, _SCENES_PER_SHARD)
    return SceneFolder.of(folder)


def _judge(job: Judging, dropped: Mapping[int, Any], progress: Progress) -> Iterator[Counts]:
    *parts, records = job.texts.edges
    rows = [{"part": i, "dropped": msgspec.msgpack.encode(dropped.get(i, []))} for i in range(len(parts))]
    work = rows_of_parts(rows).map_batches(judge_part, fn_kwargs={"job": job}, batch_size=1)
    done = 0
    for row in work.iter_rows():
        counts = msgspec.json.decode(row["counts"], type=Counts)
        done += counts.records
        progress("checking", done, records)
        yield counts
