"""What must hold of pose codes for any pose."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pose_figures import SIDE_ON, STANDING, box_around, codes_of, keypoints, said, scene

from kpray.pose import VOCABULARY, PoseCode, people_codes, scene_codes, scenes_codes
from kpray.pose.angles import Floats
from kpray.pose.readings import mirrored
from kpray.schemas import Scene

# The same examples each time, and no time limit: this machine may be shared.
property_test = settings(derandomize=True, deadline=None, max_examples=100)

MIRRORED_VALUES = {
    "image_left": "image_right",
    "turned_image_left": "turned_image_right",
    "tilted_image_left": "tilted_image_right",
    "image_left_of": "image_right_of",
    "in_left_hand": "in_right_hand",
}
MIRRORED_VALUES |= {right: left for left, right in MIRRORED_VALUES.items()}
MIRRORED_SIDES = {"left": "right", "right": "left", "": ""}
MIRRORED_KEYPOINTS = [mirrored((k,))[0] for k in range(17)]


@st.composite
def poses(draw: st.DrawFn) -> Floats:
    """(1, 17, 3) keypoints: a person from the front or side with every joint displaced, some hidden or gone."""
    base = keypoints(draw(st.sampled_from([STANDING, SIDE_ON])))
    spread = draw(st.sampled_from([5, 40, 150]))
    shift = draw(hnp.arrays(np.int64, (17, 2), elements=st.integers(-spread, spread)))
    visibility = draw(hnp.arrays(np.int64, 17, elements=st.sampled_from([2, 2, 2, 2, 1, 0])))
    base[0, :, 2] = np.minimum(base[0, :, 2], visibility)
    base[0, :, :2] = np.where(base[0, :, 2:] > 0, base[0, :, :2] + shift + 500, 0)
    if not base[0, :, 2].any():
        base[0, 0] = (600, 600, 2)
    return base


def mirrored_points(points: Floats, width: float) -> Floats:
    out = points[:, MIRRORED_KEYPOINTS].copy()
    out[..., 0] = np.where(out[..., 2] > 0, width - out[..., 0], 0)
    return out


def facts(codes: tuple[PoseCode, ...], mirror: bool = False) -> set[tuple[object, ...]]:
    return {
        (
            code.name,
            MIRRORED_VALUES.get(code.value, code.value) if mirror else code.value,
            code.person,
            MIRRORED_SIDES[code.side] if mirror else code.side,
            code.other,
            code.object,
        )
        for code in codes
        if not 1.0 <= code.margin < 1.001  # rounding may push such a code over the edge
    }


@property_test
@given(poses())
def test_mirroring_swaps_left_and_right_and_nothing_else(points: Floats):
    mirror = mirrored_points(points, 2000.0)
    assert facts(codes_of(points), mirror=True) == facts(codes_of(mirror))


@property_test
@given(poses(), st.integers(-300, 300), st.integers(-300, 300))
def test_moving_a_person_keeps_the_codes(points: Floats, dx: int, dy: int):
    moved = points + np.where(points[..., 2:] > 0, np.array([dx, dy, 0]), 0)
    assert facts(codes_of(points)) == facts(codes_of(moved))


@property_test
@given(poses(), st.sampled_from([2.0, 4.0, 16.0]))
def test_a_larger_picture_keeps_the_codes(points: Floats, factor: float):
    larger = points * np.array([factor, factor, 1.0])
    assert facts(codes_of(points)) <= facts(codes_of(larger)) | facts_near(larger)


def facts_near(points: Floats) -> set[tuple[object, ...]]:
    """Facts at the very edge, which `facts` leaves out."""
    return {(c.name, c.value, c.person, c.side, c.other, c.object) for c in codes_of(points)}


@property_test
@given(poses(), st.sets(st.integers(0, 16), min_size=1, max_size=10))
def test_removing_keypoints_never_changes_what_does_not_use_them(points: Floats, removed: set[int]):
    box = box_around(points)
    fewer = points.copy()
    fewer[:, sorted(removed)] = 0
    after: dict[tuple[str, str], set[str]] = {}
    for code in people_codes(fewer, box):
        after.setdefault((code.name, code.side), set()).add(code.value)
    for code in people_codes(points, box):
        if not removed & set(code.keypoints):
            values = after.get((code.name, code.side), set())
            assert not values or code.value in values or code.name in ("head", "ankle_height")


@property_test
@given(poses())
def test_codes_keep_to_the_vocabulary_and_their_margin(points: Floats):
    for code in codes_of(points):
        assert code.value in VOCABULARY[code.name]
        assert code.margin >= 1
        assert code.keypoints
        assert all(points[0, k, 2] > 0 for k in code.keypoints)


@property_test
@given(poses())
def test_one_value_at_most_for_what_excludes_itself(points: Floats):
    found = [(c.name, c.side) for c in codes_of(points) if c.name != "head"]
    assert len(found) == len(set(found))


@property_test
@given(st.lists(poses(), min_size=1, max_size=4))
def test_people_do_not_influence_each_other(people: list[Floats]):
    together = people_codes(np.concatenate(people), np.concatenate([box_around(p) for p in people]))
    for number, alone in enumerate(people):
        assert said(codes_of(alone)) == said(tuple(c for c in together if c.person == number))


def test_a_person_of_a_few_pixels_has_no_angles():
    tiny = keypoints() * np.array([0.012, 0.012, 1.0])
    assert not [c for c in codes_of(tiny) if c.name in ("elbow", "knee", "hip", "arm", "posture")]


def test_nobody_and_nothing_labelled():
    assert people_codes(np.zeros((0, 17, 3)), np.zeros((0, 4))) == ()
    assert people_codes(np.zeros((2, 17, 3)), np.array([[0.0, 0, 10, 10]] * 2)) == ()


def test_keypoints_all_in_one_place_say_nothing():
    points = np.full((1, 17, 3), 2.0)
    assert people_codes(points, np.array([[0.0, 0, 10, 10]])) == ()


def _two(first: Floats, second: Floats, width: int = 4000) -> Scene:
    objects: list[tuple[str, tuple[float, float, float, float]]] = [
        ("cup", (640, 520, 700, 590)),
        ("dog", (1700, 1000, 2100, 1500)),
    ]
    return scene([first[0], second[0]], objects, width)


@property_test
@given(poses(), poses())
def test_mirroring_a_scene(first: Floats, second: Floats):
    second = second + np.where(second[..., 2:] > 0, np.array([900.0, 0, 0]), 0)
    one = _two(first, second)
    two = scene(
        [mirrored_points(first, 4000)[0], mirrored_points(second, 4000)[0]],
        [("cup", (3300, 520, 3360, 590)), ("dog", (1900, 1000, 2300, 1500))],
        4000,
    )
    assert facts(scene_codes(one), mirror=True) == facts(scene_codes(two))


def test_batches_say_the_same_as_single_scenes():
    nobody = scene([], [("dog", (0, 0, 10, 10))])
    scenes = [_two(keypoints(), keypoints(SIDE_ON)), nobody, _two(keypoints(SIDE_ON), keypoints())]
    assert scenes_codes(scenes) == [scene_codes(s) for s in scenes]
    assert scenes_codes([]) == []
