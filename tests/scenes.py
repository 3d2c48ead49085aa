"""Hand-made scenes for tests."""

from __future__ import annotations

from typing import Any

from kpray.schemas import Keypoint, Person, Scene, SceneObject

_STANDING = {
    "nose": (0.50, 0.15),
    "left_eye": (0.515, 0.135),
    "right_eye": (0.485, 0.135),
    "left_ear": (0.53, 0.145),
    "right_ear": (0.47, 0.145),
    "left_shoulder": (0.57, 0.25),
    "right_shoulder": (0.43, 0.25),
    "left_elbow": (0.60, 0.38),
    "right_elbow": (0.40, 0.38),
    "left_wrist": (0.61, 0.50),
    "right_wrist": (0.39, 0.50),
    "left_hip": (0.545, 0.52),
    "right_hip": (0.455, 0.52),
    "left_knee": (0.545, 0.70),
    "right_knee": (0.455, 0.70),
    "left_ankle": (0.545, 0.88),
    "right_ankle": (0.455, 0.88),
}
"""A person facing the camera, arms down: their own left is at image-right."""


def standing_keypoints() -> tuple[Keypoint, ...]:
    """The 17 keypoints of a person who stands facing the camera, all visible."""
    return tuple((x, y, 2) for x, y in _STANDING.values())


def person(annotation_id: int = 1, **changes: Any) -> Person:
    """A standing person; keyword arguments replace fields."""
    fields: dict[str, Any] = {
        "annotation_id": annotation_id,
        "box_xyxy_norm": (0.36, 0.08, 0.64, 0.93),
        "keypoints_xyv_norm": standing_keypoints(),
        "num_labelled": 17,
        "area_px": 50_000.0,
    }
    return Person(**{**fields, **changes})


def scene(scene_id: str = "7", **changes: Any) -> Scene:
    """A square picture of one standing person with a ball; keyword arguments replace fields."""
    fields: dict[str, Any] = {
        "scene_id": scene_id,
        "file_name": f"{int(scene_id):012d}.jpg",
        "split": "val2017",
        "width": 640,
        "height": 640,
        "license_id": 4,
        "captions": ("A man stands on a field.", "A person standing next to a ball."),
        "objects": (SceneObject(900, "sports ball", (0.7, 0.85, 0.76, 0.91)),),
        "people": (person(),),
    }
    return Scene(**{**fields, **changes})
