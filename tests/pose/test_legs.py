from __future__ import annotations

from pose_figures import SIDE_ON, STANDING, said_of


def test_straight_legs():
    found = said_of()
    for side in ("left", "right"):
        assert {f"{side} knee=straight", f"{side} hip=extended", f"{side} knee_height=below_hip"} <= found


def test_high_knee_from_the_side():
    found = said_of(SIDE_ON, left_knee=(680, 330), left_ankle=(670, 560))
    assert {"left hip=sharply_flexed", "left knee_height=above_hip"} <= found
    assert "right hip=extended" in found


def test_knee_sharply_bent():
    assert "right knee=sharply_bent" in said_of(SIDE_ON, right_ankle=(370, 570))


def test_knee_abstains_when_the_shin_points_away_from_the_camera():
    assert not any(code.startswith("right knee=") for code in said_of(right_ankle=(425, 790)))


def test_spread_leg_seen_from_the_front_is_not_a_flexed_hip():
    found = said_of(left_knee=(690, 700), left_ankle=(800, 900))
    assert not any(code.startswith("left hip=") and "extended" not in code for code in found)


def test_lifted_foot():
    above_ankle = said_of(SIDE_ON, left_knee=(600, 700), left_ankle=(480, 790))
    assert "left ankle_height=above_other_ankle" in above_ankle
    above_knee = said_of(SIDE_ON, left_knee=(700, 500), left_ankle=(690, 640))
    assert "left ankle_height=above_other_knee" in above_knee
    assert not any("ankle_height" in code for code in said_of())


def test_feet():
    assert "feet=together" in said_of(left_ankle=(515, 960), right_ankle=(485, 960))
    assert "feet=shoulder_width" in said_of(left_ankle=(605, 960), right_ankle=(395, 960))
    assert "feet=wide" in said_of(left_ankle=(740, 940), right_ankle=(260, 940))


def test_a_foot_swung_up_behind_is_not_set_wide():
    found = said_of(SIDE_ON, left_knee=(300, 640), left_ankle=(100, 560))
    assert "feet=wide" not in found
    assert "feet=wide" in said_of(
        SIDE_ON, left_knee=(620, 695), left_ankle=(740, 900), right_knee=(360, 695), right_ankle=(260, 900)
    )


def test_feet_of_someone_seen_from_the_side_are_not_said_to_be_together():
    assert "feet=together" not in said_of(SIDE_ON)


def test_knees():
    assert "knees=together" in said_of(left_knee=(520, 730), right_knee=(480, 730))
    assert "knees=apart" in said_of(left_knee=(690, 700), right_knee=(310, 700))


def test_crossed_legs():
    found = said_of(left_knee=(530, 730), right_knee=(470, 730), left_ankle=(380, 950), right_ankle=(620, 950))
    assert "legs_crossed=yes" in found
    assert "legs_crossed=yes" not in said_of()


def test_legs_that_cross_only_because_the_person_is_seen_from_the_side():
    assert "legs_crossed=yes" not in said_of(SIDE_ON, left_ankle=(400, 950), right_ankle=(600, 950))


def test_knee_height_abstains_upside_down():
    upside_down = {name: (xy[0], 1000 - xy[1]) for name, xy in STANDING.items()}
    assert not any("knee_height" in code for code in said_of(upside_down))
