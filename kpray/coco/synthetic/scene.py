"""A synthetic scene as the reader would give it, without going through files."""

from __future__ import annotations

from kpray.coco.synthetic.types import BoxPx, SyntheticScene
from kpray.schemas import Box, Person, Scene, SceneObject


def as_scene(scene: SyntheticScene, *, first_image_id: int = 1) -> Scene:
    """Convert to the type that the rest of kpray takes.

    Args:
        scene: From `kpray.coco.synthetic.synthesize`.
        first_image_id: As for `kpray.coco.synthetic.write_coco`; ids agree with the files that it writes.

    Returns:
        The same people and objects in the same order, in fractions of the image, without the crowd.
    """
    w, h, image_id = scene.width, scene.height, first_image_id + scene.index
    drawn = [p for p in scene.people if p.area_px]
    people = tuple(
        Person(
            annotation_id=image_id * 100 + i,
            box_xyxy_norm=_norm(p.box_xywh_px, w, h),
            keypoints_xyv_norm=tuple((x / w, y / h, v) for x, y, v in p.keypoints_xyv_px),
            num_labelled=p.num_labelled,
            area_px=float(p.area_px),
        )
        for i, p in enumerate(drawn)
    )
    things = tuple(
        SceneObject(image_id * 100 + len(drawn) + i, o.category, _norm(o.box_xywh_px, w, h))
        for i, o in enumerate(scene.objects)
    )
    name = f"{image_id:012d}.jpg"
    return Scene(str(image_id), name, "synthetic", w, h, 1, scene.captions, things, people)


def _norm(box: BoxPx, width: int, height: int) -> Box:
    x, y, w, h = box
    return x / width, y / height, (x + w) / width, (y + h) / height
