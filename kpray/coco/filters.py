"""Which scenes are kept, and the account of everything that was left out."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kpray import storage
from kpray.errors import ConfigError, InputError

Mask = npt.NDArray[np.bool_]


class SceneFilter(msgspec.Struct, frozen=True):
    """Which scenes are kept.

    Attributes:
        min_people: At least so many people ...
        min_keypoints: ... with at least so many labelled keypoints each.
        licenses: Licence ids that are allowed; empty allows all.
        image_list: A file with one image id or file name a line (``#`` begins a comment); only these are kept.
        reject_flagged: Drop scenes with any of the flags of `kpray.coco.validate`.
        limit: Keep only the first so many, by image id.
    """

    min_people: int = 1
    min_keypoints: int = 1
    licenses: tuple[int, ...] = ()
    image_list: str | None = None
    reject_flagged: bool = False
    limit: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if self.min_people < 0 or self.min_keypoints < 0 or (self.limit is not None and self.limit < 1):
            raise ConfigError(
                f"min_people ({self.min_people}) and min_keypoints ({self.min_keypoints}) must be 0 or more, and"
                f" limit ({self.limit}) 1 or more."
            )


class ReadingReport(msgspec.Struct, frozen=True):
    """What was read, kept and left out. Reports of parts add up to the report of the whole.

    Attributes:
        images: Different images that any file names.
        scenes: Kept.
        people: In kept scenes.
        people_with_keypoints: In kept scenes, with at least one labelled keypoint.
        objects: In kept scenes.
        captions: In kept scenes.
        crowds_left_out: Annotations with ``iscrowd`` set.
        duplicate_images: Repeated image rows within a file.
        duplicate_annotations: The same annotation again within a file.
        same_box_people: Person instances without a keypoint annotation of their id, but with exactly the box of
            one in the same image; they are that person.
        annotations_without_image: Annotations whose image has no row in any file.
        keypoint_count_mismatches: People whose ``num_keypoints`` is not what their keypoints say (which count).
        flags: Scenes by flag, before the filters except for the image's size.
        licenses: Kept scenes by the name of their image's licence.
        dropped: Scenes by the filter that took them, in the order in which the filters are applied.
    """

    images: int = 0
    scenes: int = 0
    people: int = 0
    people_with_keypoints: int = 0
    objects: int = 0
    captions: int = 0
    crowds_left_out: int = 0
    duplicate_images: int = 0
    duplicate_annotations: int = 0
    same_box_people: int = 0
    annotations_without_image: int = 0
    keypoint_count_mismatches: int = 0
    flags: dict[str, int] = {}
    licenses: dict[str, int] = {}
    dropped: dict[str, int] = {}

    def __add__(self, other: ReadingReport) -> ReadingReport:
        """The report of two parts together."""
        sums: dict[str, Any] = {
            name: _merge(mine, getattr(other, name)) if isinstance(mine, dict) else mine + getattr(other, name)
            for name, mine in msgspec.structs.asdict(self).items()
        }
        return ReadingReport(**sums)


def _merge(one: dict[str, int], two: dict[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + two.get(name, 0) for name in {**one, **two}}


def total(reports: Iterable[ReadingReport]) -> ReadingReport:
    """The sum of reports."""
    return reduce(add, reports, ReadingReport())


def read_image_list(path: str) -> frozenset[str]:
    """Image ids and file names of an image list; ids without leading zeros.

    Raises:
        StorageError: The file cannot be read.
        InputError: It is not text.
    """
    try:
        lines = storage.read_bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text. Expected one image id or file name a line.") from error
    names = (line.partition("#")[0].strip() for line in lines)
    return frozenset(str(int(name)) if name.isascii() and name.isdigit() else name for name in names if name)


class Candidates(msgspec.Struct):
    """What filters look at; all columns have one value per scene.

    Attributes:
        scenes: With ``scene_id``, ``file_name`` and ``license_id``.
        has_size: Whether the image's size is known.
        is_flagged: Whether any flag is set.
        num_people: People with enough labelled keypoints.
    """

    scenes: pa.Table
    has_size: Mask
    is_flagged: Mask
    num_people: npt.NDArray[np.int64]


def apply_filters(candidates: Candidates, scene_filter: SceneFilter) -> tuple[Mask, dict[str, int]]:
    """Apply every filter but the limit.

    Args:
        candidates: Scenes.
        scene_filter: What to keep.

    Returns:
        A mask of the scenes that are kept, and how many each filter dropped.
    """
    tests: dict[str, Mask] = {}
    if scene_filter.image_list is not None:
        tests["image_list"] = _is_listed(candidates.scenes, read_image_list(scene_filter.image_list))
    if scene_filter.licenses:
        allowed = pa.array(scene_filter.licenses, pa.int64())
        tests["licenses"] = _mask(pc.is_in(candidates.scenes["license_id"], value_set=allowed))
    tests["image_size"] = candidates.has_size
    tests["min_people"] = candidates.num_people >= scene_filter.min_people
    if scene_filter.reject_flagged:
        tests["reject_flagged"] = ~candidates.is_flagged
    kept = np.ones(candidates.scenes.num_rows, dtype=np.bool_)
    dropped = {}
    for name, passed in tests.items():
        dropped[name] = int((kept & ~passed).sum())
        kept &= passed
    return kept, dropped


def _is_listed(scenes: pa.Table, listed: frozenset[str]) -> Mask:
    return np.array(
        [
            scene_id in listed or name in listed or PurePosixPath(name).name in listed
            for scene_id, name in zip(scenes["scene_id"].to_pylist(), scenes["file_name"].to_pylist(), strict=True)
        ],
        dtype=np.bool_,
    )


def _mask(column: pa.ChunkedArray) -> Mask:
    mask: Mask = column.to_numpy().astype(np.bool_)
    return mask


_ADVICE: Final = {
    "image_list": "not in the image list",
    "licenses": "with another licence",
    "image_size": "without width and height",
    "min_people": "with too few people or keypoints",
    "reject_flagged": "flagged",
}


def require_scenes(report: ReadingReport) -> None:
    """Fail when nothing is left.

    Raises:
        InputError: No scene was kept; the message says which filter dropped how many.
    """
    if report.scenes:
        return
    taken = [f"{report.dropped[name]:,} {why} ({name})" for name, why in _ADVICE.items() if report.dropped.get(name)]
    raise InputError(
        f"no scene is left: {report.images:,} images were read; {', '.join(taken) or 'none of them has a row'}."
        " Loosen the filter that took them, or give the files of another split."
    )
