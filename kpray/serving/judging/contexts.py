"""What a judge is told of a picture, as a request has it: COCO's annotations, or a `Scene` as kpray writes it.

Annotations in pixels become fractions here, by the same rules as in `kpray.coco`, so that a picture whose annotations
are sent is the same scene, and its judgement the same request, as one that was read from COCO's files.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from kpray.errors import InputError
from kpray.lineage import fingerprint_value
from kpray.schemas import Box, Keypoint, Person, Scene, SceneObject

_PERSON: Final = "person"
_NUMBERS: Final = 51
"""17 keypoints, each x, y, v."""

Size = Annotated[int, Meta(ge=1, le=100_000)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Caption = Annotated[str, Meta(max_length=2_000)]
SceneId = Annotated[str, Meta(min_length=1, max_length=40, pattern="^[ -~]*$")]
"""Names a folder of the ledger, hence short and plain."""

Pixels = Annotated[float, Meta(ge=-1e6, le=1e6)]


class CocoAnnotation(msgspec.Struct, frozen=True):
    """A person or thing as in COCO's files, with the category by its name; other fields of COCO's are not read.

    Attributes:
        category: ``person``, or what it is.
        bbox: x, y, width and height in pixels.
        keypoints: 51 numbers, COCO's 17 keypoints each as x, y in pixels and v (0, 1 or 2); only of people.
        id: Decides the order of people and things; without ids they stay in the order given.
        area: In square pixels; without it the box's.
        iscrowd: Crowds are left out.
    """

    category: Name
    bbox: tuple[Pixels, Pixels, Pixels, Pixels]
    keypoints: Annotated[list[Pixels], Meta(min_length=_NUMBERS, max_length=_NUMBERS)] | None = None
    id: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    area: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    iscrowd: Annotated[int, Meta(ge=0, le=1)] = 0


class CocoContext(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="form", tag="coco"):
    """A picture by its captions and annotations in pixels.

    Attributes:
        width: In pixels.
        height: In pixels.
        captions: In their order.
        annotations: People with their keypoints, and things.
        image_id: Under it judgements are kept; without one it is drawn from the content.
    """

    width: Size
    height: Size
    captions: Annotated[list[Caption], Meta(max_length=64)] = []
    annotations: Annotated[list[CocoAnnotation], Meta(max_length=200)] = []
    image_id: SceneId | Annotated[int, Meta(ge=0, le=2**53)] | None = None


class SceneContext(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="form", tag="scene"):
    """A picture as `kpray.schemas.Scene`: boxes and keypoints are fractions of its size."""

    scene: Scene


Context = CocoContext | SceneContext


def to_scene(context: Context) -> Scene:
    """The scene of a request's context.

    Raises:
        InputError: Its numbers cannot be those of a picture; the message names the place below ``context``.
    """
    return _checked(context.scene) if isinstance(context, SceneContext) else _from_coco(context)


def _from_coco(context: CocoContext) -> Scene:
    ids = [annotation.id for annotation in context.annotations if annotation.id is not None]
    if len(set(ids)) < len(ids):
        raise InputError("annotations: two have the same id; expected one for each person or thing, crowds too")
    for i, annotation in enumerate(context.annotations):
        _check_annotation(annotation, f"annotations[{i}]")
    single = [annotation for annotation in context.annotations if not annotation.iscrowd]
    if all(annotation.id is not None for annotation in single):
        single.sort(key=lambda annotation: annotation.id or 0)
    numbered = [(i if one.id is None else one.id, one) for i, one in enumerate(single)]
    captions = tuple(" ".join(caption.split()) for caption in context.captions)
    scene_id = f"content-{fingerprint_value(context)}" if context.image_id is None else str(context.image_id)
    size = (context.width, context.height)
    return Scene(
        scene_id=scene_id,
        file_name="",
        split="",
        width=context.width,
        height=context.height,
        license_id=None,
        captions=captions,
        objects=tuple(SceneObject(i, a.category, _box(a, size)) for i, a in numbered if a.category != _PERSON),
        people=tuple(_person(i, a, size) for i, a in numbered if a.category == _PERSON),
    )


def _check_annotation(annotation: CocoAnnotation, place: str) -> None:
    if annotation.bbox[2] < 0 or annotation.bbox[3] < 0:
        raise InputError(f"{place}.bbox: expected x, y, width and height, found a negative size")
    if annotation.keypoints is None:
        return
    if annotation.category != _PERSON:
        raise InputError(f"{place}.keypoints: only a person has them, found category {annotation.category!r}")
    if not {0, 1, 2}.issuperset(annotation.keypoints[2::3]):
        raise InputError(f"{place}.keypoints: expected v 0, 1 or 2 in every third place, found something else")


def _box(annotation: CocoAnnotation, size_px: tuple[int, int]) -> Box:
    x, y, width, height = annotation.bbox
    corners = (x, y, x + width, y + height)
    x1, y1, x2, y2 = (_fraction(value, side) for value, side in zip(corners, size_px * 2, strict=True))
    return x1, y1, x2, y2


def _person(annotation_id: int, annotation: CocoAnnotation, size_px: tuple[int, int]) -> Person:
    numbers = annotation.keypoints or [0.0] * _NUMBERS
    keypoints = tuple(_keypoint(numbers[i : i + 3], size_px) for i in range(0, _NUMBERS, 3))
    area = annotation.bbox[2] * annotation.bbox[3] if annotation.area is None else annotation.area
    return Person(annotation_id, _box(annotation, size_px), keypoints, sum(v > 0 for _, _, v in keypoints), area)


def _keypoint(xyv_px: list[float], size_px: tuple[int, int]) -> Keypoint:
    x, y, v = xyv_px
    return (_fraction(x, size_px[0]), _fraction(y, size_px[1]), int(v)) if v else (0.0, 0.0, 0)


def _fraction(value_px: float, side_px: int) -> float:
    return min(1.0, max(0.0, value_px / side_px))


def _checked(scene: Scene) -> Scene:
    """A scene that was sent, with what follows from the rest counted anew."""
    checks = {
        "scene_id": len(scene.scene_id) in range(1, 41) and scene.scene_id.isascii() and scene.scene_id.isprintable(),
        "width": 0 < scene.width <= 100_000,
        "height": 0 < scene.height <= 100_000,
        "captions": len(scene.captions) <= 64 and all(len(caption) <= 2_000 for caption in scene.captions),
        "objects": len(scene.objects) + len(scene.people) <= 200,
    }
    for name, holds in checks.items():
        if not holds:
            raise InputError(f"scene.{name}: too large, too long, or not plain; see CocoContext in /openapi.json")
    for i, thing in enumerate(scene.objects):
        _require_box(thing.box_xyxy_norm, f"scene.objects[{i}]")
        if not 0 < len(thing.category) <= 100:
            raise InputError(f"scene.objects[{i}].category: expected 1 to 100 characters")
    for i, person in enumerate(scene.people):
        _require_box(person.box_xyxy_norm, f"scene.people[{i}]")
        _require_keypoints(person.keypoints_xyv_norm, f"scene.people[{i}].keypoints_xyv_norm")
    people = tuple(
        msgspec.structs.replace(person, num_labelled=sum(v > 0 for _, _, v in person.keypoints_xyv_norm))
        for person in scene.people
    )
    return msgspec.structs.replace(scene, people=people)


def _require_box(box: Box, place: str) -> None:
    x1, y1, x2, y2 = box
    if not (0 <= x1 <= x2 <= 1 and 0 <= y1 <= y2 <= 1):
        raise InputError(f"{place}.box_xyxy_norm: expected x1, y1, x2, y2 as fractions of the picture, found {box}")


def _require_keypoints(keypoints: tuple[Keypoint, ...], place: str) -> None:
    good = all(v in (0, 1, 2) and 0 <= x <= 1 and 0 <= y <= 1 for x, y, v in keypoints)
    if len(keypoints) != _NUMBERS // 3 or not good or not all(math.isfinite(x + y) for x, y, _ in keypoints):
        raise InputError(f"{place}: expected 17 times x and y as fractions and v 0, 1 or 2, found {len(keypoints)}")
