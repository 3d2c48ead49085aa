from __future__ import annotations

import re

import numpy as np
import pytest

from kpray.coco.synthetic import POSE_KINDS, SyntheticPerson, SyntheticScene, as_scene, render, synthesize
from kpray.coco.synthetic.masks import top_shape_index
from kpray.schemas import KEYPOINT_NAMES

INDEX = {name: i for i, name in enumerate(KEYPOINT_NAMES)}


@pytest.fixture(scope="module")
def scenes() -> list[SyntheticScene]:
    return [synthesize(index, seed=11) for index in range(3 * len(POSE_KINDS))]


@pytest.fixture(scope="module")
def people(scenes: list[SyntheticScene]) -> list[SyntheticPerson]:
    return [person for scene in scenes for person in scene.people]


def test_a_scene_depends_on_its_index_and_seed_alone() -> None:
    alone = synthesize(5, seed=3)
    in_a_series = [synthesize(index, seed=3) for index in range(8)]
    assert alone == in_a_series[5]
    assert alone != synthesize(5, seed=4)
    assert render(alone).tobytes() == render(in_a_series[5]).tobytes()


def test_every_kind_of_pose_comes_up(people: list[SyntheticPerson]) -> None:
    assert {person.pose for person in people} == {kind.name for kind in POSE_KINDS}
    assert {person.truth.posture for person in people} >= {"standing", "sitting", "crouching", "kneeling", "lying"}


def test_one_to_five_people_and_all_kinds_of_labels(scenes: list[SyntheticScene]) -> None:
    assert {len(scene.people) for scene in scenes} >= {1, 2, 3, 4, 5}
    labels = [v for scene in scenes for p in scene.people for _, _, v in p.keypoints_xyv_px]
    shares = {v: labels.count(v) / len(labels) for v in (0, 1, 2)}
    assert shares[2] > 0.6
    assert shares[1] > 0.05
    assert shares[0] > 0.03
    assert any(p.num_labelled == 0 for scene in scenes for p in scene.people)


def test_keypoints_are_inside_the_picture_or_unlabelled(scenes: list[SyntheticScene]) -> None:
    for scene in scenes:
        for person in scene.people:
            for x, y, v in person.keypoints_xyv_px:
                assert (v == 0 and x == 0 and y == 0) or (0 <= x < scene.width and 0 <= y < scene.height)


def test_visible_keypoints_lie_on_what_one_sees_of_the_person(scenes: list[SyntheticScene]) -> None:
    for scene in scenes[::4]:
        top = top_shape_index(scene.drawing.shapes, scene.width, scene.height)
        for number, person in enumerate(scene.people):
            for x, y, v in person.keypoints_xyv_px:
                if v == 2:
                    assert scene.drawing.shapes[int(top[y, x])].owner == number


def test_boxes_and_areas_are_those_of_the_drawn_pixels(scenes: list[SyntheticScene]) -> None:
    for scene in scenes[::5]:
        top = top_shape_index(scene.drawing.shapes, scene.width, scene.height)
        owner = np.array([*(s.owner for s in scene.drawing.shapes), -9])[top]
        for number, person in enumerate(scene.people):
            rows, columns = np.nonzero(owner == number)
            x, y, w, h = person.box_xywh_px
            assert (x, y) == (columns.min(), rows.min())
            assert (x + w, y + h) == (columns.max() + 1, rows.max() + 1)
            assert person.area_px == len(rows)


@pytest.mark.parametrize(("facing", "sign"), [("camera", 1), ("away", -1)])
def test_left_is_the_persons_own(people: list[SyntheticPerson], facing: str, sign: int) -> None:
    upright = [p for p in people if p.truth.facing == facing and p.truth.posture == "standing"]
    pairs = [(p.keypoints_xyv_px[INDEX["left_shoulder"]], p.keypoints_xyv_px[INDEX["right_shoulder"]]) for p in upright]
    seen = [(left[0] - right[0]) * sign for left, right in pairs if left[2] and right[2]]
    assert len(seen) > 5
    assert min(seen) > 0


def test_a_nose_points_where_the_person_faces(people: list[SyntheticPerson]) -> None:
    for facing, sign in (("image_right", 1), ("image_left", -1)):
        offsets = []
        for p in people:
            nose, left, right = (p.keypoints_xyv_px[INDEX[n]] for n in ("nose", "left_ear", "right_ear"))
            ear = left if left[2] else right
            if p.truth.facing == facing and p.truth.posture == "standing" and nose[2] and ear[2]:
                offsets.append((nose[0] - ear[0]) * sign)
        assert len(offsets) > 3
        assert np.mean(np.array(offsets) > 0) > 0.95


def test_nobody_seen_from_behind_has_a_visible_nose(people: list[SyntheticPerson]) -> None:
    noses = [p.keypoints_xyv_px[0][2] for p in people if p.truth.facing == "away"]
    assert noses
    assert max(noses) < 2


def test_truth_agrees_with_the_kind_of_pose(people: list[SyntheticPerson]) -> None:
    of = {name: [p for p in people if p.pose == name] for name in {p.pose for p in people}}
    assert all(p.truth.left_arm == p.truth.right_arm == "raised" for p in of["arms_raised"])
    assert all(p.truth.left_elbow == p.truth.right_elbow == "straight" for p in of["arms_out"])
    assert all(p.truth.left_elbow == p.truth.right_elbow == "bent" for p in of["hands_on_hips"])
    assert all(p.truth.left_knee == p.truth.right_knee == "straight" for p in of["standing"])
    assert all(p.truth.left_knee == p.truth.right_knee == "bent" for p in of["sitting"] + of["crouching"])
    for p in of["waving"]:
        assert p.truth.left_wrist_above_shoulder != p.truth.right_wrist_above_shoulder


def test_raised_wrists_are_above_the_shoulders_in_the_picture(people: list[SyntheticPerson]) -> None:
    for person in people:
        for side in ("left", "right"):
            wrist = person.keypoints_xyv_px[INDEX[f"{side}_wrist"]]
            shoulder = person.keypoints_xyv_px[INDEX[f"{side}_shoulder"]]
            if person.pose == "arms_raised" and wrist[2] and shoulder[2]:
                assert wrist[1] < shoulder[1]


def test_seats_are_under_those_who_sit(scenes: list[SyntheticScene]) -> None:
    for scene in scenes:
        for thing in scene.objects:
            if thing.category not in ("chair", "couch", "bench"):
                continue
            person = scene.people[thing.person]
            hips = [k for k in person.keypoints_xyv_px[11:13] if k[2]]
            x, y, w, h = thing.box_xywh_px
            for hip_x, hip_y, _ in hips:
                assert x - 0.5 * w <= hip_x <= x + 1.5 * w
                assert hip_y <= y + h


def test_captions_are_five_plain_sentences(scenes: list[SyntheticScene]) -> None:
    for scene in scenes:
        assert len(set(scene.captions)) == 5
        for caption in scene.captions:
            assert re.fullmatch(r"[A-Z][a-z0-9 ,\-]+\.", caption), caption
            assert not re.search(r"keypoint|joint|coordinate|bounding|pixel|\ba [aeio]|\ban [^aeiou]", caption), caption
            assert " is with " not in caption


def test_captions_name_only_objects_that_can_be_seen(scenes: list[SyntheticScene]) -> None:
    words = ("suitcase", "umbrella", "skateboard", "frisbee", "racket", "bench", "couch", "chair", "bed", "phone")
    for scene in scenes:
        seen = " ".join(thing.category for thing in scene.objects)
        for word in words:
            if re.search(rf"\b{word}\b", " ".join(scene.captions)):
                assert word in seen


def test_number_words_count_the_people(scenes: list[SyntheticScene]) -> None:
    numbers = {"Two": 2, "Three": 3, "Four": 4, "Five": 5}
    counted = 0
    for scene in scenes:
        near = [p for p in scene.people if p.num_labelled]
        for caption in scene.captions:
            found = re.match(r"(\w+) people", caption)
            if found:
                assert numbers[found[1]] == len(near)
                counted += 1
    assert counted > 5


def test_as_scene_is_in_fractions_of_the_image(scenes: list[SyntheticScene]) -> None:
    scene = as_scene(scenes[4])
    keypoints = scene.keypoints_px()
    assert keypoints.shape == (len(scenes[4].people), 17, 3)
    assert np.allclose(keypoints[0], scenes[4].people[0].keypoints_xyv_px)
    assert scene.scene_id == "5"
    assert scene.file_name == "000000000005.jpg"
