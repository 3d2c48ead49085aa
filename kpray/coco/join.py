"""Joining a range of image ids: the rows of all files become scenes. The only place where units change."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kpray.coco import validate
from kpray.coco.filters import Candidates, ReadingReport, SceneFilter, apply_filters
from kpray.coco.rows import SCENE_SCHEMA, as_lists, object_struct, person_struct
from kpray.coco.spill import Key, Spilled, TableName, fetch, keys_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_KEYPOINTS_FILE: Final = 0  # position in `kpray.coco.source.ROLES`


class RangeJob(msgspec.Struct, frozen=True):
    """A range of image ids to join.

    Attributes:
        files: In the order of `kpray.coco.source.ROLES`.
        low: First image id; None has no limit.
        high: First image id beyond; None has no limit.
        scene_filter: What to keep (the limit is not applied here).
    """

    files: list[Spilled]
    low: Key | None
    high: Key | None
    scene_filter: SceneFilter


def join_range(job: RangeJob) -> tuple[pa.Table, ReadingReport]:
    """Join, convert, check and filter the scenes of a range.

    Returns:
        The kept scenes, sorted by image id, as `kpray.coco.rows.SCENE_SCHEMA`; and what was seen and left out
        (the counts of what is kept are 0: a limit may still take some).
    """
    images, duplicate_images = _images(job)
    boxes, has_crowd, report = _boxes(job, images)
    captions, lost_captions, duplicate_captions = _captions(job, images)
    people, objects = boxes.where(boxes.is_person), boxes.where(~boxes.is_person)
    flags = {**_doubts(images, people), validate.CROWD: has_crowd}
    scenes = _assemble(images, captions, people, objects, flags)
    enough = people.labelled >= job.scene_filter.min_keypoints
    candidates = Candidates(
        scenes=scenes,
        has_size=images.has_size,
        is_flagged=np.any([flags[name] for name in validate.DOUBTS], axis=0),
        num_people=np.bincount(people.image[enough], minlength=len(images.keys)),
    )
    kept, dropped = apply_filters(candidates, job.scene_filter)
    report += ReadingReport(
        images=len(images.keys),
        duplicate_images=duplicate_images,
        duplicate_annotations=duplicate_captions,
        annotations_without_image=lost_captions,
        flags={name: int(mask.sum()) for name, mask in flags.items()},
        dropped=dropped,
    )
    return scenes.filter(pa.array(kept)), report


@dataclass(frozen=True)
class _Images:
    """One row per image: its id, its row of the table, whether its size is known."""

    keys: npt.NDArray[Any]
    table: pa.Table
    has_size: Mask

    @property
    def size_px(self) -> Floats:
        """(N, 2) width and height."""
        return np.column_stack([self.table["width"].to_numpy(), self.table["height"].to_numpy()]).astype(np.float64)

    def find(self, keys: npt.NDArray[Any]) -> tuple[Ints, Mask]:
        """Positions of image ids, and which of the ids are there at all."""
        if not len(self.keys):
            return np.zeros(len(keys), dtype=np.int64), np.zeros(len(keys), dtype=np.bool_)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return places, np.asarray(self.keys[places] == keys, dtype=np.bool_)


def _fetch(job: RangeJob, file: Spilled, name: TableName) -> pa.Table | None:
    """The rows of the range, in the file's order within each image; None if there are none."""
    parts = [t for t in fetch([run for run in file.runs if run.table == name], job.low, job.high) if t.num_rows]
    return pa.concat_tables(parts).combine_chunks() if parts else None


def _images(job: RangeJob) -> tuple[_Images, int]:
    """Unite the image rows of all files: the first with a known size wins, in the order of the files."""
    tables = [table for file in job.files if (table := _fetch(job, file, "images")) is not None]
    if not tables:
        return _Images(np.empty(0, dtype=np.int64), _NO_IMAGES, np.empty(0, dtype=np.bool_)), 0
    duplicates = sum(table.num_rows - len(np.unique(keys_of(table))) for table in tables)
    table = pa.concat_tables(tables).combine_chunks()
    has_size = (table["width"].to_numpy() > 0) & (table["height"].to_numpy() > 0)
    known_first = np.argsort(~has_size, kind="stable")
    keys, first = np.unique(keys_of(table)[known_first], return_index=True)
    rows = known_first[first]
    return _Images(keys, table.take(pa.array(rows)), has_size[rows]), duplicates


_NO_IMAGES: Final = pa.table(
    {
        "file_name": pa.array([], pa.string()),
        "split": pa.array([], pa.string()),
        "width": pa.array([], pa.int64()),
        "height": pa.array([], pa.int64()),
        "license": pa.array([], pa.int64()),
    }
)


@dataclass(frozen=True)
class _Boxes:
    """Annotations with a box, one value a row, in pixels.

    Attributes:
        file: Position of the file in the job.
        image: Position of the image.
        id: Of the annotation.
        category: Name of the category.
        xyxy: (N, 4) box.
        xyv: (N, 17, 3) keypoints; zeros where there are none.
        stated: The file's own count of labelled keypoints; -1 where it gives none.
        area: In square pixels.
        is_crowd: COCO's ``iscrowd``.
    """

    file: Ints
    image: Ints
    id: Ints
    category: npt.NDArray[np.object_]
    xyxy: Floats
    xyv: Floats
    stated: Ints
    area: Floats
    is_crowd: Mask

    def where(self, rows: Mask | Ints) -> _Boxes:
        """Some of the rows, by mask or by position."""
        if rows.dtype == np.bool_ and rows.all():
            return self
        return _Boxes(*(getattr(self, field.name)[rows] for field in fields(self)))

    @cached_property
    def is_person(self) -> Mask:
        """Which rows are people."""
        return np.asarray(self.category == "person", dtype=np.bool_)

    @cached_property
    def labelled(self) -> Ints:
        """How many keypoints are labelled."""
        return np.asarray((self.xyv[:, :, 2] > 0).sum(axis=1), dtype=np.int64)


def _boxes(job: RangeJob, images: _Images) -> tuple[_Boxes, Mask, ReadingReport]:
    """All annotations with a box, each once, sorted by image and id, no crowds; which images had crowds of people."""
    parts, lost = [], 0
    for number, file in enumerate(job.files):
        if file.role != "captions" and (table := _fetch(job, file, "annotations")) is not None:
            image, known = images.find(keys_of(table))
            lost += int((~known).sum())
            parts.append(_box_rows(table, number, image, file.categories).where(known))
    if not parts:
        return _NO_BOXES, np.zeros(len(images.keys), dtype=np.bool_), ReadingReport()
    rows = _Boxes(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(_Boxes)))
    once = rows.where(_first_of(rows.file, rows.image, rows.id))
    # A keypoint annotation and its instance have one id; keypoints come first, so theirs is the row that stays.
    united = once.where(_first_of(once.image, once.id, once.is_person))
    has_crowd = np.bincount(united.image[united.is_crowd & united.is_person], minlength=len(images.keys)) > 0
    single = united.where(~united.is_crowd)
    repeated = _has_box_of_keypoints(single)
    single = single.where(~repeated)
    single = single.where(images.has_size[single.image])
    report = ReadingReport(
        annotations_without_image=lost,
        duplicate_annotations=len(rows.id) - len(once.id),
        crowds_left_out=int(united.is_crowd.sum()),
        same_box_people=int(repeated.sum()),
        keypoint_count_mismatches=int(((single.stated >= 0) & (single.stated != single.labelled)).sum()),
    )
    return single.where(np.lexsort((single.id, single.image))), has_crowd, report


def _box_rows(table: pa.Table, file: int, image: Ints, categories: dict[int, str]) -> _Boxes:
    count = table.num_rows
    xywh = table["box_xywh_px"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
    if "keypoints_xyv_px" in table.column_names:
        xyv = table["keypoints_xyv_px"].combine_chunks().flatten().to_numpy().reshape(-1, 17, 3)
        stated = table["num_keypoints"].fill_null(-1).to_numpy()
    else:
        xyv, stated = np.zeros((count, 17, 3)), np.full(count, -1)
    known_ids = sorted(categories)
    names = np.array([categories[i] for i in known_ids], dtype=np.object_)
    return _Boxes(
        file=np.full(count, file),
        image=image,
        id=table["id"].to_numpy(),
        category=names[np.searchsorted(known_ids, table["category_id"].to_numpy())],
        xyxy=np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]]),
        xyv=xyv,
        stated=stated,
        area=table["area"].to_numpy(),
        is_crowd=table["iscrowd"].to_numpy(),
    )


_NO_BOXES: Final = _Boxes(
    file=np.empty(0, dtype=np.int64),
    image=np.empty(0, dtype=np.int64),
    id=np.empty(0, dtype=np.int64),
    category=np.empty(0, dtype=np.object_),
    xyxy=np.empty((0, 4)),
    xyv=np.empty((0, 17, 3)),
    stated=np.empty(0, dtype=np.int64),
    area=np.empty(0),
    is_crowd=np.empty(0, dtype=np.bool_),
)


def _first_of(*columns: npt.NDArray[Any]) -> Mask:
    """Mark the first row of each distinct combination of values."""
    order = np.lexsort(columns)  # stable
    is_new = np.ones(len(order), dtype=np.bool_)
    if len(order):
        is_new[1:] = np.any([column[order][1:] != column[order][:-1] for column in columns], axis=0)
    first = np.zeros(len(order), dtype=np.bool_)
    first[order[is_new]] = True
    return first


def _has_box_of_keypoints(rows: _Boxes) -> Mask:
    """Person instances with exactly the box of a keypoint annotation in the same image.

    Files that were put together from several sources number the same person twice.
    """
    places = np.ascontiguousarray(np.column_stack([rows.image, rows.xyxy]))
    # Rows as single values, so that they can be compared as such.
    as_values = places.view([("", places.dtype)] * places.shape[1]).ravel()
    has_keypoints = rows.is_person & (rows.file == _KEYPOINTS_FILE)
    is_instance = rows.is_person & ~has_keypoints
    repeated = np.zeros(len(rows.id), dtype=np.bool_)
    if not is_instance.any():
        return repeated
    repeated[is_instance] = np.isin(as_values[is_instance], as_values[has_keypoints])
    return repeated


def _captions(job: RangeJob, images: _Images) -> tuple[pa.ListArray, int, int]:
    """Lists of captions by image, in the file's order; how many had no image; how many were repeated."""
    tables = [_fetch(job, file, "annotations") for file in job.files if file.role == "captions"]
    table = next((table for table in tables if table is not None), None)
    if table is None:
        return as_lists(np.zeros(len(images.keys) + 1, dtype=np.int64), pa.array([], pa.string())), 0, 0
    image, known = images.find(keys_of(table))
    image, ids, texts = image[known], table["id"].to_numpy()[known], table["caption"].filter(pa.array(known))
    first = _first_of(image, ids)
    says_something = first & (pc.binary_length(texts).to_numpy() > 0)
    image, texts = image[says_something], texts.filter(pa.array(says_something))
    order = np.argsort(image, kind="stable")
    lists = as_lists(_edges(image[order], len(images.keys)), texts.take(pa.array(order)).combine_chunks())
    return lists, int((~known).sum()), int((~first).sum())


def _edges(image: Ints, count: int) -> Ints:
    """Where each image's rows begin among rows that are sorted by image, and where the last ends."""
    return np.searchsorted(image, np.arange(count + 1))


def _doubts(images: _Images, people: _Boxes) -> dict[str, Mask]:
    """For each doubt, which images carry it."""
    by_person = {
        validate.KEYPOINTS_OUTSIDE_BOX: validate.keypoints_outside_box(people.xyv, people.xyxy),
        validate.HULL_MISFITS_BOX: validate.hull_misfits_box(people.xyv, people.xyxy),
    }
    flags = {name: np.bincount(people.image[mask], minlength=len(images.keys)) > 0 for name, mask in by_person.items()}
    return {**flags, validate.IMAGE_SIZE_MISSING: ~images.has_size}


def _assemble(
    images: _Images, captions: pa.ListArray, people: _Boxes, objects: _Boxes, flags: dict[str, Mask]
) -> pa.Table:
    count = len(images.keys)
    table = images.table
    flag_lists: list[list[str]] = [[] for _ in range(count)]
    for name, mask in flags.items():
        for i in np.flatnonzero(mask).tolist():
            flag_lists[i].append(name)
    columns = {
        "scene_id": pa.array(images.keys).cast(pa.string()),
        "file_name": table["file_name"],
        "split": table["split"],
        "width": table["width"],
        "height": table["height"],
        "license_id": table["license"],
        "captions": captions,
        "objects": as_lists(_edges(objects.image, count), _objects(objects, images)),
        "people": as_lists(_edges(people.image, count), _people(people, images)),
        "flags": pa.array(flag_lists, pa.list_(pa.string())),
    }
    return pa.table(columns, schema=SCENE_SCHEMA)


def _objects(rows: _Boxes, images: _Images) -> pa.StructArray:
    return object_struct(pa.array(rows.id), pa.array(rows.category, pa.string()), _normalised(rows, images))


def _people(rows: _Boxes, images: _Images) -> pa.StructArray:
    size = np.insert(images.size_px[rows.image], 2, 1.0, axis=1)
    xyv = rows.xyv / size[:, None, :]
    xyv[:, :, :2].clip(0, 1, out=xyv[:, :, :2])
    boxes = _normalised(rows, images)
    return person_struct(pa.array(rows.id), boxes, xyv, pa.array(rows.labelled), pa.array(rows.area))


def _normalised(rows: _Boxes, images: _Images) -> Floats:
    return (rows.xyxy / np.tile(images.size_px[rows.image], 2)).clip(0, 1)
