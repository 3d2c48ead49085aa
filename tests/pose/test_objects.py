from __future__ import annotations

import msgspec
import pytest
from pose_figures import SIDE_ON, keypoints, scene

from kpray.pose import PoseCode, scene_codes
from kpray.pose.angles import Floats

Box = tuple[float, float, float, float]
SEATED = keypoints(SIDE_ON, left_knee=(745, 500), right_knee=(735, 500), left_ankle=(745, 735), right_ankle=(735, 735))[
    0
]


def about(things: list[tuple[str, Box]], *people: Floats) -> set[tuple[str, str, int | None]]:
    """Object codes as (category, value, person)."""
    found = scene(list(people) or [keypoints()[0]], things)
    return {(found.objects[c.object].category, c.value, c.person) for c in scene_codes(found) if c.object is not None}


def around(x: float, y: float, half: float) -> Box:
    return (x - half, y - half, x + half, y + half)


def test_cup_in_the_left_hand():
    assert ("cup", "in_left_hand", 0) in about([("cup", around(627, 550, 50))])


def test_bat_in_both_hands():
    batter = keypoints(left_elbow=(630, 340), right_elbow=(370, 340), left_wrist=(510, 390), right_wrist=(490, 390))[0]
    assert ("baseball bat", "in_both_hands", 0) in about([("baseball bat", (430, 250, 560, 600))], batter)


@pytest.mark.parametrize("category", ["bench", "kite", "clock"])
def test_what_no_hand_holds(category: str):
    assert not {v for _, v, _ in about([(category, around(627, 550, 50))]) if v.startswith("in_")}


def test_too_large_to_be_held():
    assert not {v for _, v, _ in about([("cup", around(627, 550, 300))]) if v.startswith("in_")}


def test_two_things_at_one_hand_are_not_told():
    found = about([("cup", around(627, 550, 50)), ("fork", around(627, 550, 40))])
    assert not {v for _, v, _ in found if v.startswith("in_")}


def test_a_thing_between_two_hands_of_two_people_is_not_told():
    other = keypoints()[0] + [250, 0, 0]
    assert not {v for _, v, _ in about([("book", (590, 520, 700, 600))], keypoints()[0], other) if v.startswith("in_")}


def test_sitting_on_a_chair():
    assert ("chair", "on", 0) in about([("chair", (400, 300, 640, 760))], SEATED)


def test_standing_in_front_of_a_chair_is_not_on_it():
    assert not {v for _, v, _ in about([("chair", (350, 450, 650, 980))]) if v == "on"}


def test_on_a_skateboard():
    assert ("skateboard", "on", 0) in about([("skateboard", (330, 960, 700, 1040))])


def test_no_sitting_where_there_is_a_board():
    found = scene([SEATED], [("surfboard", (0, 1500, 100, 1600))])
    assert not any(c.name == "posture" for c in scene_codes(found))


def test_beside_and_on_which_side():
    found = about([("dog", (850, 700, 1200, 1000))])
    assert {("dog", "image_right_of", 0), ("dog", "beside", 0)} <= found


def test_far_away_is_not_beside():
    found = about([("dog", (1500, 700, 1900, 1000))])
    assert found == {("dog", "image_right_of", 0)}


def test_codes_are_plain_values_that_every_encoder_takes():
    codes = list(scene_codes(scene([keypoints()[0]], [("cup", around(627, 550, 50))])))
    assert "in_left_hand" in {code.value for code in codes}
    assert msgspec.json.decode(msgspec.json.encode(codes), type=list[PoseCode]) == codes
