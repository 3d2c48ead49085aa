"""Scenes as columns: the form in which they are stored in Parquet and pass through Ray Data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kpray.schemas import Box, Keypoint, Person, Scene, SceneObject

_BOX: Final = pa.list_(pa.float64(), 4)

OBJECT_TYPE: Final = pa.struct(
    [
        pa.field("annotation_id", pa.int64(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("box_xyxy_norm", _BOX, nullable=False),
    ]
)
"""`SceneObject`."""

PERSON_TYPE: Final = pa.struct(
    [
        pa.field("annotation_id", pa.int64(), nullable=False),
        pa.field("box_xyxy_norm", _BOX, nullable=False),
        pa.field("keypoints_xyv_norm", pa.list_(pa.float64(), 51), nullable=False),
        pa.field("num_labelled", pa.int64(), nullable=False),
        pa.field("area_px", pa.float64(), nullable=False),
    ]
)
"""`Person`; its keypoints are 51 numbers in a row, as in COCO's own files."""

SCENE_SCHEMA: Final = pa.schema(
    [
        pa.field("scene_id", pa.string(), nullable=False),
        pa.field("file_name", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("width", pa.int64(), nullable=False),
        pa.field("height", pa.int64(), nullable=False),
        pa.field("license_id", pa.int64()),
        pa.field("captions", pa.list_(pa.string()), nullable=False),
        pa.field("objects", pa.list_(OBJECT_TYPE), nullable=False),
        pa.field("people", pa.list_(PERSON_TYPE), nullable=False),
        pa.field("flags", pa.list_(pa.string()), nullable=False),
    ]
)
"""`Scene`, one a row."""

_PLAIN: Final = ("scene_id", "file_name", "split", "width", "height", "license_id")
_Item = TypeVar("_Item")


def scenes_to_table(scenes: Iterable[Scene]) -> pa.Table:
    """Scenes as a table of `SCENE_SCHEMA`; `table_to_scenes` gives equal scenes back."""
    scenes = list(scenes)
    people = [person for scene in scenes for person in scene.people]
    objects = [item for scene in scenes for item in scene.objects]
    columns = {name: [getattr(scene, name) for scene in scenes] for name in _PLAIN}
    columns["captions"] = [scene.captions for scene in scenes]
    columns["objects"] = as_lists(_offsets(scene.objects for scene in scenes), _object_array(objects))
    columns["people"] = as_lists(_offsets(scene.people for scene in scenes), _person_array(people))
    columns["flags"] = [scene.flags for scene in scenes]
    return pa.table(columns, schema=SCENE_SCHEMA)


def table_to_scenes(table: pa.Table) -> list[Scene]:
    """The scenes of a table of `SCENE_SCHEMA`, in its order."""
    plain = (table[name].to_pylist() for name in _PLAIN)
    captions = _split_lists(table["captions"], lambda values: values.to_pylist())
    objects = _split_lists(table["objects"], _to_objects)
    people = _split_lists(table["people"], _to_people)
    flags = _split_lists(table["flags"], lambda values: values.to_pylist())
    return [Scene(*row) for row in zip(*plain, captions, objects, people, flags, strict=True)]


def object_struct(ids: pa.Array, categories: pa.Array, box_xyxy_norm: npt.NDArray[np.float64]) -> pa.StructArray:
    """Objects as one array; boxes are (N, 4)."""
    return pa.StructArray.from_arrays([ids, categories, _fixed(box_xyxy_norm, 4)], fields=list(OBJECT_TYPE))


def person_struct(
    ids: pa.Array,
    box_xyxy_norm: npt.NDArray[np.float64],
    keypoints_xyv_norm: npt.NDArray[np.float64],
    num_labelled: pa.Array,
    area_px: pa.Array,
) -> pa.StructArray:
    """People as one array; boxes are (N, 4), keypoints (N, 17, 3)."""
    boxes, keypoints = _fixed(box_xyxy_norm, 4), _fixed(keypoints_xyv_norm, 51)
    return pa.StructArray.from_arrays([ids, boxes, keypoints, num_labelled, area_px], fields=list(PERSON_TYPE))


def as_lists(offsets: npt.NDArray[np.int64], values: pa.Array) -> pa.ListArray:
    """Lists of consecutive values; list i is ``values[offsets[i]:offsets[i + 1]]``."""
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _offsets(groups: Iterable[Sequence[Any]]) -> npt.NDArray[np.int64]:
    return np.cumsum([0, *(len(group) for group in groups)], dtype=np.int64)


def _fixed(values: npt.NDArray[np.float64], width: int) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).ravel()), width)


def _object_array(objects: Sequence[SceneObject]) -> pa.StructArray:
    ids = pa.array([item.annotation_id for item in objects], pa.int64())
    categories = pa.array([item.category for item in objects], pa.string())
    return object_struct(ids, categories, np.array([item.box_xyxy_norm for item in objects], dtype=np.float64))


def _person_array(people: Sequence[Person]) -> pa.StructArray:
    return person_struct(
        pa.array([person.annotation_id for person in people], pa.int64()),
        np.array([person.box_xyxy_norm for person in people], dtype=np.float64),
        np.array([person.keypoints_xyv_norm for person in people], dtype=np.float64),
        pa.array([person.num_labelled for person in people], pa.int64()),
        pa.array([person.area_px for person in people], pa.float64()),
    )


def _split_lists(column: pa.ChunkedArray, convert: Callable[[pa.Array], list[_Item]]) -> list[tuple[_Item, ...]]:
    """Convert the values of a list column in one go, then cut them into one tuple per row."""
    lists = column.combine_chunks()
    items = convert(lists.flatten())
    edges = np.cumsum([0, *lists.value_lengths().to_numpy().tolist()]).tolist()
    return [tuple(items[begin:end]) for begin, end in pairwise(edges)]


def _to_boxes(array: pa.FixedSizeListArray) -> list[Box]:
    flat = array.flatten().to_numpy().reshape(-1, 4)
    return list(zip(*(column.tolist() for column in flat.T), strict=True))


def _to_objects(array: pa.StructArray) -> list[SceneObject]:
    ids, categories, boxes = array.flatten()
    return list(map(SceneObject, ids.to_pylist(), categories.to_pylist(), _to_boxes(boxes)))


def _to_people(array: pa.StructArray) -> list[Person]:
    ids, boxes, keypoints, num_labelled, area_px = array.flatten()
    return list(
        map(
            Person,
            ids.to_pylist(),
            _to_boxes(boxes),
            _to_keypoints(keypoints),
            num_labelled.to_pylist(),
            area_px.to_pylist(),
        )
    )


def _to_keypoints(array: pa.FixedSizeListArray) -> list[tuple[Keypoint, ...]]:
    x, y, v = array.flatten().to_numpy().reshape(-1, 3).T
    triples = list(zip(x.tolist(), y.tolist(), v.astype(np.int64).tolist(), strict=True))
    return [tuple(triples[i : i + 17]) for i in range(0, len(triples), 17)]
