"""Hand-made people for the tests of pose codes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kpray.pose import PoseCode, people_codes
from kpray.pose.angles import Floats
from kpray.schemas import KEYPOINT_NAMES, Person, Scene, SceneObject

# A person of 1000 px who stands facing the camera, arms hanging; own left is at image-right. Ankles at y = 960.
STANDING: Mapping[str, tuple[float, float]] = {
    "nose": (500, 100),
    "left_eye": (520, 80),
    "right_eye": (480, 80),
    "left_ear": (545, 90),
    "right_ear": (455, 90),
    "left_shoulder": (610, 185),
    "right_shoulder": (390, 185),
    "left_elbow": (620, 352),
    "right_elbow": (380, 352),
    "left_wrist": (625, 499),
    "right_wrist": (375, 499),
    "left_hip": (570, 490),
    "right_hip": (430, 490),
    "left_knee": (575, 730),
    "right_knee": (425, 730),
    "left_ankle": (580, 960),
    "right_ankle": (420, 960),
}

# The same person from the side, facing image-right: all depth is gone and one ear is hidden.
SIDE_ON: Mapping[str, tuple[float, float] | None] = {
    **{name: (505.0 if name.startswith("left") else 495.0, xy[1]) for name, xy in STANDING.items()},
    "nose": (570, 100),
    "left_eye": None,
    "right_eye": (555, 80),
    "left_ear": None,
    "right_ear": (500, 90),
}

Pose = Mapping[str, tuple[float, float] | None]


def keypoints(pose: Pose = STANDING, **moved: tuple[float, float] | None) -> Floats:
    """(1, 17, 3) keypoints of a pose with some joints moved, or removed with None."""
    joints = {**pose, **moved}
    unknown = set(joints) - set(KEYPOINT_NAMES)
    assert not unknown, f"no keypoints called {unknown}"
    found = [joints[name] for name in KEYPOINT_NAMES]
    return np.array([[(*xy, 2) if xy is not None else (0, 0, 0) for xy in found]], dtype=np.float64)


def box_around(points: Floats) -> Floats:
    """(P, 4) boxes, a little larger than the labelled keypoints."""
    shown = np.where(points[..., 2:] > 0, points[..., :2], np.nan)
    low, high = np.nanmin(shown, axis=1), np.nanmax(shown, axis=1)
    pad = 0.05 * (high - low).max(axis=1, keepdims=True)
    return np.concatenate([low - pad, high + pad], axis=1)


def codes_of(points: Floats) -> tuple[PoseCode, ...]:
    """Codes of people whose boxes fit them."""
    return people_codes(points, box_around(points))


def said(codes: tuple[PoseCode, ...]) -> set[str]:
    """Codes in short: ``left elbow=straight``, ``posture=standing``."""
    return {f"{code.side} {code.name}={code.value}".strip() for code in codes}


def said_of(pose: Pose = STANDING, **moved: tuple[float, float] | None) -> set[str]:
    """Codes in short of one pose with some joints moved."""
    return said(codes_of(keypoints(pose, **moved)))


def scene(
    people: list[Floats], objects: list[tuple[str, tuple[float, float, float, float]]], side: int = 2000
) -> Scene:
    """A square scene of people given by (17, 3) px keypoints and objects given by px boxes."""
    return Scene(
        scene_id="1",
        file_name="1.jpg",
        split="",
        width=side,
        height=side,
        license_id=None,
        captions=(),
        objects=tuple(
            SceneObject(100 + i, name, (b[0] / side, b[1] / side, b[2] / side, b[3] / side))
            for i, (name, b) in enumerate(objects)
        ),
        people=tuple(_person(i, points, side) for i, points in enumerate(people)),
    )


def _person(number: int, points: Floats, side: int) -> Person:
    box = box_around(points[None])[0] / side
    return Person(
        annotation_id=number,
        box_xyxy_norm=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
        keypoints_xyv_norm=tuple((float(x) / side, float(y) / side, int(v)) for x, y, v in points),
        num_labelled=int((points[:, 2] > 0).sum()),
        area_px=1.0,
    )
