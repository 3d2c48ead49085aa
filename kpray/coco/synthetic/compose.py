"""From a layout to a `SyntheticScene`: paint, see what is visible, annotate, caption."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt

from kpray.coco.synthetic.backgrounds import SETTINGS, crowd
from kpray.coco.synthetic.captions import write_captions
from kpray.coco.synthetic.layout import Actor, Layout, lay_out
from kpray.coco.synthetic.masks import box_of, outlines, run_lengths, top_shape_index
from kpray.coco.synthetic.people import paint_person
from kpray.coco.synthetic.props import PROPS, Builder
from kpray.coco.synthetic.shapes import CROWD, Part, Shape
from kpray.coco.synthetic.skeleton import SIDES, Figure, View
from kpray.coco.synthetic.types import (
    ArmTruth,
    BendTruth,
    Drawing,
    PoseTruth,
    SyntheticCrowd,
    SyntheticObject,
    SyntheticPerson,
    SyntheticScene,
)
from kpray.schemas import KEYPOINT_NAMES

DROP_RATE = 0.02  # of keypoints, left unlabelled for no reason, as annotators do
MIN_OBJECT_AREA_PX = 24
MIN_TOLD_AREA_PX = 60  # of a person, to be in the captions


def synthesize(index: int, seed: int) -> SyntheticScene:
    """Make scene ``index`` of a series.

    A scene depends on nothing but its index and seed, so scene 5 of 10 is scene 5 of 1,000.

    Args:
        index: 0 or more. Scene ``i`` leads with pose kind ``i`` modulo the number of kinds.
        seed: Another seed gives another series.

    Returns:
        The scene, annotated, with everything that `kpray.coco.synthetic.render` needs.
    """
    rng = random.Random(f"{seed}:{index}")
    layout = lay_out(index, rng)
    backdrop = SETTINGS[layout.setting](layout.stage, rng)
    spectators = _spectators(layout, rng)
    shapes, categories = _paint(layout, rng)
    shapes = spectators + shapes
    seen = _Seen(shapes, layout.stage.width, layout.stage.height)
    objects = _annotate_objects(categories, seen)
    people = tuple(_annotate_person(i, a, seen, rng) for i, a in enumerate(layout.actors))
    shown = [
        (actor, tuple(o.category for o in objects if o.person == i))
        for i, actor in enumerate(layout.actors)
        if people[i].area_px >= MIN_TOLD_AREA_PX
    ]
    return SyntheticScene(
        index=index,
        seed=seed,
        width=layout.stage.width,
        height=layout.stage.height,
        setting=layout.setting,
        people=people,
        objects=objects,
        crowd=seen.crowd() if spectators else None,
        captions=write_captions(shown, layout.setting, bool(spectators), rng),
        drawing=Drawing(backdrop, _shadows(layout), tuple(shapes)),
    )


def _spectators(layout: Layout, rng: random.Random) -> list[Shape]:
    open_air = layout.setting in ("park", "beach", "street", "court")
    high_enough = 0.1 < layout.stage.horizon / layout.stage.height < 0.7
    return crowd(layout.stage, rng) if open_air and high_enough and rng.random() < 0.06 else []


def _paint(layout: Layout, rng: random.Random) -> tuple[list[Shape], list[tuple[int, int, str]]]:
    """Shapes far to near, and for each object its owner number, its person and its category."""
    shapes: list[Shape] = []
    categories: list[tuple[int, int, str]] = []
    for person, actor in enumerate(layout.actors):
        parts = paint_person(actor.figure, actor.view, actor.look, person)
        for category in (actor.support, actor.prop):
            if category:
                owner = len(layout.actors) + len(categories)
                builder = Builder(actor.figure, actor.view, owner, actor.side, rng)
                parts += PROPS[category](builder)
                categories.append((owner, person, category))
        shapes += [shape for part in sorted(parts, key=_depth) for shape in part.shapes]
    return shapes, categories


def _depth(part: Part) -> float:
    return part.depth


def _shadows(layout: Layout) -> tuple[tuple[float, float, float, float], ...]:
    """Under each pair of feet, or under the whole of somebody who lies."""
    shadows = []
    for actor in (a for a in layout.actors if a.support != "bed"):
        v = actor.view
        low = [p for p in actor.figure.joints.values() if float(p[1]) < 0.35]
        spread = [v.px(np.array([p[0], 0.0, p[2]]))[0] for p in low] or [v.ground_x]
        depths = [v.px(np.array([p[0], 0.0, p[2]]))[1] for p in low] or [v.ground_y]
        x, y = (min(spread) + max(spread)) / 2, (min(depths) + max(depths)) / 2
        rx = max((max(spread) - min(spread)) / 2 + 0.13 * v.px_per_m, 0.26 * v.px_per_m)
        shadows.append((x, y, rx, max(0.07 * v.px_per_m, (max(depths) - min(depths)) / 2 + 0.05 * v.px_per_m)))
    return tuple(shadows)


class _Seen:
    """What is on top at each pixel of a painted scene."""

    def __init__(self, shapes: list[Shape], width: int, height: int) -> None:
        self.shapes = shapes
        self.width, self.height = width, height
        self.top = top_shape_index(shapes, width, height)
        owners = np.array([*(s.owner for s in shapes), -1], dtype=np.int32)
        self.owner: npt.NDArray[np.int32] = owners[self.top]  # index -1 is the last: background

    def region(self, owner: int) -> tuple[tuple[float, float, float, float], int, tuple[tuple[float, ...], ...]]:
        """Box, area and outlines of what one sees of a thing; zeros if nothing."""
        mask = self.owner == owner
        box = box_of(mask)
        if box is None:
            return (0.0, 0.0, 0.0, 0.0), 0, ()
        x, y, w, h = box
        cut = mask[y : y + h, x : x + w]
        polygons = tuple(tuple(c + (y if i % 2 else x) for i, c in enumerate(polygon)) for polygon in outlines(cut))
        return (float(x), float(y), float(w), float(h)), int(cut.sum()), polygons

    def crowd(self) -> SyntheticCrowd | None:
        mask = self.owner == CROWD
        box = box_of(mask)
        if box is None:
            return None
        x, y, w, h = (float(c) for c in box)
        return SyntheticCrowd((x, y, w, h), int(mask.sum()), run_lengths(mask))

    def part_at(self, x: int, y: int, owner: int) -> str | None:
        """Name of the part of this person that is on top at a pixel; None if something else is."""
        index = int(self.top[y, x])
        if index < 0 or self.shapes[index].owner != owner:
            return None
        return self.shapes[index].part


def _annotate_objects(categories: list[tuple[int, int, str]], seen: _Seen) -> tuple[SyntheticObject, ...]:
    objects = []
    for owner, person, category in categories:
        box, area, polygons = seen.region(owner)
        if area >= MIN_OBJECT_AREA_PX:
            objects.append(SyntheticObject(category, person, box, area, polygons))
    return tuple(objects)


def _annotate_person(index: int, actor: Actor, seen: _Seen, rng: random.Random) -> SyntheticPerson:
    box, area, polygons = seen.region(index)
    keypoints = tuple(_label(name, index, actor, seen, rng) for name in KEYPOINT_NAMES)
    if actor.bystander:
        keypoints = ((0, 0, 0),) * len(KEYPOINT_NAMES)
    return SyntheticPerson(
        pose=actor.kind.name,
        truth=_truth(actor),
        noun=actor.look.noun,
        keypoints_xyv_px=keypoints,
        box_xywh_px=box,
        area_px=area,
        segmentation=polygons,
    )


def _label(name: str, index: int, actor: Actor, seen: _Seen, rng: random.Random) -> tuple[int, int, int]:
    """One keypoint as an annotator would give it."""
    dropped, guessed = rng.random() < DROP_RATE, rng.random() < 0.3
    x, y = (round(c) for c in actor.view.px(actor.figure.joints[name]))
    behind = _turned_away(name, actor)
    if dropped or not (0 <= x < seen.width and 0 <= y < seen.height) or (behind and not guessed):
        return 0, 0, 0
    on_top = seen.part_at(x, y, index)
    visible = on_top in _parts_that_show(name) and not behind and not _far_side(name, actor)
    return x, y, 2 if visible else 1


def _turned_away(name: str, actor: Actor) -> bool:
    """Whether a point of the face lies on the far side of the head."""
    if name not in KEYPOINT_NAMES[:5]:
        return False
    v, joints = actor.view, actor.figure.joints
    margin = -0.05 if name == "nose" else (-0.35 if name.endswith("ear") else 0.1)
    return v.depth(joints[name]) - v.depth(joints["skull"]) < margin * actor.figure.body.head_radius


def _far_side(name: str, actor: Actor) -> bool:
    """Whether a shoulder or hip is behind the torso, seen from the side."""
    if not name.endswith(("shoulder", "hip")):
        return False
    v, joints = actor.view, actor.figure.joints
    other = name.replace("left", "*").replace("right", "left").replace("*", "right")
    half_width = float(np.linalg.norm(joints[name] - joints[other])) / 2
    return (v.depth(joints[name]) - v.depth(joints[other])) / 2 < -0.8 * half_width


def _parts_that_show(name: str) -> tuple[str, ...]:
    if name in KEYPOINT_NAMES[:5]:
        return ("head",)
    side, joint = name.split("_")
    if joint == "shoulder":
        return f"{side}_arm", "torso", "head"
    if joint == "hip":
        return f"{side}_leg", "torso"
    return (f"{side}_arm",) if joint in ("elbow", "wrist") else (f"{side}_leg",)


def _truth(actor: Actor) -> PoseTruth:
    f = actor.figure
    angles: dict[str, float] = {}
    for s in SIDES:
        angles[f"{s}_elbow"] = f.angle_deg(f"{s}_shoulder", f"{s}_elbow", f"{s}_wrist")
        angles[f"{s}_knee"] = f.angle_deg(f"{s}_hip", f"{s}_knee", f"{s}_ankle")
        angles[f"{s}_hip"] = f.angle_deg(f"{s}_shoulder", f"{s}_hip", f"{s}_knee")
        down, upper = (
            f.torso_frame @ np.array([0, -1.0, 0]),
            f.joints[f"{s}_elbow"] - f.joints[f"{s}_shoulder"],
        )
        angles[f"{s}_arm"] = float(np.degrees(np.arccos(np.clip(down @ upper / np.linalg.norm(upper), -1, 1))))
    above = {s: float(f.joints[f"{s}_wrist"][1]) > float(f.joints[f"{s}_shoulder"][1]) for s in SIDES}
    return PoseTruth(
        posture=actor.kind.posture,
        facing=_facing(f, actor.view),
        left_arm=_arm_word(angles["left_arm"]),
        right_arm=_arm_word(angles["right_arm"]),
        left_elbow=_bend_word(angles["left_elbow"]),
        right_elbow=_bend_word(angles["right_elbow"]),
        left_knee=_bend_word(angles["left_knee"]),
        right_knee=_bend_word(angles["right_knee"]),
        left_wrist_above_shoulder=above["left"],
        right_wrist_above_shoulder=above["right"],
        angles_deg=angles,
    )


def _arm_word(deg: float) -> ArmTruth:
    return "down" if deg < 45 else ("out" if deg < 115 else "raised")


def _bend_word(deg: float) -> BendTruth:
    return "straight" if deg >= 150 else "bent"


def _facing(f: Figure, view: View) -> str:
    x, y, z = View(view.yaw_deg, 0.0, 1.0).camera(f.torso_frame @ np.array([0.0, 0.0, 1.0]))
    if abs(y) > max(abs(x), abs(z)):
        return "up" if y > 0 else "down"
    if abs(x) > abs(z):
        return "image_right" if x > 0 else "image_left"
    return "camera" if z > 0 else "away"
