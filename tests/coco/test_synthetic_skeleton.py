from __future__ import annotations

import random

import numpy as np
import pytest

from kpray.coco.synthetic.poses import POSE_KINDS, PoseKind
from kpray.coco.synthetic.skeleton import SIDES, Figure, View, sample_body, vector


def posed(kind: PoseKind, seed: int, side: str = "left") -> Figure:
    rng = random.Random(seed)
    figure = Figure(sample_body(rng, height_m=rng.uniform(1.2, 1.85), child=False), rng)
    kind.build(figure, "left" if side == "left" else "right")
    return figure


@pytest.mark.parametrize("kind", POSE_KINDS, ids=lambda k: k.name)
def test_no_pose_stretches_a_limb(kind: PoseKind) -> None:
    for seed in range(6):
        f = posed(kind, seed)
        bones = [("shoulder", "elbow", f.body.upper_arm), ("elbow", "wrist", f.body.forearm)]
        bones += [("hip", "knee", f.body.thigh), ("knee", "ankle", f.body.shin)]
        for side in SIDES:
            for a, b, length in bones:
                gap = f.joints[f"{side}_{a}"] - f.joints[f"{side}_{b}"]
                assert np.linalg.norm(gap) == pytest.approx(length, rel=1e-6)


@pytest.mark.parametrize("kind", POSE_KINDS, ids=lambda k: k.name)
def test_knees_never_bend_forwards(kind: PoseKind) -> None:
    """The shin turns from the thigh's line backwards, about the axis from hip to hip."""
    for seed in range(6):
        for side in SIDES:
            f = posed(kind, seed, side)
            right_to_left = f.joints["left_hip"] - f.joints["right_hip"]
            for each in SIDES:
                thigh = f.joints[f"{each}_knee"] - f.joints[f"{each}_hip"]
                shin = f.joints[f"{each}_ankle"] - f.joints[f"{each}_knee"]
                turn = float(np.cross(thigh, shin) @ right_to_left) / np.linalg.norm(right_to_left)
                # Turned-out legs bend about another axis; a straight one has none.
                assert turn > -0.035 * f.body.height**2


@pytest.mark.parametrize("kind", POSE_KINDS, ids=lambda k: k.name)
def test_everybody_is_on_the_ground_unless_airborne(kind: PoseKind) -> None:
    for seed in range(6):
        f = posed(kind, seed)
        lowest = min(float(p[1]) for p in f.joints.values())
        lifted = kind.posture == "airborne" or kind.name in ("skateboarding", "skiing")
        assert (0.0 <= lowest < 0.13) or (lifted and lowest < 0.5)


def test_bodies_differ_and_keep_their_stature() -> None:
    bodies = [sample_body(random.Random(i), height_m=1.7, child=False) for i in range(50)]
    assert len({b.thigh for b in bodies}) == 50
    for b in bodies:
        stature = b.ankle_height + b.leg + b.torso + b.neck + 2 * b.head_radius
        assert stature == pytest.approx(1.7, rel=0.08)


@pytest.mark.parametrize(
    ("yaw_deg", "left_on_screen", "nose_on_screen"), [(0, 1, 0), (180, -1, 0), (90, 0, 1), (-90, 0, -1)]
)
def test_yaw_decides_where_left_and_forward_are(yaw_deg: float, left_on_screen: int, nose_on_screen: int) -> None:
    view = View(yaw_deg, 0.0, 100.0)
    assert view.px(vector(1, 0, 0))[0] == pytest.approx(100 * left_on_screen, abs=1e-9)
    assert view.px(vector(0, 0, 1))[0] == pytest.approx(100 * nose_on_screen, abs=1e-9)


def test_a_camera_that_looks_down_sees_near_ground_lower() -> None:
    view = View(0.0, 10.0, 100.0)
    assert view.px(vector(0, 0, 1))[1] > view.px(vector(0, 0, 0))[1] > view.px(vector(0, 1, 0))[1]
