from __future__ import annotations

from pose_figures import SIDE_ON, STANDING, said_of


def test_hanging_arms():
    found = said_of()
    for side in ("left", "right"):
        assert f"{side} elbow=straight" in found
        assert f"{side} arm=down" in found
        assert f"{side} forearm=pointing_down" in found


def test_arm_straight_up():
    found = said_of(left_elbow=(640, 15), left_wrist=(645, -130))
    assert {"left arm=raised", "left wrist_height=above_head", "left forearm=pointing_up"} <= found
    assert "right wrist_height=above_head" not in found


def test_wrist_above_shoulder_but_not_above_the_head():
    found = said_of(left_elbow=(775, 185), left_wrist=(790, 110))
    assert "left wrist_height=above_shoulder" in found


def test_wrist_between_shoulder_and_hip():
    assert "left wrist_height=between_shoulder_and_hip" in said_of(left_elbow=(640, 350), left_wrist=(760, 300))


def test_wrist_near_the_hip_is_neither_above_nor_below_it():
    assert not any(code.startswith("left wrist_height") for code in said_of(left_wrist=(655, 490)))


def test_wrist_height_abstains_when_lying():
    lying = {name: (xy[1], xy[0]) for name, xy in STANDING.items()}
    assert not any("wrist_height" in code for code in said_of(lying))


def test_arm_out_to_side_and_level():
    found = said_of(right_elbow=(220, 190), right_wrist=(75, 190))
    assert {"right arm=out_to_side", "right forearm=level"} <= found


def test_arm_stretched_forward_is_not_out_to_the_side():
    found = said_of(SIDE_ON, right_elbow=(665, 190), right_wrist=(810, 190))
    assert "right elbow=straight" in found
    assert not any(code.startswith("right arm=") for code in found)


def test_bent_elbow():
    assert "left elbow=bent" in said_of(left_elbow=(640, 350), left_wrist=(785, 345))


def test_elbow_abstains_when_the_forearm_points_at_the_camera():
    assert not any(code.startswith("left elbow") for code in said_of(left_wrist=(643, 385)))


def test_hand_on_hip():
    found = said_of(left_elbow=(725, 320), left_wrist=(610, 420))
    assert "left hand_on_hip=yes" in found
    assert "right hand_on_hip=yes" not in found


def test_hand_in_front_of_the_belly_is_not_on_the_hip():
    assert "left hand_on_hip=yes" not in said_of(left_elbow=(660, 345), left_wrist=(525, 400))


def test_hand_on_the_lap_of_a_seated_person_is_not_on_the_hip():
    found = said_of(left_elbow=(725, 320), left_wrist=(610, 420), left_knee=(600, 520), left_ankle=(600, 750))
    assert "left hand_on_hip=yes" not in found


def test_hand_near_face():
    found = said_of(right_elbow=(370, 260), right_wrist=(430, 145))
    assert "right hand_near_face=yes" in found


def test_hands_together_and_apart():
    together = said_of(left_elbow=(630, 340), right_elbow=(370, 340), left_wrist=(510, 390), right_wrist=(490, 390))
    assert "hands=together" in together
    assert "hands=apart" in said_of(left_wrist=(760, 400))


def test_hands_of_someone_seen_from_the_side_are_not_said_to_be_together():
    assert "hands=together" not in said_of(SIDE_ON)


def test_crossed_arms():
    found = said_of(left_elbow=(625, 345), right_elbow=(375, 345), left_wrist=(445, 310), right_wrist=(555, 315))
    assert "arms_crossed=yes" in found
    assert "arms_crossed=yes" not in said_of()


def test_missing_wrist_silences_what_needs_it():
    for code in said_of(left_wrist=None):
        assert code.split("=")[0] not in ("left elbow", "left forearm", "left wrist_height", "hands")
