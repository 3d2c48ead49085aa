"""The statements that grounding is measured with: fair halves, whole sentences, and truths that codes imply."""

from __future__ import annotations

import doctest
import itertools
import os
import random
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import pytest

from kpray.pose import PoseCode
from kpray.quality.grounding.claims import CLAIMS
from kpray.schemas import Person, Scene, SceneObject

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))  # they are scripts, not a package

import grounding
import grounding_draws
import grounding_facts
import grounding_figures
import grounding_people
import grounding_statements
import grounding_wording
from grounding_draws import Draw, draws
from grounding_facts import Fact, scene_facts
from grounding_people import Named, is_alone, names_of, nouns_of
from grounding_statements import Maker, statements
from grounding_wording import Phrases, Wording, Writer, slot_names

HALVES = {which: Phrases(which) for which in grounding_wording.SETS}
CODED_AS = {"image_left": "image_lr", "image_right": "image_lr", "image_left_of": "lr", "image_right_of": "lr"}


def person(number: int, left: float, right: float, *, top: float = 0.2) -> Person:
    nothing = tuple((0.0, 0.0, 0) for _ in range(17))
    return Person(number, (left, top, right, 0.9), nothing, num_labelled=0, area_px=10_000.0)


def scene(*people: Person, captions: tuple[str, ...] = (), objects: tuple[SceneObject, ...] = ()) -> Scene:
    return Scene("7", "7.jpg", "val2017", 640, 480, None, captions, objects, people)


def code(name: str, value: str, of: int = 0, side: str = "", **more: int) -> PoseCode:
    other, thing = more.get("other"), more.get("thing")
    return PoseCode(name, value, of, side, other, thing, (), 0.0, 2.0)  # type: ignore[arg-type]


def test_every_claim_has_enough_wordings_in_each_half() -> None:
    for name, values in CLAIMS.items():
        for value in {CODED_AS.get(value, value) for value in values} or {"n", "one"}:
            found = {which: phrases.wordings[name, value] for which, phrases in HALVES.items()}
            assert min(len(wordings) for wordings in found.values()) >= 6, (name, value)
            assert sum(len(wordings) for wordings in found.values()) >= 12, (name, value)


def test_no_line_is_in_both_halves() -> None:
    dev, heldout = ({*(w.text for ws in p.wordings.values() for w in ws)} for p in HALVES.values())
    frames = [{(frame.form, frame.text) for frame in phrases.frames} for phrases in HALVES.values()]
    people = [{(kind, line) for kind, lines in phrases.people.items() for line in lines} for phrases in HALVES.values()]
    assert len(dev & heldout) == 0
    assert not frames[0] & frames[1]
    assert not people[0] & people[1]


@pytest.mark.parametrize("which", HALVES)
def test_every_wording_in_every_frame_leaves_no_slot_open(which: str) -> None:
    phrases = HALVES[which]
    writer = Writer(phrases, random.Random(0))
    words = ["side", "ilr", "rli", "a_obj", "the_obj", "other", "n", "people", "who", "a_who", "all", "none"]
    slots = {name: f"<{name}>" for name in words}
    for wordings in phrases.wordings.values():
        for wording in wordings:
            for frame, pronoun in itertools.product(phrases.frames_of(wording), ("he", "she", "they")):
                turns = " ".join(writer.turns(frame, wording, slots, pronoun))
                assert not re.search(r"[{}|]", turns), (frame.form, wording.form)


def test_verbs_agree_with_they() -> None:
    frame = next(f for f in HALVES["dev"].frames if f.form == "vp" and "{He} {vp}" in f.text)
    slots = {"who": "the person", "a_who": "a person"}
    wording = Wording("vp", "", True, "is holding {his} hands together")
    writer = Writer(HALVES["dev"], random.Random(0))
    assert "They are holding their hands together" in writer.turns(frame, wording, slots, "they")[1]
    assert "He is holding his hands together" in writer.turns(frame, wording, slots, "he")[1]


def test_doctests() -> None:
    for module in (
        grounding,
        grounding_draws,
        grounding_facts,
        grounding_figures,
        grounding_people,
        grounding_statements,
        grounding_wording,
    ):
        assert doctest.testmod(module).failed == 0


def facts_of(*codes: PoseCode) -> dict[tuple[str, str, str], Fact]:
    found = scene_facts(scene(person(1, 0.2, 0.5), person(2, 0.6, 0.9)), codes)
    return {(fact.name, fact.value, fact.side): fact for fact in found if fact.person == 0}


def test_a_bent_elbow_beside_a_straight_one_flips_the_side() -> None:
    facts = facts_of(code("elbow", "bent", side="left"), code("elbow", "straight", side="right"))
    assert facts["elbow", "bent", "left"].true
    assert (facts["elbow", "bent", "right"].true, facts["elbow", "bent", "right"].flip) == (False, "side")
    assert not facts["elbow", "bent", "both"].true
    assert facts["elbow", "bent", "one"].true


def test_one_known_limb_decides_neither_both_nor_none() -> None:
    facts = facts_of(code("knee", "bent", side="left"))
    assert ("knee", "bent", "both") not in facts
    assert ("knee", "straight", "one") not in facts
    assert not facts["knee", "straight", "both"].true


def test_between_true_and_false_lies_nothing() -> None:
    facts = facts_of(code("arm", "slightly_out", side="left"), code("elbow", "slightly_bent", side="left"))
    assert facts == {}


def test_what_is_true_of_somebody_else_flips_the_person() -> None:
    facts = facts_of(code("posture", "standing", of=0), code("posture", "sitting", of=1))
    assert facts["posture", "sitting", ""].flip == "person"
    assert facts["posture", "kneeling", ""].flip == "attribute"


def test_a_thing_far_away_is_not_touched_and_a_near_one_is_undecided() -> None:
    far = SceneObject(1, "bench", (0.9, 0.7, 1.0, 0.8))
    near = SceneObject(2, "bench", (0.31, 0.7, 0.4, 0.8))
    small = person(1, 0.1, 0.2, top=0.7)
    facts = scene_facts(scene(small, objects=(far, near)), ())
    assert {fact.thing for fact in facts} == {0}
    assert not any(fact.true for fact in facts)


def test_left_and_right_are_not_used_where_people_may_be_missing() -> None:
    two = scene(person(1, 0.1, 0.3), person(2, 0.6, 0.8))
    order = [code("order", "image_left_of", other=1)]
    assert {(n.person, n.place) for n in names_of(two, order, complete=True)} == {(0, "left"), (1, "right")}
    assert names_of(two, order, complete=False) == []
    assert names_of(two, [], complete=True) == []


def test_somebody_is_not_alone_where_captions_speak_of_others() -> None:
    alone = scene(person(1, 0.1, 0.3), captions=("A man on a bike.",))
    watched = msgspec.structs.replace(alone, captions=("A man on a bike before a crowd.",))
    assert is_alone(alone, complete=False)
    assert not is_alone(watched, complete=False)
    assert is_alone(watched, complete=True)


def test_nobody_is_called_a_man_unless_the_captions_agree() -> None:
    agree = scene(person(1, 0.1, 0.3), captions=("A man on a bike.", "A man rides."))
    differ = scene(person(1, 0.1, 0.3), captions=("A man on a bike.", "A woman rides."))
    assert ("man", "he") in nouns_of(agree, lone=True)
    assert {pronoun for _, pronoun in nouns_of(differ, lone=True)} == {"they"}


def test_the_holder_is_never_named_by_the_thing_in_question() -> None:
    ball = SceneObject(1, "sports ball", (0.2, 0.4, 0.25, 0.45))
    held = [code("object", "in_left_hand", thing=0), code("order", "image_left_of", other=1)]
    two = scene(person(1, 0.1, 0.3), person(2, 0.6, 0.8), objects=(ball,))
    for draw in draws([two], [tuple(held)], [True]):
        if draw.fact.thing == 0:
            assert all(named.thing != "sports ball" for named in draw.names)


def test_counts_are_three_off_at_most_and_never_below_one() -> None:
    two = scene(person(1, 0.1, 0.3), person(2, 0.6, 0.8))
    found = draws([two], [(code("order", "image_left_of", other=1),)], [True])
    said = {draw.fact.value: draw.fact.true for draw in found if draw.fact.name == "person_count"}
    assert said == {"1": False, "2": True, "3": False, "4": False, "5": False}
    assert not [draw for draw in draws([two], [()], [False]) if draw.fact.name == "person_count"]


def test_everybody_and_nobody() -> None:
    two = scene(person(1, 0.1, 0.3), person(2, 0.6, 0.8))
    codes = (
        code("order", "image_left_of", other=1),
        code("posture", "standing", of=0),
        code("posture", "sitting", of=1),
        code("facing", "camera", of=0),
        code("facing", "camera", of=1),
    )
    found = {
        (draw.everybody, draw.fact.value): draw.fact.true for draw in draws([two], [codes], [True]) if draw.everybody
    }
    assert found["all", "camera"]
    assert found["none", "away"]
    assert found["none", "kneeling"]
    assert not found["all", "standing"]
    assert not found["none", "standing"]
    assert not found["none", "camera"]


def test_a_denied_truth_is_false_and_a_denied_falsehood_true() -> None:
    one = scene(person(1, 0.1, 0.3))
    for true in (True, False):
        fact = Fact("posture", "sitting", "", 0, true, "" if true else "attribute")
        maker = Maker([one], HALVES["dev"], random.Random(3))
        made = [s for _ in range(200) if (s := maker.make(Draw(0, fact, (Named("lone", 0),))))]
        for statement in made:
            if statement.frame == "negated":
                assert statement.true is not true
                assert statement.flip == ("denied" if true else "")
            elif statement.frame != "yes_no":
                assert statement.true is true
        assert {statement.true for statement in made} == {True, False}


@pytest.mark.skipif("KPRAY_COCO" not in os.environ, reason="KPRAY_COCO names no folder with COCO's annotations")
def test_statements_about_real_people_are_balanced_different_and_the_same_again() -> None:
    scenes, codes, complete = grounding.read(Path(os.environ["KPRAY_COCO"]))
    drawn = draws(scenes, codes, complete)
    made = statements(scenes, drawn, HALVES["dev"], seed=1, each=300)
    assert Counter(statement.true for statement in made) == {True: 300, False: 300}
    assert len({(s.scene, s.question, s.answer) for s in made}) == 600
    assert made == statements(scenes, drawn, HALVES["dev"], seed=1, each=300)
    by_name = defaultdict(set)
    for statement in made:
        by_name[statement.fact.name].add(statement.true)
    assert set(by_name) == set(CLAIMS)
    assert not any(slot_names(statement.answer) for statement in made)


def test_heldout_wordings_are_not_shown_by_accident(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["grounding.py", "--coco", "none", "--set", "heldout", "--show", "3"])
    with pytest.raises(SystemExit) as stopped:
        grounding.main()
    assert stopped.value.code == 2
    assert "would spoil it" in capsys.readouterr().err


def test_intervals_hold_the_share() -> None:
    low, high = grounding_figures.wilson(9, 10)
    assert 0.55 < low < 0.9 < high < 1.0
    assert grounding_figures.wilson(0, 0) == (0.0, 1.0)


def test_intervals_over_wordings_are_wide_where_one_wording_says_everything() -> None:
    def judged(wording: str, verdict: str) -> grounding_figures.Judged:
        fact = Fact("posture", "sitting", "", 0, False, "attribute")
        statement = grounding_statements.Statement(0, "", "", fact, False, "attribute", "plain", "lone", wording)
        return grounding_figures.Judged(statement, verdict, ())

    two = [judged("is sitting", "contradicted")] * 50 + [judged("sits", "no claim")] * 50
    many = [judged(f"wording {i}", "contradicted" if i % 2 else "no claim") for i in range(100)]
    assert grounding_figures.over_wordings(two) == (0.0, 1.0)
    low, high = grounding_figures.over_wordings(many)
    assert 0.3 < low < 0.5 < high < 0.7
