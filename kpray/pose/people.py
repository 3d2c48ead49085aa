"""Codes between people: order, overlap, size, distance and head height, and how many people there are."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np

from kpray.pose.angles import Floats
from kpray.pose.bodies import Bodies
from kpray.pose.readings import MAX_MARGIN
from kpray.pose.vocabulary import PoseCode
from kpray.schemas import Box

MAX_PEOPLE: Final = 6
"""Pairs are made only among the people with the largest boxes, and only between neighbours."""

CROWD_FLAG: Final = "crowd"
"""A scene with this flag had people left out, so its people are not counted."""

MAX_COUNTED: Final = 9
"""COCO's annotators mark some ten to fifteen people one by one and leave the others of a crowd unmarked."""

SAME_DEPTH_RATIO: Final = 1.35
"""Statures that differ by less are taken to stand at a like distance from the camera."""


def largest_people(boxes_px: Floats) -> list[int]:
    """Indices of at most `MAX_PEOPLE` people with the largest boxes, in their own order.

    >>> largest_people(np.array([[0.0, 0, 1, 1], [0, 0, 5, 5]]))
    [0, 1]
    """
    areas = (boxes_px[:, 2] - boxes_px[:, 0]) * (boxes_px[:, 3] - boxes_px[:, 1])
    return sorted(np.argsort(-areas, kind="stable")[:MAX_PEOPLE].tolist())


def count_code(people: int, flags: tuple[str, ...]) -> list[PoseCode]:
    """How many people are annotated one by one; nothing where others may have been left out."""
    if CROWD_FLAG in flags or people > MAX_COUNTED:
        return []
    return [PoseCode("person_count", str(people), -1, "", None, None, (), float(people), MAX_MARGIN)]


def pair_codes(bodies: Bodies, boxes_px: Floats) -> list[PoseCode]:
    """Facts about neighbours among the largest people, the person with the lower index first."""
    boxes: list[Box] = [tuple(box) for box in boxes_px.tolist()]
    chosen = sorted(largest_people(boxes_px), key=lambda i: boxes[i][0] + boxes[i][2])
    statures: list[float] = bodies.stature.tolist()
    heads: list[float] = bodies.face.imag.tolist()
    codes: list[PoseCode] = []
    for one, two in sorted((min(p), max(p)) for p in pairwise(chosen)):
        pair = _Pair(one, two, bodies, codes)
        pair.boxes(boxes[one], boxes[two])
        if statures[one] > 0 and statures[two] > 0:  # False for NaN
            pair.sizes(statures[one], statures[two])
            pair.depths(boxes[one], boxes[two], statures[one], statures[two], heads[one], heads[two])
    return codes


class _Pair:
    """Collects the codes of one pair."""

    def __init__(self, one: int, two: int, bodies: Bodies, codes: list[PoseCode]) -> None:
        self.one, self.two, self.bodies, self.codes = one, two, bodies, codes

    def add(self, name: str, value: str, measure: float, margin: float, keypoints: tuple[int, ...] = ()) -> None:
        """Keep a code if its margin is large enough."""
        if margin >= 1.0:
            rounded = round(measure, 3), round(min(margin, MAX_MARGIN), 2)
            self.codes.append(PoseCode(name, value, self.one, "", self.two, None, keypoints, *rounded))

    def boxes(self, a: Box, b: Box) -> None:
        """Order and overlap, from boxes alone."""
        narrow = max(min(a[2] - a[0], b[2] - b[0]), 1.0)
        shift = ((b[0] + b[2]) - (a[0] + a[2])) / 2 / max(a[2] - a[0], b[2] - b[0], 1.0)
        shared_x = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        shared = shared_x * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        part = shared / max(min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])), 1.0)
        if shared_x / narrow < 0.6:
            self.add("order", "image_left_of" if shift > 0 else "image_right_of", shift, (abs(shift) - 0.3) / 0.1)
        self.add("overlap", "overlapping", part, (part - 0.1) / 0.05)
        if shared == 0.0:
            gap = max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3])
            self.add("overlap", "separate", part, gap / max(0.02 * max(a[3] - a[1], b[3] - b[1]), 1.0))

    def sizes(self, one: float, two: float) -> None:
        """Relative size in the picture, from statures."""
        used = tuple(sorted({*self.bodies.stature_keypoints[self.one], *self.bodies.stature_keypoints[self.two]}))
        factor = float(np.log2(one / two))
        self.add("size", "larger", factor, (factor - 0.5) / 0.15, used)
        self.add("size", "smaller", factor, (-factor - 0.5) / 0.15, used)
        self.add("size", "similar", factor, (0.35 - abs(factor)) / 0.15, used)

    def depths(
        self,
        a: Box,
        b: Box,
        stature_a: float,
        stature_b: float,
        head_a: float,
        head_b: float,
    ) -> None:
        """Distance and head height, only for people at a like distance from the camera."""
        if max(stature_a, stature_b) > SAME_DEPTH_RATIO * min(stature_a, stature_b):
            return
        size = (stature_a + stature_b) / 2
        keypoints = self.bodies.stature_keypoints
        used = tuple(sorted({*keypoints[self.one], *keypoints[self.two]}))
        gap = max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3], 0.0) / size
        self.add("distance", "close", gap, (0.2 - gap) / 0.1, used)
        self.add("distance", "far", gap, (gap - 1.2) / 0.2, used)
        rise = (head_b - head_a) / size
        faces = tuple(sorted({*used, *self.bodies.face_keypoints[self.one], *self.bodies.face_keypoints[self.two]}))
        self.add("height", "higher", rise, (rise - 0.15) / 0.05, faces)
        self.add("height", "lower", rise, (-rise - 0.15) / 0.05, faces)
