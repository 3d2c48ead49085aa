from __future__ import annotations

import cmath
import math

import pytest
from pose_figures import SIDE_ON, STANDING, Pose, said_of


def turned(pose: Pose, degrees: float) -> Pose:
    """The pose turned clockwise in the picture about its middle."""
    turn = cmath.exp(1j * math.radians(degrees))
    out: dict[str, tuple[float, float] | None] = {}
    for name, xy in pose.items():
        z = None if xy is None else 500 + 500j + turn * (complex(*xy) - (500 + 500j))
        out[name] = None if z is None else (z.real, z.imag)
    return out


def swapped(pose: Pose) -> Pose:
    """The same outline seen from behind: left and right change names and the face is gone."""
    other = {"left": "right", "right": "left"}
    out = {f"{other[n.split('_')[0]]}_{n.split('_')[1]}": xy for n, xy in pose.items() if "_" in n}
    return {**out, "nose": None, "left_eye": None, "right_eye": None}


@pytest.mark.parametrize(
    ("degrees", "value"), [(0, "vertical"), (40, "tilted"), (-40, "tilted"), (90, "horizontal"), (180, "inverted")]
)
def test_torso(degrees: float, value: str):
    found = {code for code in said_of(turned(STANDING, degrees)) if code.startswith("torso")}
    assert found == {f"torso={value}"}


def test_three_quarter_view_is_not_facing_the_camera():
    def narrowed(share: float) -> Pose:
        return {name: None if xy is None else (500 + share * (xy[0] - 500), xy[1]) for name, xy in STANDING.items()}

    assert "facing=camera" in said_of(narrowed(1.0))
    assert "facing=camera" not in said_of(narrowed(0.55))


def test_torso_abstains_when_it_may_lean_towards_the_camera():
    squashed = {name: (xy[0], xy[1] if xy[1] > 480 else 330 + 0.3 * xy[1]) for name, xy in STANDING.items()}
    assert not any(code.startswith("torso") for code in said_of(squashed))


def test_lean_is_named_by_the_side_of_the_picture():
    assert "lean=image_right" in said_of(turned(STANDING, 35))
    assert "lean=image_left" in said_of(turned(STANDING, -35))
    assert not any(code.startswith("lean=") for code in said_of())


def test_lean_direction_follows_the_nose():
    assert "lean_direction=forward" in said_of(turned(SIDE_ON, 40))
    assert "lean_direction=backward" in said_of(turned(SIDE_ON, -32))
    assert not any(code.startswith("lean_direction") for code in said_of(turned(STANDING, 40)))


def test_facing():
    assert "facing=camera" in said_of()
    assert "facing=away" in said_of(swapped(STANDING))
    assert "facing=image_right" in said_of(SIDE_ON)


def test_facing_holds_upside_down():
    assert "facing=camera" in said_of(turned(STANDING, 180))


def test_facing_abstains_when_shoulders_and_face_disagree():
    crossed = {**STANDING, "left_shoulder": (390.0, 185.0), "right_shoulder": (610.0, 185.0)}
    assert not any(code.startswith("facing") for code in said_of(crossed))


def test_head_turned():
    assert "head=turned_image_right" in said_of(nose=(580, 100), left_ear=(530, 90), right_ear=(450, 90))
    assert not any(code.startswith("head") for code in said_of())


def test_head_tilted():
    assert "head=tilted_image_right" in said_of(left_eye=(520, 98), right_eye=(484, 68))
    assert "head=tilted_image_left" in said_of(left_eye=(516, 68), right_eye=(480, 98))
