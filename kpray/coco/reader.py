"""From annotation files to scenes in one process; `kpray.pipelines.scenes` runs the same steps on Ray.

1. `kpray.coco.spill`: one pass over each file leaves sorted runs in a spill folder.
2. `plan_ranges`: the image ids, now known, are cut into ranges.
3. `kpray.coco.join`: each range becomes scenes, on its own.

Memory holds one window of a file, one run or one range at a time, and the ids of all images. The result does
not depend on how large any of these are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec
import pyarrow as pa

from kpray.coco.filters import ReadingReport, SceneFilter, read_image_list, require_scenes
from kpray.coco.join import RangeJob, join_range
from kpray.coco.rows import table_to_scenes
from kpray.coco.source import CocoSource, check_inputs, has_text_ids
from kpray.coco.spill import Spilled, SpillJob, spill
from kpray.schemas import Scene

RANGE_IMAGES: Final = 2048
"""How many images are joined at a time."""


def plan_spills(source: CocoSource, scene_filter: SceneFilter, folder: str) -> list[SpillJob]:
    """Check the inputs and list the passes over the files.

    Raises:
        InputError: A file is not what it was given as.
        StorageError: A file cannot be read.
    """
    check_inputs(source)
    if scene_filter.image_list is not None:
        read_image_list(scene_filter.image_list)
    text_ids = has_text_ids(source)
    return [SpillJob(role, path, folder, text_ids) for role, path in source.files().items()]


def plan_ranges(
    files: Sequence[Spilled], scene_filter: SceneFilter, range_images: int = RANGE_IMAGES
) -> list[RangeJob]:
    """Cut the image ids of all files into ranges; rows beyond the known ids fall into the outermost ranges."""
    keys: list[Any] = sorted(set().union(*(file.image_keys for file in files)))
    lean = [msgspec.structs.replace(file, image_keys=[]) for file in files]
    borders = [None, *keys[range_images::range_images], None]
    return [RangeJob(lean, low, high, scene_filter) for low, high in pairwise(borders)]


def read_tables(source: CocoSource, scene_filter: SceneFilter) -> Iterator[pa.Table]:
    """Read scenes as tables of `kpray.coco.rows.SCENE_SCHEMA`, a range of image ids at a time.

    Args:
        source: The files.
        scene_filter: What to keep.

    Yields:
        Kept scenes in the order of their image ids.

    Raises:
        InputError: A file cannot be used, or no scene is left.
        StorageError: A file cannot be read.
    """
    limit, count, report = scene_filter.limit, 0, ReadingReport()
    with tempfile.TemporaryDirectory(prefix="kpray-spill-") as folder:
        files = [spill(job) for job in plan_spills(source, scene_filter, folder)]
        for job in plan_ranges(files, scene_filter):
            table, part = join_range(job)
            table = table if limit is None else table.slice(0, limit - count)
            report += part
            count += table.num_rows
            yield table
            if count == limit:
                return
    require_scenes(msgspec.structs.replace(report, scenes=count))


def read_scenes(source: CocoSource, scene_filter: SceneFilter) -> Iterator[Scene]:
    """Read scenes in the order of their image ids, in this process; see `read_tables`."""
    for table in read_tables(source, scene_filter):
        yield from table_to_scenes(table)
