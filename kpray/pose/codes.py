"""All pose codes of people and of scenes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kpray.pose.angles import Floats
from kpray.pose.arms import arm_readings
from kpray.pose.bodies import Bodies
from kpray.pose.legs import leg_readings
from kpray.pose.objects import BOARDS, object_codes
from kpray.pose.people import count_code, pair_codes
from kpray.pose.posture import posture_readings
from kpray.pose.readings import to_codes
from kpray.pose.trunk import trunk_readings
from kpray.pose.vocabulary import PoseCode
from kpray.schemas import Scene


def people_codes(keypoints_xyv_px: Floats, boxes_px: Floats) -> tuple[PoseCode, ...]:
    """Codes about single people.

    Args:
        keypoints_xyv_px: (P, 17, 3) x px, y px, v; points with v = 0 are not used.
        boxes_px: (P, 4) x1, y1, x2, y2 px; they tell how precise keypoints can be.

    Returns:
        Codes sorted by person, then in the order of the rules; empty for P = 0.
    """
    by_person = _codes_by_person(keypoints_xyv_px, boxes_px, range(len(keypoints_xyv_px)))
    return tuple(code for codes in by_person for code in codes)


def scene_codes(scene: Scene) -> tuple[PoseCode, ...]:
    """Every code of a scene: the count, single people, pairs, then people with objects.

    Args:
        scene: One image's annotations. People whose keypoints are all unlabelled take part in the count and,
            by their boxes, in pairs.

    Returns:
        Codes in an order that depends only on the scene.
    """
    return scenes_codes([scene])[0]


def scenes_codes(scenes: Sequence[Scene]) -> list[tuple[PoseCode, ...]]:
    """`scene_codes` of many scenes; several times as fast as one by one, and equal."""
    keypoints_px = [scene.keypoints_px() for scene in scenes]
    boxes_px = [scene.boxes_px() for scene in scenes]
    numbers = [number for scene in scenes for number in range(len(scene.people))]
    by_person = iter(
        _codes_by_person(np.concatenate(keypoints_px), np.concatenate(boxes_px), numbers) if numbers else ()
    )
    found = []
    for scene, keypoints, boxes in zip(scenes, keypoints_px, boxes_px, strict=True):
        single = [code for _ in scene.people for code in next(by_person)]
        found.append(_with_relations(scene, single, keypoints, boxes))
    return found


def _codes_by_person(keypoints_xyv_px: Floats, boxes_px: Floats, numbers: Sequence[int]) -> list[list[PoseCode]]:
    if not numbers:
        return []
    bodies = Bodies(keypoints_xyv_px, boxes_px)
    # NaN is how a missing keypoint travels through the measures, and lengths of zero end as NaN too.
    with np.errstate(invalid="ignore", divide="ignore"):
        readings = [
            *arm_readings(bodies),
            *leg_readings(bodies),
            *trunk_readings(bodies),
            *posture_readings(bodies),
        ]
        return to_codes(bodies, readings, numbers)


def _with_relations(
    scene: Scene, single: list[PoseCode], keypoints_px: Floats, boxes_px: Floats
) -> tuple[PoseCode, ...]:
    codes = count_code(len(scene.people), scene.flags) + _without_seats_on_boards(single, scene)
    if len(scene.people) > 1 or (scene.people and scene.objects):
        bodies = Bodies(keypoints_px, boxes_px)
        with np.errstate(invalid="ignore", divide="ignore"):
            codes += pair_codes(bodies, boxes_px) + object_codes(scene, bodies, boxes_px)
    return tuple(codes)


def _without_seats_on_boards(codes: list[PoseCode], scene: Scene) -> list[PoseCode]:
    """Drop "sitting" where there is a board: seen from the front, a low stance on one looks the same."""
    if not any(thing.category in BOARDS for thing in scene.objects):
        return codes
    return [code for code in codes if (code.name, code.value) != ("posture", "sitting")]
