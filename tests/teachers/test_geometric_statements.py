from __future__ import annotations

import pytest
from geometric_scenes import PAIRED, SIDED, WHOLE, code, random_case, scene

from kpray.pose.vocabulary import VOCABULARY, PoseCode
from kpray.teachers.geometric.facts import SIDES, scene_facts
from kpray.teachers.geometric.statements import Statement, statements
from kpray.teachers.geometric.wording import forms


def said(*codes: PoseCode, objects: tuple[str, ...] = ()) -> list[Statement]:
    return statements(scene_facts(scene(1, objects=objects), codes), 0)


def keys(*codes: PoseCode, objects: tuple[str, ...] = ()) -> list[str]:
    return [s.key for s in said(*codes, objects=objects)]


def test_both_sides_with_one_value_become_one_statement() -> None:
    assert keys(code("knee", "bent", side="left"), code("knee", "bent", side="right")) == ["knee_bent_both"]


def test_sides_that_differ_stay_apart() -> None:
    found = said(code("knee", "bent", side="left"), code("knee", "straight", side="right"))
    assert [(s.key, s.slots["side"]) for s in found] == [("knee_bent_one", "left"), ("knee_straight_one", "right")]


def test_an_arm_and_its_elbow_become_one_statement() -> None:
    codes = [code("arm", "down", side="left"), code("elbow", "straight", side="left")]
    assert keys(*codes, code("wrist_height", "below_hip", side="left")) == ["arm_hanging_one"]


def test_elbows_and_knees_that_do_the_same_are_joined() -> None:
    codes = [code(joint, "bent", side=side) for joint in ("elbow", "knee") for side in SIDES]
    assert keys(*codes) == ["elbows_and_knees_bent"]


def test_a_hand_on_the_hip_explains_its_elbow() -> None:
    codes = [code("hand_on_hip", "yes", side="right"), code("elbow", "bent", side="right")]
    assert keys(*codes) == ["hand_on_hip_one"]


@pytest.mark.parametrize(
    ("posture", "category", "key"),
    [("sitting", "bench", "sitting_on"), ("standing", "skateboard", "standing_on"), (None, "horse", "on")],
)
def test_posture_and_support_are_joined(posture: str | None, category: str, key: str) -> None:
    codes = [code("posture", posture)] if posture else []
    assert keys(*codes, code("object", "on", object=0), objects=(category,)) == [key]


def test_worn_things_are_not_beside() -> None:
    assert keys(code("object", "beside", object=0), objects=("tie",)) == []


def test_every_statement_has_forms() -> None:
    """Also statements that random cases reach seldom: each needs a verb phrase, or it could not be said."""
    for seed in range(400):
        case, codes = random_case(seed)
        facts = scene_facts(case, codes)
        for person in range(len(case.people)):
            for statement in statements(facts, person):
                assert f"{statement.key}.vp" in forms(), statement
                if "side" in statement.slots:
                    assert f"{statement.key}.full" in forms(), statement


def test_the_random_codes_cover_the_vocabulary() -> None:
    assert {*SIDED, *WHOLE, *PAIRED, "ankle_height", "object", "person_count", "object_side"} == set(VOCABULARY)


def test_a_pair_is_known_from_both_sides() -> None:
    facts = scene_facts(scene(2), [code("order", "image_left_of", 0, other=1)])
    assert facts.pairs["order"] == {(0, 1): "image_left_of", (1, 0): "image_right_of"}


def test_places_need_a_certain_count() -> None:
    assert scene_facts(scene(2), [code("person_count", "2", -1)]).left_to_right == [0, 1]
    assert scene_facts(scene(2), []).left_to_right == [None, None]
