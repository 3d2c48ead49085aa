"""What kpray reads of COCO's images, annotations and categories, and as what columns it goes on.

Only the fields named here are decoded; every other field of a file is skipped. Values that no later step
could make sense of are errors here, with the id of the annotation or image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import PurePosixPath
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kpray.errors import InputError

KEYPOINT_NUMBERS: Final = 51
"""17 keypoints, each x, y, v."""

_UNTIDY: Final = r"^ |  | $|[^ -~]"
"""In RE2: what has only single blanks inside does not match; what is not ASCII may."""

_SPLIT: Final = re.compile(r"(?:train|val|test(?:-dev)?|unlabeled)20\d\d")
_Columns = dict[str, pa.Array]


class ImageRecord(msgspec.Struct, gc=False):
    """An element of ``images``."""

    id: int | str
    file_name: str
    width: float | None = None
    height: float | None = None
    license: int | None = None
    coco_url: str | None = None


class InstanceRecord(msgspec.Struct, gc=False):
    """An element of ``annotations`` of an instances file."""

    id: int
    image_id: int | str
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float | None = None
    iscrowd: int | bool = 0


class KeypointRecord(msgspec.Struct, gc=False):
    """An element of ``annotations`` of a keypoints file; without ``keypoints`` it is an instance."""

    id: int
    image_id: int | str
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float | None = None
    iscrowd: int | bool = 0
    keypoints: list[float] | None = None
    num_keypoints: int | None = None


class CaptionRecord(msgspec.Struct, gc=False):
    """An element of ``annotations`` of a captions file."""

    id: int
    image_id: int | str
    caption: str


class NamedRecord(msgspec.Struct, frozen=True):
    """An element of ``categories`` or ``licenses``."""

    id: int
    name: str


ToKeys = Callable[[Iterable[int | str]], pa.Array]


def number_keys(ids: Iterable[int | str]) -> pa.Array:
    """Image ids as int64, also where a file writes them as text.

    Raises:
        InputError: An id is not a whole number.
    """
    try:
        return pa.array(np.fromiter(map(int, ids), dtype=np.int64))
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"image ids must be all numbers (as they begin) or all text: {error}. Correct the file."
        ) from error


def text_keys(ids: Iterable[int | str]) -> pa.Array:
    """Image ids as text, for datasets that do not number their images."""
    return pa.array([str(i) for i in ids], type=pa.string())


def image_columns(rows: Sequence[ImageRecord], to_keys: ToKeys, path: str) -> pa.Table:
    """Images as columns ``key, file_name, split, width, height, license``; an unknown size is 0.

    Raises:
        InputError: A width or height is negative.
    """
    width, height = (_floats((getattr(row, side) or 0 for row in rows), len(rows)) for side in ("width", "height"))
    for i in np.flatnonzero((width < 0) | (height < 0)).tolist():
        raise InputError(
            f"{path}: image {rows[i].id} has a negative size ({rows[i].width} x {rows[i].height})."
            " Expected its width and height in pixels; correct or remove it."
        )
    default = _find_split(PurePosixPath(path).name)
    return pa.table(
        {
            "key": to_keys(row.id for row in rows),
            "file_name": pa.array([row.file_name for row in rows], pa.string()),
            "split": pa.array([_split(row) or default for row in rows], pa.string()),
            "width": pa.array(width.astype(np.int64)),
            "height": pa.array(height.astype(np.int64)),
            "license": pa.array([row.license for row in rows], pa.int64()),
        }
    )


def caption_columns(rows: Sequence[CaptionRecord], to_keys: ToKeys, path: str) -> pa.Table:
    """Captions as columns ``key, id, caption``, each on one line without blanks around it."""
    return pa.table(
        {
            "key": to_keys(row.image_id for row in rows),
            "id": _ints((row.id for row in rows), len(rows)),
            "caption": _on_one_line([row.caption for row in rows]),
        }
    )


def _on_one_line(texts: list[str]) -> pa.Array:
    """Replace every run of white space by one blank and strip the ends; most texts are as they should be."""
    column = pa.array(texts, pa.string())
    untidy = pc.match_substring_regex(column, _UNTIDY)
    tidied = [" ".join(text.split()) for text in column.filter(untidy).to_pylist()]
    return pc.replace_with_mask(column, untidy, pa.array(tidied, pa.string()))


def instance_columns(rows: Sequence[InstanceRecord], to_keys: ToKeys, path: str) -> pa.Table:
    """Instances as columns ``key, id, category_id, box_xywh_px, area, iscrowd``.

    Raises:
        InputError: A box has a negative width or height.
    """
    return pa.table(_box_columns(rows, to_keys, path))


def keypoint_columns(rows: Sequence[KeypointRecord], to_keys: ToKeys, path: str) -> pa.Table:
    """Keypoint annotations: the columns of instances, ``keypoints_xyv_px`` (51) and ``num_keypoints``.

    An annotation without keypoints has 51 zeros; ``num_keypoints`` is null where the file has none.

    Raises:
        InputError: A box has a negative size, keypoints are not 51 numbers, or a v is not 0, 1 or 2.
    """
    empty = [0.0] * KEYPOINT_NUMBERS
    lists = [empty if row.keypoints is None else row.keypoints for row in rows]
    lengths = np.fromiter(map(len, lists), np.int64, len(rows))
    for i in np.flatnonzero(lengths != KEYPOINT_NUMBERS).tolist():
        raise InputError(
            f"{path}: annotation {rows[i].id} has {lengths[i]} keypoint numbers. Expected {KEYPOINT_NUMBERS}:"
            " COCO's 17 keypoints, each x, y, v. Convert the file to COCO's keypoints."
        )
    xyv = _floats(chain.from_iterable(lists), len(rows) * KEYPOINT_NUMBERS).reshape(-1, 17, 3)
    v = xyv[:, :, 2]
    for i in np.flatnonzero(((v != 0) & (v != 1) & (v != 2)).any(axis=1)).tolist():
        raise InputError(
            f"{path}: annotation {rows[i].id} has a keypoint whose v is none of 0 (not labelled), 1 (hidden) and"
            " 2 (visible). Expected COCO's annotations, not a detector's scores."
        )
    xyv[v == 0] = 0.0
    return pa.table(
        {
            **_box_columns(rows, to_keys, path),
            "keypoints_xyv_px": pa.FixedSizeListArray.from_arrays(xyv.ravel(), KEYPOINT_NUMBERS),
            "num_keypoints": pa.array([row.num_keypoints for row in rows], pa.int64()),
        }
    )


def _box_columns(rows: Sequence[InstanceRecord | KeypointRecord], to_keys: ToKeys, path: str) -> _Columns:
    xywh = _floats(chain.from_iterable(row.bbox for row in rows), 4 * len(rows)).reshape(-1, 4)
    for i in np.flatnonzero((xywh[:, 2:] < 0).any(axis=1)).tolist():
        raise InputError(
            f"{path}: annotation {rows[i].id} has a box of negative size {rows[i].bbox}. Expected x, y, width and"
            " height in pixels; correct or remove it."
        )
    count = len(rows)
    area = [row.area if row.area is not None else row.bbox[2] * row.bbox[3] for row in rows]
    return {
        "key": to_keys(row.image_id for row in rows),
        "id": _ints((row.id for row in rows), count),
        "category_id": _ints((row.category_id for row in rows), count),
        "box_xywh_px": pa.FixedSizeListArray.from_arrays(xywh.ravel(), 4),
        "area": pa.array(area, pa.float64()),
        "iscrowd": pa.array(np.fromiter((row.iscrowd for row in rows), np.bool_, count)),
    }


def _ints(values: Iterable[int], count: int) -> pa.Array:
    return pa.array(np.fromiter(values, np.int64, count))


def _floats(values: Iterable[float], count: int) -> npt.NDArray[np.float64]:
    return np.fromiter(values, np.float64, count)


def _split(row: ImageRecord) -> str:
    return _find_split(row.file_name) or _split_of_folder((row.coco_url or "").rpartition("/")[0])


def _find_split(text: str) -> str:
    """The split that a name speaks of.

    >>> _find_split("COCO_train2014_000000134754.jpg")
    'train2014'
    >>> _find_split("photo.jpg")
    ''
    """
    found = _SPLIT.search(text)
    return found[0] if found else ""


_split_of_folder = lru_cache(_find_split)  # a file's images lie in a few folders
