from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from kpray.prompts import KINDS
from kpray.prompts.detailed import instructions
from kpray.prompts.wording import example_scenes, examples, fingerprint, system_text
from kpray.schemas import KEYPOINT_NAMES, KIND_NAMES, Box, KindName, Person

SCENES = example_scenes()
Points = dict[str, npt.NDArray[np.float64]]


def labelled_px(scene_id: str, person: int = 0) -> Points:
    """Labelled keypoints of a person of an example, by name, in pixels."""
    rows = SCENES[scene_id].keypoints_px()[person]
    return {name: row[:2] for name, row in zip(KEYPOINT_NAMES, rows, strict=True) if row[2] > 0}


def angle_deg(points: Points, a: str, b: str, c: str) -> float:
    u, v = points[a] - points[b], points[c] - points[b]
    return float(np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))))


def elbow_deg(points: Points, side: str) -> float:
    return angle_deg(points, f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist")


def knee_deg(points: Points, side: str) -> float:
    return angle_deg(points, f"{side}_hip", f"{side}_knee", f"{side}_ankle")


def object_px(scene_id: str, category: str) -> Box:
    scene = SCENES[scene_id]
    (box,) = (o.box_xyxy_norm for o in scene.objects if o.category == category)
    x1, y1, x2, y2 = np.array(box) * [scene.width, scene.height, scene.width, scene.height]
    return (x1, y1, x2, y2)


def inside(point: npt.NDArray[np.float64], box: Box) -> bool:
    return bool(box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3])


EVERYONE = [pytest.param(p, id=f"{s.scene_id}-{p.annotation_id}") for s in SCENES.values() for p in s.people]


@pytest.mark.parametrize("person", EVERYONE)
def test_example_keypoints_lie_in_their_box_and_fill_it(person: Person) -> None:
    labelled = np.array([k for k in person.keypoints_xyv_norm if k[2] > 0])
    x1, y1, x2, y2 = person.box_xyxy_norm
    low, high = labelled[:, :2].min(axis=0), labelled[:, :2].max(axis=0)
    assert len(person.keypoints_xyv_norm) == 17
    assert len(labelled) == person.num_labelled
    assert (low >= [x1, y1]).all()
    assert (high <= [x2, y2]).all()
    assert np.prod(high - low) > 0.5 * (x2 - x1) * (y2 - y1)
    assert all(k[:2] == (0.0, 0.0) for k in person.keypoints_xyv_norm if k[2] == 0)


@pytest.mark.parametrize(("scene_id", "person"), [("shelf", 0), ("lawn", 0), ("cafe", 0)])
def test_people_who_face_the_camera_have_their_left_at_image_right(scene_id: str, person: int) -> None:
    points = labelled_px(scene_id, person)
    for part in ("eye", "ear", "shoulder", "hip"):
        assert points[f"left_{part}"][0] > points[f"right_{part}"][0]


def test_shelf_right_hand_is_far_above_the_head_at_the_vase() -> None:
    woman, vase = labelled_px("shelf"), object_px("shelf", "vase")
    head = woman["nose"][1] - woman["left_eye"][1]
    assert woman["right_wrist"][1] < woman["right_eye"][1] - 5 * head
    assert vase[0] <= woman["right_wrist"][0] <= vase[2]
    assert abs(woman["right_wrist"][1] - vase[3]) < 15
    assert 150 < elbow_deg(woman, "right") < 170
    assert woman["right_elbow"][1] < woman["right_shoulder"][1] - 40


def test_shelf_left_forearm_crosses_the_waist_and_the_legs_are_straight() -> None:
    woman = labelled_px("shelf")
    assert 95 < elbow_deg(woman, "left") < 120
    assert woman["left_wrist"][0] < woman["left_elbow"][0] - 20
    assert woman["left_shoulder"][1] < woman["left_wrist"][1] < woman["left_hip"][1]
    assert min(knee_deg(woman, "left"), knee_deg(woman, "right")) > 170
    feet = abs(woman["left_ankle"][0] - woman["right_ankle"][0])
    shoulders = woman["left_shoulder"][0] - woman["right_shoulder"][0]
    assert 0.5 * shoulders < feet < shoulders
    assert woman["left_ankle"][1] == woman["right_ankle"][1]


def test_lawn_woman_holds_the_frisbee_in_her_left_hand_with_the_right_on_her_hip() -> None:
    woman = labelled_px("lawn", 0)
    assert inside(woman["left_wrist"], object_px("lawn", "frisbee"))
    assert 120 < elbow_deg(woman, "left") < 150
    assert woman["left_shoulder"][1] < woman["left_wrist"][1] < woman["left_shoulder"][1] + 40
    assert np.linalg.norm(woman["right_wrist"] - woman["right_hip"]) < 25
    assert woman["right_elbow"][0] < woman["right_wrist"][0] - 20
    assert min(knee_deg(woman, "left"), knee_deg(woman, "right")) > 170
    assert abs(woman["left_ankle"][0] - woman["right_ankle"][0]) < abs(
        woman["left_shoulder"][0] - woman["right_shoulder"][0]
    )


def test_lawn_boy_kneels_upright_and_reaches_without_touching() -> None:
    boy, woman, frisbee = labelled_px("lawn", 1), labelled_px("lawn", 0), object_px("lawn", "frisbee")
    assert boy["nose"][0] < boy["left_ear"][0]  # he faces image-left
    assert not {"right_eye", "right_ear"} & boy.keys()
    assert max(knee_deg(boy, "left"), knee_deg(boy, "right")) < 100
    assert abs(boy["left_ankle"][1] - boy["left_knee"][1]) < 15
    assert boy["left_ankle"][0] > boy["left_knee"][0] + 40
    assert abs(boy["left_shoulder"][0] - boy["left_hip"][0]) < 15
    for side in ("left", "right"):
        assert 100 < elbow_deg(boy, side) < 130
        assert frisbee[2] < boy[f"{side}_wrist"][0] < boy[f"{side}_shoulder"][0] - 50
        assert boy[f"{side}_shoulder"][1] - 5 <= boy[f"{side}_wrist"][1] < boy[f"{side}_hip"][1]
    assert boy["nose"][1] > woman["nose"][1] + 80
    left_person, right_person = SCENES["lawn"].people
    assert left_person.box_xyxy_norm[2] < right_person.box_xyxy_norm[0]


def test_cafe_man_has_the_cup_at_his_chest_and_the_left_hand_on_the_book() -> None:
    man, cup = labelled_px("cafe"), object_px("cafe", "cup")
    assert inside(man["right_wrist"], cup)
    assert inside(man["left_wrist"], object_px("cafe", "book"))
    assert man["nose"][1] + 50 < cup[1] < cup[3] < object_px("cafe", "dining table")[1]
    assert man["right_shoulder"][0] < cup[0] < cup[2] < man["left_shoulder"][0]
    assert elbow_deg(man, "right") < 60
    assert 85 < elbow_deg(man, "left") < 105
    assert abs(man["left_shoulder"][1] - man["right_shoulder"][1]) < 5
    assert object_px("cafe", "book")[0] > cup[2]


def test_cafe_legs_are_unlabelled_and_no_answer_speaks_of_them() -> None:
    assert not {"left_knee", "right_knee", "left_ankle", "right_ankle"} & labelled_px("cafe").keys()
    said = " ".join(
        f"{pair.question} {pair.answer}"
        for kind in KIND_NAMES
        for example in examples(kind)
        if example.scene == "cafe"
        for pair in example.answers
    )
    assert said
    assert not re.search(r"\b(legs?|knees?|feet|foot|ankles?)\b", said)


LEAKS = re.compile(
    r"caption|sentence|annotat|bounding|\bbox(es)?\b(?<!cardboard box)|keypoint|coordinat|\d|[*#`_]|appears|seems"
    r"|possibly",
    re.IGNORECASE,
)


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_example_answers_keep_the_rules_that_the_prompt_states(kind: KindName) -> None:
    for example in examples(kind):
        for pair in example.answers:
            text = pair.answer.replace("The box keeps", "It keeps").replace("the box down", "it down")
            assert not LEAKS.search(text), LEAKS.search(text)
            if kind != "detailed":
                assert pair.question.endswith("?")


def test_example_instructions_come_from_the_list() -> None:
    assert {pair.question for example in examples("detailed") for pair in example.answers} <= set(instructions())


@pytest.mark.parametrize("kind", KIND_NAMES)
@pytest.mark.parametrize("structured", [True, False])
def test_few_shot_replies_are_read_back_as_the_examples(kind: KindName, structured: bool) -> None:
    for example in examples(kind):
        written = KINDS[kind].write(example.answers, structured=structured)
        assert KINDS[kind].parse(written, instruction=example.answers[0].question) == example.answers


@pytest.mark.parametrize("kind", KIND_NAMES)
@pytest.mark.parametrize("structured", [True, False])
def test_system_prompt_is_short_and_whole(kind: KindName, structured: bool) -> None:
    text = system_text(kind, structured=structured)
    assert len(text.split()) < 700
    assert "$" not in text
    assert "<!--" not in text
    assert ("JSON" in text) == structured
    positions = [text.index(f"{i}. {name.replace('_', ' ')}") for i, name in enumerate(KEYPOINT_NAMES, 1)]
    assert all(a < b for a, b in pairwise(positions))


def test_fingerprint_depends_on_every_part() -> None:
    assert len({fingerprint("a", None), fingerprint("a", {}), fingerprint("b", None), fingerprint("a")}) == 4
    assert re.fullmatch(r"[0-9a-f]{12}", fingerprint("a"))
