"""Which people a mention could mean."""

from __future__ import annotations

from typing import Any

import pytest
from hand_made import code, people_at
from scenes import person, scene

from kpray.pose.vocabulary import PoseCode
from kpray.quality.grounding.cast import Cast
from kpray.quality.grounding.claims import Mention
from kpray.quality.grounding.people import Group, who_could_be
from kpray.schemas import Scene, SceneObject


def candidates(scene: Scene, codes: tuple[PoseCode, ...] = (), **mention: Any) -> tuple[int, ...]:
    return group(scene, codes, **mention).people


def group(scene: Scene, codes: tuple[PoseCode, ...] = (), **mention: Any) -> Group:
    fields: dict[str, Any] = {"text": "", "head": "person", **mention}
    return who_could_be(Mention(**fields), Cast(scene, codes))


def test_a_noun_tells_nobody_from_another():
    assert candidates(people_at(0.2, 0.8), head="woman", words=("red", "shirt")) == (0, 1)


@pytest.mark.parametrize(
    ("centres", "place", "expected"),
    [
        ((0.2, 0.8), "image_left", (0,)),
        ((0.2, 0.8), "image_right", (1,)),
        ((0.1, 0.3), "image_left", (0,)),  # both in the left half: the one more to the left
        ((0.1, 0.2, 0.9), "image_left", (0,)),
        ((0.1, 0.2, 0.9), "image_right", (2,)),
        ((0.50, 0.51), "image_left", (0, 1)),  # too near each other to tell
        ((0.1, 0.5, 0.9), "middle", (1,)),
        ((0.1, 0.2, 0.9), "middle", (1,)),
        ((0.1, 0.3, 0.5), "middle", (1, 2)),  # middle of the group or of the picture
        ((0.2, 0.8), "middle", (0, 1)),
    ],
)
def test_a_place_excludes_only_who_clearly_stands_elsewhere(centres, place, expected):
    assert candidates(people_at(*centres), place=place) == expected


def test_one_of_a_kind_on_a_side_may_be_anyone_in_that_half():
    four = people_at(0.1, 0.3, 0.6, 0.9)
    assert candidates(four, place="image_left", head="man") == (0, 1)
    assert candidates(four, place="image_right", words=("red",)) == (2, 3)
    assert candidates(people_at(0.1, 0.3), place="image_left", head="man") == (0,)


def test_the_main_person_is_meant_where_the_captions_know_no_other():
    far = [person(i, box_xyxy_norm=(i / 20, 0.4, i / 20 + 0.02, 0.5)) for i in range(2, 14)]
    changes = {"people": (*far, people_at(0.8).people[0]), "objects": (), "flags": ("crowd",)}
    alone = scene(captions=("A man swings a racket.",), **changes)
    assert main(alone, head="player") == Group((12,), closed=True, certain=True)
    for other in (
        {"head": "spectator"},
        {"head": "man", "words": ("red",)},
        {"head": "man", "place": "background"},
        {"head": "player", "quantity": "all"},
    ):
        assert not main(alone, **other).closed
    assert not group(alone, head="player").closed  # others were spoken of before
    assert not main(scene(captions=("Two men play.",), **changes), head="man").closed


def main(scene: Scene, **mention: Any) -> Group:
    """Whom a mention means that is the first of its text."""
    fields: dict[str, Any] = {"text": "", **mention}
    return who_could_be(Mention(**fields), Cast(scene, ()), first=True)


def test_small_people_at_the_side_may_be_overlooked():
    small = person(9, box_xyxy_norm=(0.05, 0.4, 0.1, 0.6))
    two = people_at(0.3, 0.8)
    three = scene(people=(small, *two.people), captions=(), objects=())
    assert candidates(three, place="image_left") == (0, 1)
    assert candidates(three, place="image_right") == (2,)
    assert candidates(three, ordinal=2, ordinal_from="image_left") == (1, 2)


def test_the_one_on_a_side_is_not_on_the_other_half_of_the_image():
    small = person(9, box_xyxy_norm=(0.05, 0.4, 0.1, 0.6))
    two = scene(people=(small, *people_at(0.7).people), captions=(), objects=())
    assert candidates(two, place="image_left") == (0,)


def test_a_place_where_the_only_person_is_not_means_somebody_unannotated():
    assert not group(people_at(0.9), place="image_left").closed
    assert group(people_at(0.4), place="image_left").closed


def test_ordinals_count_from_their_side():
    three = people_at(0.1, 0.5, 0.9)
    assert candidates(three, ordinal=1, ordinal_from="image_left") == (0,)
    assert candidates(three, ordinal=1, ordinal_from="image_right") == (2,)
    assert candidates(three, ordinal=2, ordinal_from="image_left") == (1,)


def test_an_ordinal_among_men_may_mean_a_later_person():
    three = people_at(0.1, 0.5, 0.9)
    assert candidates(three, head="man", ordinal=2, ordinal_from="image_left") == (1, 2)


def test_an_ordinal_without_a_side_or_beyond_the_last_excludes_nobody_for_sure():
    three = people_at(0.1, 0.5, 0.9)
    assert candidates(three, ordinal=2) == (0, 1, 2)
    assert not group(three, ordinal=4, ordinal_from="image_left").closed


def test_people_of_unclear_order_share_a_rank():
    assert candidates(people_at(0.1, 0.5, 0.51), ordinal=2, ordinal_from="image_left") == (1, 2)


def test_the_owner_of_every_such_thing_is_meant():
    disc = SceneObject(1, "frisbee", (0.7, 0.4, 0.8, 0.5))
    two = people_at(0.2, 0.8, objects=(disc,))
    held = (code("object", "in_left_hand", 1, object=0),)
    assert candidates(two, held, objects=("frisbee",)) == (1,)
    assert candidates(two, (), objects=("frisbee",)) == (0, 1)  # no code says who has it
    assert candidates(people_at(0.2, 0.8, objects=(disc, disc)), held, objects=("frisbee",)) == (0, 1)


@pytest.mark.parametrize(
    ("scene", "mention"),
    [
        (people_at(0.5, flags=("crowd",)), {}),
        (people_at(*(i / 10 for i in range(10))), {}),
        (people_at(0.2, 0.8), {"place": "background"}),
        (people_at(0.2, 0.8), {"head": "spectator"}),
        (people_at(0.2, 0.8), {"quantity": "all", "count": 3}),
        (people_at(0.5, captions=("A man with a baby.",)), {"head": "baby"}),
        (people_at(0.5, captions=("Two men talk.",)), {"head": "man"}),
    ],
)
def test_somebody_who_is_not_annotated_may_be_meant(scene, mention):
    assert not group(scene, **mention).closed


def test_the_person_is_the_annotated_one_even_where_captions_tell_of_others():
    assert group(people_at(0.5, captions=("Two men talk.",)), head="person").closed


def test_all_are_surely_meant_only_when_counted_or_said_so():
    two = people_at(0.2, 0.8)
    assert group(two, quantity="all", count=2, head="man").certain
    assert group(two, text="both skiers", quantity="all", head="skier").certain
    assert group(two, text="everyone", quantity="all").certain
    assert group(two, text="the players", quantity="all", head="player").certain  # a plural, so both
    three = people_at(0.1, 0.5, 0.9)
    assert group(three, text="all people", quantity="all").certain
    assert not group(three, text="the players", quantity="all", head="player").certain
    assert not group(three, text="both men", quantity="all", head="man", count=2).certain
