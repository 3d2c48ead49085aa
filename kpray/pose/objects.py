"""Codes between a person and an object: held, on, beside, and on which side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from kpray.pose.angles import Floats, Points
from kpray.pose.bodies import ANKLES, ELBOWS, HIPS, KNEES, SHOULDERS, WRISTS, Bodies
from kpray.pose.people import largest_people
from kpray.pose.readings import MAX_MARGIN
from kpray.pose.vocabulary import PoseCode
from kpray.schemas import Box, Scene

MAX_OBJECTS: Final = 8
"""Only the objects with the largest boxes are set beside people; things in hands are always looked at."""

HAND_OF_FOREARM: Final = 0.37
"""Middle of the hand beyond the wrist, as a share of the forearm (Winter: half of 0.108 over 0.146)."""

HOLDABLE: Final = {
    "umbrella": 1.2,
    "suitcase": 0.7,
    "frisbee": 0.3,
    "snowboard": 1.1,
    "sports ball": 0.3,
    "baseball bat": 0.8,
    "baseball glove": 0.3,
    "skateboard": 0.7,
    "surfboard": 1.8,
    "tennis racket": 0.7,
    "bottle": 0.3,
    "wine glass": 0.25,
    "cup": 0.2,
    "fork": 0.25,
    "knife": 0.4,
    "spoon": 0.25,
    "banana": 0.25,
    "apple": 0.15,
    "sandwich": 0.3,
    "orange": 0.15,
    "carrot": 0.25,
    "hot dog": 0.25,
    "pizza": 0.4,
    "donut": 0.2,
    "cake": 0.4,
    "remote": 0.25,
    "cell phone": 0.2,
    "book": 0.4,
    "scissors": 0.25,
    "teddy bear": 0.7,
    "hair drier": 0.3,
    "toothbrush": 0.25,
}
"""COCO's categories that a hand can hold, with the longest box side that is plausible, in statures."""

SEATS: Final = frozenset({"chair", "couch", "bed", "bench"})
MOUNTS: Final = frozenset({"bicycle", "motorcycle", "horse", "elephant", "cow"})
WORN: Final = "baseball glove"
"""Held with one hand at a time."""

BOARDS: Final = frozenset({"skateboard", "skis", "snowboard", "surfboard"})


def object_codes(scene: Scene, bodies: Bodies, boxes_px: Floats) -> list[PoseCode]:
    """Facts about the largest people and the objects around them, in the order of people and objects."""
    if not scene.objects or not scene.people:
        return []
    scale = np.array([scene.width, scene.height, scene.width, scene.height])
    boxes = (np.array([thing.box_xyxy_norm for thing in scene.objects]) * scale).tolist()
    objects: list[Box] = [tuple(box) for box in boxes]
    large = set(sorted(range(len(objects)), key=lambda i: -_area(objects[i]))[:MAX_OBJECTS])
    hands = _hands(bodies)
    codes: list[PoseCode] = []
    for person in largest_people(boxes_px):
        body: Box = tuple(boxes_px[person].tolist())
        whole = body[3] < 0.98 * scene.height
        for index, box in enumerate(objects):
            category = scene.objects[index].category
            found = _held(bodies, hands, person, index, category, box) or _on(bodies, person, index, category, box)
            if not found and index in large:
                found = _next_to(bodies, person, index, body, box, whole)
            codes += found
    return _one_thing_per_hand(_without_rivals(codes))


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _hands(bodies: Bodies) -> Points:
    """(2, P) middles of the hands: beyond the wrist along the forearm, or the wrist if there is no elbow."""
    wrists, elbows = bodies.points[WRISTS], bodies.points[ELBOWS]
    return wrists + HAND_OF_FOREARM * (wrists - elbows)


def _outside(point: complex, box: Box) -> float:
    """Distance from a point to a box; negative inside: minus the distance to the nearest edge.

    >>> _outside(5 + 5j, (0, 0, 10, 20)), _outside(13 + 24j, (0, 0, 10, 20))
    (-5.0, 5.0)
    """
    dx = max(box[0] - point.real, point.real - box[2])
    dy = max(box[1] - point.imag, point.imag - box[3])
    if dx <= 0 and dy <= 0:
        return float(max(dx, dy))
    return float(np.hypot(max(dx, 0.0), max(dy, 0.0)))


def _code(
    name: str, value: str, person: int, index: int, keypoints: Sequence[int], measure: float, margin: float
) -> PoseCode:
    used = tuple(sorted(set(keypoints)))
    rounded = round(float(measure), 3), round(float(min(margin, MAX_MARGIN)), 2)
    return PoseCode(name, value, person, "", None, index, used, *rounded)


def _held(bodies: Bodies, hands: Points, person: int, index: int, category: str, box: Box) -> list[PoseCode]:
    """In a hand: the hand's middle is in the object's box, and the object has a size that fits one."""
    stature = float(bodies.stature[person])
    longest = HOLDABLE.get(category, 0.0) * stature
    if not 0.02 * stature < max(box[2] - box[0], box[3] - box[1]) < longest:
        return []
    distances = [_outside(complex(hand), box) / stature for hand in hands[:, person]]
    holds = [distance <= 0.01 for distance in distances]  # False for NaN
    if not any(holds) or (all(holds) and category == WORN) or (category in BOARDS and not _off(bodies, person, box)):
        return []
    used = [*([7, 9] if holds[0] else []), *([8, 10] if holds[1] else []), *bodies.stature_keypoints[person]]
    value = "in_both_hands" if all(holds) else "in_left_hand" if holds[0] else "in_right_hand"
    deepest = min(d for d, held in zip(distances, holds, strict=True) if held)
    return [_code("object", value, person, index, used, deepest, (0.03 - deepest) / 0.02)]


def _off(bodies: Bodies, person: int, box: Box) -> bool:
    """Whether both feet are surely not on a board; a hand over a board underfoot does not hold it."""
    return all(_outside(complex(a), box) > 0.1 * bodies.stature[person] for a in bodies.points[ANKLES, person])


def _on(bodies: Bodies, person: int, index: int, category: str, box: Box) -> list[PoseCode]:
    if category in BOARDS:
        return _on_board(bodies, person, index, box)
    if category in SEATS or category in MOUNTS:
        return _on_seat(bodies, person, index, category, box)
    return []


def _on_board(bodies: Bodies, person: int, index: int, box: Box) -> list[PoseCode]:
    """Both ankles over the board: within its width, close above its lower edge, the hips above the ankles."""
    size = float(bodies.stature[person])
    ankles = bodies.points[ANKLES, person]
    hips = bodies.points[HIPS, person]
    if np.isnan(size) or np.isnan(ankles.real).any() or np.isnan(hips.real).any():
        return []
    inside = min(min(a.real - box[0], box[2] - a.real) for a in ankles) / size
    height = max(max(a.imag - box[3], box[1] - a.imag) for a in ankles) / size
    drop = (ankles.imag.min() - hips.imag.max()) / size
    margin = min((inside + 0.08) / 0.05, (0.13 - height) / 0.05, (drop - 0.1) / 0.05)
    return [_code("object", "on", person, index, (11, 12, 15, 16), height, margin)] if margin >= 1 else []


def _on_seat(bodies: Bodies, person: int, index: int, category: str, box: Box) -> list[PoseCode]:
    """Hips within the seat or mount, thighs not hanging straight down, ankles not below it."""
    size = float(bodies.stature[person])
    hips, knees = bodies.points[HIPS, person], bodies.points[KNEES, person]
    shoulders = bodies.points[SHOULDERS, person]
    if np.isnan(size) or np.isnan(hips.real).any() or np.isnan(knees.real).any() or np.isnan(shoulders.real).any():
        return []
    inside = min(min(h.real - box[0], box[2] - h.real) for h in hips) / size
    over = max(box[1] - h.imag for h in hips) / size
    under = max(h.imag - box[3] for h in hips) / size
    drop = max((k.imag - h.imag) for h, k in zip(hips, knees, strict=True)) / size
    above_hips = (hips.imag.min() - shoulders.imag.max()) / size
    mounted = category in MOUNTS
    ankles = bodies.points[ANKLES, person]
    lowest = np.nanmax(np.append(ankles.imag, -np.inf))
    margin = min(
        (inside + 0.02) / 0.03,
        ((0.22 if mounted else 0.05) - over) / 0.05,
        (-0.02 - under) / 0.03,
        ((0.19 if mounted else 0.12) - drop) / 0.02,
        (above_hips - 0.1) / 0.05,
        (box[3] + 0.05 * size - lowest) / (0.03 * size),
    )
    if np.isinf(lowest) and mounted:
        return []
    return [_code("object", "on", person, index, (5, 6, 11, 12, 13, 14, 15, 16), drop, margin)] if margin >= 1 else []


def _next_to(bodies: Bodies, person: int, index: int, body: Box, box: Box, whole: bool) -> list[PoseCode]:
    """On one side without any overlap; beside if the gap is small and both reach as low in the picture.

    A person whom the picture's lower edge cuts off (not `whole`) stands on no known ground.
    """
    size = float(bodies.stature[person])
    gap = max(box[0] - body[2], body[0] - box[2]) / size
    if not gap >= 0.04:
        return []
    value = "image_right_of" if box[0] > body[2] else "image_left_of"
    codes = [_code("object_side", value, person, index, (), gap, gap / 0.04)]
    level, tall = abs(box[3] - body[3]) / size, (box[3] - box[1]) / size
    margin = min((0.35 - gap) / 0.05, (0.15 - level) / 0.05, (tall - 0.15) / 0.05)
    if margin >= 1 and whole:
        codes.append(_code("object", "beside", person, index, bodies.stature_keypoints[person], gap, margin))
    return codes


def _without_rivals(codes: list[PoseCode]) -> list[PoseCode]:
    """Drop held and ridden objects that two people seem to have: boxes alone do not say whose they are."""
    claims: dict[int | None, set[int]] = {}
    for code in codes:
        if code.name == "object" and code.value != "beside":
            claims.setdefault(code.object, set()).add(code.person)
    shared = {index for index, people in claims.items() if len(people) > 1}
    return [c for c in codes if c.name != "object" or c.value == "beside" or c.object not in shared]


def _one_thing_per_hand(codes: list[PoseCode]) -> list[PoseCode]:
    """Of several things in one hand none is sure: hands overlap what lies before and behind them."""
    hands = {"in_left_hand": (0,), "in_right_hand": (1,), "in_both_hands": (0, 1)}
    taken = Counter((c.person, hand) for c in codes for hand in hands.get(c.value, ()))
    return [c for c in codes if all(taken[c.person, hand] == 1 for hand in hands.get(c.value, ()))]
