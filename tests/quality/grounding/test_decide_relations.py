"""From claims to verdicts: people beside people and objects."""

from __future__ import annotations

from typing import Any

import pytest
from hand_made import ON_THE_LEFT, THE_PERSON, claim, code, people_at

from kpray.pose import PoseCode
from kpray.quality.grounding.claims import Claim, Mention, Thing
from kpray.quality.grounding.decide import decide
from kpray.schemas import Scene, SceneObject

DISC = Thing("the disc", "disc")
NEAR_LEFT_HAND = (0.58, 0.50, 0.64, 0.58)  # of the standing person of tests/scenes.py
FAR_AWAY = (0.92, 0.02, 0.98, 0.08)


def verdict(made: Claim, *codes: PoseCode, scene: Scene) -> str:
    (found,) = decide([made], scene, codes)
    return found.verdict


def one_with(category: str, box: tuple[float, float, float, float], **changes: Any) -> Scene:
    return people_at(0.5, width=0.28, objects=(SceneObject(1, category, box),), **changes)


def has(value: str, what: Thing = DISC, **changes: Any) -> Claim:
    return claim("object", value, THE_PERSON, other=what, **changes)


def test_positions_of_people():
    two = people_at(0.2, 0.8)
    another = Mention("the other person", head="person", other=True)
    assert verdict(claim("position", "image_left_of", ON_THE_LEFT, other=another), scene=two) == "supported"
    assert verdict(claim("position", "image_right_of", ON_THE_LEFT, other=another), scene=two) == "contradicted"
    denied = claim("position", "image_right_of", ON_THE_LEFT, other=another, negated=True)
    assert verdict(denied, scene=two) == "supported"


def test_positions_hold_between_people_who_are_no_neighbours():
    three = people_at(0.1, 0.5, 0.9)
    last = Mention("the rightmost person", head="person", ordinal=1, ordinal_from="image_right")
    found = decide([claim("position", "image_right_of", ON_THE_LEFT, other=last)], three, ())[0]
    assert (found.verdict, found.code) == ("contradicted", "order=image_left_of")


def test_a_position_that_holds_for_someone_who_could_be_meant_is_supported():
    three = people_at(0.1, 0.5, 0.9)
    middle = Mention("the person in the middle", head="person", place="middle")
    assert verdict(claim("position", "image_left_of", Mention("the man", head="man"), other=middle), scene=three) == (
        "supported"
    )


def test_a_position_of_two_who_could_be_either_says_nothing():
    two = people_at(0.2, 0.8)
    man, woman = Mention("the man", head="man"), Mention("the woman", head="woman")
    for value in ("image_left_of", "image_right_of"):
        assert verdict(claim("position", value, man, other=woman), scene=two) == "unverifiable"


def test_positions_of_people_who_stand_before_each_other_are_open():
    two = people_at(0.50, 0.53)
    other = Mention("the woman", head="woman")
    assert verdict(claim("position", "image_left_of", THE_PERSON, other=other), scene=two) == "unverifiable"


def test_positions_by_objects():
    horse = Thing("the horse", "horse")
    beside = one_with("horse", (0.8, 0.3, 0.99, 0.8))
    assert verdict(claim("position", "image_left_of", other=horse), scene=beside) == "supported"
    found = decide([claim("position", "image_right_of", other=horse)], beside, ())[0]
    assert (found.verdict, found.code) == ("contradicted", "object_side=image_right_of")
    chair = one_with("chair", (0.8, 0.3, 0.99, 0.8))  # another chair may not be annotated
    assert verdict(claim("position", "image_right_of", other=Thing("a chair", "chair")), scene=chair) == "unverifiable"


@pytest.mark.parametrize(
    ("value", "side", "held", "expected"),
    [
        ("holding", "", "in_left_hand", "supported"),
        ("holding", "left", "in_left_hand", "supported"),
        ("holding", "left", "in_both_hands", "supported"),
        ("holding", "both", "in_both_hands", "supported"),
        ("holding", "both", "in_left_hand", "unverifiable"),
        ("holding", "right", "in_left_hand", "contradicted"),
        ("touching", "", "in_left_hand", "supported"),
        ("on", "", "in_left_hand", "unverifiable"),
        ("beside", "", "in_left_hand", "unverifiable"),
    ],
)
def test_things_in_hands(value, side, held, expected):
    scene = one_with("frisbee", NEAR_LEFT_HAND)
    assert verdict(has(value, side=side), code("object", held, object=0), scene=scene) == expected


def test_the_other_hand_is_not_accused_while_it_is_at_the_thing_too():
    scene = one_with("frisbee", (0.38, 0.5, 0.64, 0.58))
    assert verdict(has("holding", side="right"), code("object", "in_left_hand", object=0), scene=scene) == (
        "unverifiable"
    )


@pytest.mark.parametrize("value", ["holding", "touching", "on"])
def test_things_far_from_the_person_are_not_theirs(value):
    found = decide([has(value)], people_at(0.2, objects=(SceneObject(1, "frisbee", FAR_AWAY),)), ())[0]
    assert (found.verdict, found.code) == ("contradicted", "object=far")


def test_only_what_is_across_the_picture_is_not_beside():
    narrow = people_at(0.1, objects=(SceneObject(1, "frisbee", (0.25, 0.5, 0.3, 0.6)),))
    assert verdict(has("beside"), scene=narrow) == "unverifiable"


def test_things_that_were_not_read_or_are_often_unmarked_decide_nothing():
    assert verdict(has("holding"), scene=people_at(0.2)) == "unverifiable"
    cups = people_at(0.2, objects=(SceneObject(1, "cup", FAR_AWAY),))
    assert verdict(has("holding", Thing("a cup", "cup")), scene=cups) == "unverifiable"
    assert verdict(has("holding", Thing("a kite", "kite")), scene=cups) == "unverifiable"


def test_a_second_thing_of_the_kind_may_be_meant():
    near_and_far = (SceneObject(1, "frisbee", FAR_AWAY), SceneObject(2, "frisbee", NEAR_LEFT_HAND))
    scene = people_at(0.5, width=0.28, objects=near_and_far)
    assert verdict(has("holding"), scene=scene) == "unverifiable"
