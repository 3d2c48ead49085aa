from __future__ import annotations

from pose_figures import SIDE_ON, STANDING, Pose, said_of

LEGS = ("hip", "knee", "ankle")


def legs(knee: tuple[float, float], ankle: tuple[float, float], pose: Pose = SIDE_ON) -> set[str]:
    """Postures of someone seen from the side whose legs are both moved."""
    moved = {
        f"{side}_{joint}": (x + dx, y)
        for joint, (x, y) in (("knee", knee), ("ankle", ankle))
        for side, dx in (("left", 5), ("right", -5))
    }
    return {code for code in said_of(pose, **moved) if code.startswith("posture")}


def test_standing():
    assert "posture=standing" in said_of()
    assert "posture=standing" in said_of(SIDE_ON)


def test_sitting_on_a_chair_from_the_side():
    assert legs((745, 500), (740, 735)) == {"posture=sitting"}


def test_sitting_from_the_front():
    found = said_of(left_knee=(580, 530), right_knee=(420, 530), left_ankle=(580, 760), right_ankle=(420, 760))
    assert "posture=sitting" in found
    assert "posture=standing" not in found


def test_half_bent_knees_have_no_posture():
    assert legs((680, 640), (560, 830)) == set()


def test_crouching_has_the_feet_under_the_body():
    assert legs((650, 410), (540, 605)) == {"posture=crouching"}


def test_sitting_on_the_ground_is_not_crouching():
    assert legs((680, 330), (760, 500)) == set()


def test_kneeling():
    assert legs((510, 735), (290, 745)) == {"posture=kneeling"}


def test_lying():
    lying = {name: (xy[1], 500 + 0.3 * (xy[0] - 500)) for name, xy in STANDING.items()}
    assert "posture=lying" in said_of(lying)


def test_bending_over_is_not_lying():
    assert "posture=lying" not in said_of(
        SIDE_ON, left_shoulder=(800, 470), right_shoulder=(800, 480), left_elbow=(800, 640), right_elbow=(800, 650)
    )


def test_no_legs_no_posture():
    cut = {name: None if name.split("_")[-1] in LEGS[1:] else xy for name, xy in STANDING.items()}
    assert not any(code.startswith("posture") for code in said_of(cut))
