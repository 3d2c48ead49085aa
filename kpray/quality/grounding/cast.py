"""One scene as the decision looks at it: its people, their codes by name, and who may be missing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np

from kpray.pose.bodies import Bodies
from kpray.pose.people import CROWD_FLAG, MAX_COUNTED
from kpray.pose.vocabulary import PoseCode
from kpray.quality.grounding.captioned import Captioned, captioned
from kpray.quality.grounding.things import categories
from kpray.schemas import Box, Scene

HAND_OF_FOREARM: Final = 0.37
"""Middle of the hand beyond the wrist, as a share of the forearm (as in `kpray.pose.objects`)."""


class Cast:
    """The people of a scene and everything that is known of them.

    Attributes:
        scene: As given.
        people: How many are annotated.
        complete: Whether nearly everybody is annotated one by one: no crowd was left out, and not so many
            people that annotators stop.
        boxes: Of the people, in px.
    """

    def __init__(self, scene: Scene, codes: Sequence[PoseCode]) -> None:
        self.scene = scene
        self.people = len(scene.people)
        self.complete = CROWD_FLAG not in scene.flags and self.people <= MAX_COUNTED
        self.boxes: list[Box] = [_pixels(p.box_xyxy_norm, scene) for p in scene.people]
        self._codes: dict[tuple[int, str], list[PoseCode]] = {}
        for code in codes:
            self._codes.setdefault((code.person, code.name), []).append(code)

    def codes(self, person: int, name: str) -> Sequence[PoseCode]:
        """The codes of one name that are about one person."""
        return self._codes.get((person, name), ())

    @property
    def everybody(self) -> tuple[int, ...]:
        """Indices of all people."""
        return tuple(range(self.people))

    @cached_property
    def captions(self) -> Captioned:
        """How many people the captions speak of."""
        return captioned(self.scene.captions)

    @cached_property
    def centres(self) -> list[float]:
        """Middle of each person's box, as a fraction of the image's width."""
        return [(p.box_xyxy_norm[0] + p.box_xyxy_norm[2]) / 2 for p in self.scene.people]

    @cached_property
    def object_boxes(self) -> list[Box]:
        """Of the objects, in px."""
        return [_pixels(thing.box_xyxy_norm, self.scene) for thing in self.scene.objects]

    def things(self, noun: str) -> tuple[int, ...]:
        """Indices of the objects that a noun may mean; empty also where objects were not read."""
        names = categories(noun)
        return tuple(i for i, thing in enumerate(self.scene.objects) if thing.category in names)

    @cached_property
    def _bodies(self) -> Bodies:
        return Bodies(self.scene.keypoints_px(), self.scene.boxes_px())

    def stature(self, person: int) -> float:
        """Standing height in px; NaN where no two keypoints of one segment are labelled."""
        return float(self._bodies.stature[person])

    def hands(self, person: int) -> dict[str, complex]:
        """Middles of the hands whose wrist is labelled, px, by the person's own side."""
        points = self._bodies.points[:, person]
        found: dict[str, complex] = {}
        for side, elbow, wrist in (("left", points[7], points[9]), ("right", points[8], points[10])):
            if not np.isnan(wrist.real):
                reach = 0 if np.isnan(elbow.real) else HAND_OF_FOREARM * (wrist - elbow)
                found[side] = complex(wrist + reach)
        return found


def _pixels(box: Box, scene: Scene) -> Box:
    return box[0] * scene.width, box[1] * scene.height, box[2] * scene.width, box[3] * scene.height


def order_margin(a: Box, b: Box) -> float:
    """How surely the first box is to the image-left of the second: the rule `order` of docs/pose_codes.md.

    Positive for image-left, negative for image-right; within -1..1 neither may be said.

    >>> round(order_margin((0, 0, 10, 10), (20, 0, 30, 10)), 1), order_margin((0, 0, 10, 9), (1, 0, 9, 9))
    (17.0, 0.0)
    """
    narrow = max(min(a[2] - a[0], b[2] - b[0]), 1.0)
    if max(0.0, min(a[2], b[2]) - max(a[0], b[0])) / narrow >= 0.6:
        return 0.0
    shift = ((b[0] + b[2]) - (a[0] + a[2])) / 2 / max(a[2] - a[0], b[2] - b[0], 1.0)
    margin = max((abs(shift) - 0.3) / 0.1, 0.0)
    return margin if shift > 0 else -margin
