from __future__ import annotations

import msgspec
from pose_figures import keypoints, said, scene

from kpray.pose import scene_codes
from kpray.pose.angles import Floats
from kpray.pose.people import MAX_PEOPLE


def person(x: float, y: float = 0.0, size: float = 1.0) -> Floats:
    """(17, 3) keypoints of someone who stands with their top left at x, y, `size` times 1000 px tall."""
    return keypoints()[0] * [size, size, 1] + [x, y, 0]


def pair(first: Floats, second: Floats) -> set[str]:
    return said(tuple(c for c in scene_codes(scene([first, second], [], 4000)) if c.other is not None))


def test_two_people_side_by_side():
    assert pair(person(0), person(900)) == {
        "order=image_left_of",
        "overlap=separate",
        "size=similar",
    }


def test_order_is_told_from_the_first_person():
    assert "order=image_right_of" in pair(person(900), person(0))


def test_no_order_for_people_in_front_of_each_other():
    found = pair(person(0), person(60))
    assert "overlap=overlapping" in found
    assert not any(code.startswith("order") for code in found)


def test_many_people_are_not_counted_because_annotators_stop():
    def counted(people: int) -> set[str]:
        found = scene_codes(scene([person(900 * i) for i in range(people)], [], 9000))
        return {c.value for c in found if c.name == "person_count"}

    assert counted(9) == {"9"}
    assert counted(10) == set()


def test_distance():
    assert "distance=close" in pair(person(0), person(400))
    assert "distance=far" in pair(person(0), person(2400))


def test_people_of_unlike_size_have_no_distance():
    found = pair(person(0), person(700, size=0.5))
    assert "size=larger" in found
    assert not any(code.startswith(("distance", "height")) for code in found)


def test_height_of_the_head():
    assert "height=higher" in pair(person(0), person(900, y=400))


def test_pairs_are_neighbours_among_the_largest():
    people = [person(2500 - 300 * i, size=0.3 + 0.02 * i) for i in range(9)]
    codes = scene_codes(scene(people, [], 4000))
    pairs = {(c.person, c.other) for c in codes if c.other is not None}
    assert len(pairs) == MAX_PEOPLE - 1
    assert all(one in range(3, 9) and two == one + 1 for one, two in pairs)


def test_count():
    two = scene([person(0), person(900)], [], 4000)
    assert "person_count=2" in said(scene_codes(two))
    assert said(scene_codes(scene([], []))) == {"person_count=0"}


def test_a_crowd_is_not_counted():
    crowded = msgspec.structs.replace(scene([person(0)], []), flags=("crowd",))
    assert not any(c.name == "person_count" for c in scene_codes(crowded))
