"""What a synthetic scene is: annotations in pixels, the truth about each pose, and the drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kpray.coco.synthetic.backgrounds import Backdrop
from kpray.coco.synthetic.shapes import Shape

ArmTruth = Literal["down", "out", "raised"]
BendTruth = Literal["bent", "straight"]
BoxPx = tuple[float, float, float, float]  # x, y, width, height in px, as COCO has it
Segmentation = tuple[tuple[float, ...], ...]  # polygons, each x1, y1, x2, y2, ... in px


@dataclass(frozen=True)
class PoseTruth:
    """What is true of a pose, from the three-dimensional skeleton rather than from the picture.

    Attributes:
        posture: ``standing``, ``sitting``, ``crouching``, ``kneeling``, ``lying`` or ``airborne``.
        facing: Where the chest points: ``camera``, ``away``, ``image_left``, ``image_right``, ``up``, ``down``.
        left_arm: Upper arm against the torso's downward axis: below 45 degrees ``down``, to 115 ``out``, then
            ``raised``.
        right_arm: The same.
        left_elbow: ``straight`` from 150 degrees, else ``bent``.
        right_elbow: The same.
        left_knee: The same.
        right_knee: The same.
        left_wrist_above_shoulder: Measured along the world's vertical.
        right_wrist_above_shoulder: The same.
        angles_deg: True joint angles by name (``left_elbow``, ``left_arm``, ``left_knee``, ``left_hip``, ...).
    """

    posture: str
    facing: str
    left_arm: ArmTruth
    right_arm: ArmTruth
    left_elbow: BendTruth
    right_elbow: BendTruth
    left_knee: BendTruth
    right_knee: BendTruth
    left_wrist_above_shoulder: bool
    right_wrist_above_shoulder: bool
    angles_deg: dict[str, float]


@dataclass(frozen=True)
class SyntheticPerson:
    """One person.

    Attributes:
        pose: Name of a `kpray.coco.synthetic.poses.PoseKind`.
        truth: See `PoseTruth`.
        noun: ``man``, ``woman``, ``boy`` or ``girl``.
        keypoints_xyv_px: 17 triples in COCO's order; x, y in whole px, v in {0, 1, 2}; zero where v is 0.
        box_xywh_px: Around what is visible.
        area_px: Visible area.
        segmentation: Outlines of what is visible.
    """

    pose: str
    truth: PoseTruth
    noun: str
    keypoints_xyv_px: tuple[tuple[int, int, int], ...]
    box_xywh_px: BoxPx
    area_px: int
    segmentation: Segmentation

    @property
    def num_labelled(self) -> int:
        """Keypoints with v > 0."""
        return sum(v > 0 for _, _, v in self.keypoints_xyv_px)


@dataclass(frozen=True)
class SyntheticObject:
    """One object: a COCO category, and the box and outline of what is visible; ``person`` holds or uses it."""

    category: str
    person: int
    box_xywh_px: BoxPx
    area_px: int
    segmentation: Segmentation


@dataclass(frozen=True)
class SyntheticCrowd:
    """A crowd region: its box, its area and its run lengths (COCO's uncompressed RLE, columns first)."""

    box_xywh_px: BoxPx
    area_px: int
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Drawing:
    """Everything that is painted: a backdrop, soft shadows ``(x, y, rx, ry)`` in px, then shapes, far to near."""

    backdrop: Backdrop
    shadows: tuple[tuple[float, float, float, float], ...]
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class SyntheticScene:
    """One scene; ``(index, seed)`` says everything about it."""

    index: int
    seed: int
    width: int
    height: int
    setting: str
    people: tuple[SyntheticPerson, ...]
    objects: tuple[SyntheticObject, ...]
    crowd: SyntheticCrowd | None
    captions: tuple[str, ...]
    drawing: Drawing
