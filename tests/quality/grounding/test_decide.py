"""From claims to verdicts: one person."""

from __future__ import annotations

from typing import Any

import pytest
from hand_made import EVERYBODY, HE, ON_THE_LEFT, ON_THE_RIGHT, THE_PERSON, claim, code, people_at

from kpray.pose import PoseCode
from kpray.quality.grounding.claims import CLAIMS, Claim, Mention
from kpray.quality.grounding.decide import decide
from kpray.quality.grounding.table import LIMB_CLAIMS, TABLE, parse_condition
from kpray.schemas import GroundedClaim, Scene

ONE = people_at(0.5)
TWO = people_at(0.2, 0.8)
BY_RELATION = {"person_count", "position", "object"}


def grounded(made: Claim, *codes: PoseCode, scene: Scene = ONE) -> GroundedClaim:
    (found,) = decide([made], scene, codes)
    return found


def verdict(made: Claim, *codes: PoseCode, scene: Scene = ONE) -> str:
    return grounded(made, *codes, scene=scene).verdict


def test_every_claim_of_the_vocabulary_has_a_row():
    expected = {(name, value) for name, values in CLAIMS.items() if name not in BY_RELATION for value in values}
    assert set(TABLE) == expected
    assert {name for name, _ in TABLE} >= LIMB_CLAIMS


@pytest.mark.parametrize("text", ["elbow", "elbow=round", "elbows=bent", "elbow=bent@x"])
def test_a_condition_that_no_code_can_meet_is_refused(text):
    with pytest.raises(ValueError, match=r"expected|no pose code"):
        parse_condition(text)


def test_what_decided_is_told():
    found = grounded(
        claim("elbow", "straight", side="left"), code("elbow", "bent", side="left", measure=90.0, keypoints=(5, 7, 9))
    )
    assert (found.verdict, found.code, found.keypoints) == ("contradicted", "left elbow=bent", (5, 7, 9))
    assert (found.person, found.people, found.margin) == (0, (0,), 5.0)


def test_what_is_not_decided_tells_nothing():
    found = grounded(claim("elbow", "straight", side="left"))
    assert (found.verdict, found.code, found.keypoints, found.margin) == ("unverifiable", "", (), None)
    assert (found.person, found.people) == (None, (0,))


LEFT_DOWN = (code("arm", "down", side="left"), code("forearm", "pointing_down", side="left"))
RIGHT_DOWN = (code("arm", "down", side="right"), code("forearm", "pointing_down", side="right"))
RIGHT_UP = (code("arm", "raised", side="right"),)


@pytest.mark.parametrize(
    ("side", "codes", "expected"),
    [
        ("left", LEFT_DOWN + RIGHT_UP, "contradicted"),
        ("right", LEFT_DOWN + RIGHT_UP, "supported"),
        ("one", LEFT_DOWN + RIGHT_UP, "supported"),
        ("both", LEFT_DOWN + RIGHT_UP, "contradicted"),
        ("one", LEFT_DOWN + RIGHT_DOWN, "contradicted"),
        ("one", LEFT_DOWN, "unverifiable"),
        ("both", RIGHT_UP, "unverifiable"),
    ],
)
def test_sides(side, codes, expected):
    assert verdict(claim("arm", "raised", side=side), *codes) == expected


@pytest.mark.parametrize(
    ("side", "codes", "expected"),
    [
        ("right", RIGHT_UP, "contradicted"),
        ("left", LEFT_DOWN, "supported"),
        ("both", LEFT_DOWN + RIGHT_UP, "unverifiable"),  # "not both" or "neither"
        ("both", LEFT_DOWN + RIGHT_DOWN, "supported"),
        ("one", LEFT_DOWN + RIGHT_UP, "contradicted"),
    ],
)
def test_negation_turns_the_verdict_round(side, codes, expected):
    assert verdict(claim("arm", "raised", side=side, negated=True), *codes) == expected


def test_what_holds_loosely_does_not_contradict_a_denial():
    slightly, clearly = (code("elbow", value, side="left") for value in ("slightly_bent", "bent"))
    denial = claim("elbow", "bent", side="left", negated=True)
    assert verdict(claim("elbow", "bent", side="left"), slightly) == "supported"
    assert verdict(denial, slightly) == "unverifiable"
    assert verdict(denial, clearly) == "contradicted"


WRIST_AT_CHEST = code("wrist_height", "between_shoulder_and_hip", side="left", measure=0.7)


@pytest.mark.parametrize(
    ("made", "codes"),
    [
        (claim("arm", "raised", side="left"), (code("arm", "slightly_out", side="left"),)),
        (
            claim("arm", "raised", side="left"),  # a hand that waves beside an upper arm that hangs
            (code("arm", "down", side="left"), code("forearm", "pointing_up", side="left"), WRIST_AT_CHEST),
        ),
        (claim("elbow", "bent", side="left"), (code("elbow", "slightly_bent", side="left"),)),
        (claim("elbow", "straight", side="left"), (code("elbow", "bent", side="left", measure=130.0),)),
        (claim("elbow", "straight", side="left"), (code("elbow", "slightly_bent", side="left"),)),
        (claim("hand_above_head", side="left"), (code("wrist_height", "above_shoulder", side="left", measure=1.8),)),
        (claim("posture", "sitting"), (code("posture", "standing"), code("object", "on", object=0))),
        (claim("posture", "standing"), (code("posture", "crouching"),)),
        (claim("legs", "apart"), (code("feet", "together"), code("knees", "apart"))),
        (claim("facing", "camera"), (code("facing", "image_left", margin=1.2),)),
        (claim("lean", "forward"), (code("torso", "vertical", measure=10.0),)),
        (claim("lean", "upright"), (code("torso", "tilted", measure=29.0),)),
    ],
)
def test_loose_words_are_not_accused(made, codes):
    assert verdict(made, *codes) != "contradicted"


@pytest.mark.parametrize(
    ("made", "codes"),
    [
        (claim("arm", "raised", side="left"), (code("wrist_height", "below_hip", side="left"),)),
        (claim("arm", "lowered", side="left"), (code("wrist_height", "above_head", side="left"),)),
        (claim("arm", "out_to_side", side="left"), (code("arm", "down", side="left"),)),
        (claim("elbow", "bent", side="left"), (code("elbow", "straight", side="left"),)),
        (claim("elbow", "straight", side="left"), (code("elbow", "sharply_bent", side="left"),)),
        (claim("hand_on_hip", side="left"), (code("wrist_height", "above_head", side="left"),)),
        (claim("hand_above_head", side="left"), (code("wrist_height", "between_shoulder_and_hip", side="left"),)),
        (claim("hand_near_face", side="left"), (code("wrist_height", "below_hip", side="left"),)),
        (claim("knee", "bent", side="right"), (code("knee", "straight", side="right"),)),
        (claim("hands", "together"), (code("hands", "apart"),)),
        (claim("arms_crossed"), (code("wrist_height", "below_hip", side="right"),)),
        (claim("legs", "apart"), (code("feet", "together"),)),
        (claim("legs", "together"), (code("feet", "wide"),)),
        (claim("legs", "crossed"), (code("feet", "wide"),)),
        (claim("posture", "standing"), (code("posture", "sitting"),)),
        (claim("posture", "sitting"), (code("posture", "standing"),)),
        (claim("posture", "lying"), (code("posture", "standing"),)),
        (claim("lean", "forward"), (code("lean_direction", "backward"),)),
        (claim("lean", "image_left"), (code("lean", "image_right"),)),
        (claim("lean", "upright"), (code("torso", "horizontal"),)),
        (claim("facing", "camera"), (code("facing", "away"),)),
        (claim("facing", "image_left"), (code("facing", "image_right"),)),
    ],
)
def test_clear_errors_are_contradicted(made, codes):
    assert verdict(made, *codes) == "contradicted"


SITS = [code("posture", "sitting", 0), code("posture", "sitting", 1)]
ONE_SITS = [code("posture", "sitting", 0), code("posture", "standing", 1)]


@pytest.mark.parametrize(
    ("who", "codes", "expected"),
    [
        (THE_PERSON, ONE_SITS, "supported"),  # the other one may be meant
        (THE_PERSON, SITS, "contradicted"),
        (THE_PERSON, SITS[:1], "unverifiable"),
        (ON_THE_LEFT, ONE_SITS, "contradicted"),
        (ON_THE_RIGHT, ONE_SITS, "supported"),
        (Mention("both men", quantity="all", head="man"), ONE_SITS, "contradicted"),
        (Mention("the men", quantity="all", head="man"), ONE_SITS, "contradicted"),  # a plural, so both
        (Mention("they", quantity="all", certain=False), ONE_SITS, "unverifiable"),
        (Mention("they", quantity="all", certain=False), SITS, "contradicted"),
        (Mention("one of them", quantity="some"), ONE_SITS, "supported"),
        (Mention("two of them", quantity="some", count=2), ONE_SITS, "unverifiable"),
        (Mention("two of them", quantity="some", count=2), SITS, "contradicted"),
        (Mention("someone", quantity="some"), SITS, "contradicted"),
        (Mention("nobody", quantity="none", head="nobody"), SITS, "supported"),
        (Mention("no player", quantity="none", head="player"), ONE_SITS, "unverifiable"),
        (Mention("nobody", quantity="none", head="nobody"), ONE_SITS, "contradicted"),
    ],
)
def test_whom_a_claim_is_about(who, codes, expected):
    assert verdict(claim("posture", "standing", who), *codes, scene=TWO) == expected


def test_some_of_those_whom_a_plural_names_may_do_otherwise():
    three, sits = people_at(0.1, 0.5, 0.9), [code("posture", "sitting", person) for person in range(3)]
    players = claim("posture", "standing", Mention("the players", quantity="all", head="player"))
    assert verdict(players, *sits[:2], scene=three) == "unverifiable"
    assert verdict(players, *sits, scene=three) == "contradicted"


def test_denying_it_of_all_is_contradicted_only_if_all_do_it():
    they = Mention("both", quantity="all", count=2)
    made = claim("posture", "sitting", they, negated=True)
    assert verdict(made, *ONE_SITS, scene=TWO) == "unverifiable"
    assert verdict(made, *SITS, scene=TWO) == "contradicted"


def test_nothing_is_contradicted_where_somebody_may_be_missing():
    crowd = people_at(0.5, flags=("crowd",))
    assert verdict(claim("posture", "standing"), SITS[0], scene=crowd) == "unverifiable"
    assert verdict(claim("posture", "sitting"), SITS[0], scene=crowd) == "supported"


def test_what_one_mention_tells_holds_for_a_later_pronoun():
    claims = [
        claim("posture", "standing", ON_THE_LEFT, entity=3),
        claim("posture", "standing", HE, entity=3),
        claim("posture", "standing", Mention("he", certain=False), entity=3),
    ]
    assert [c.verdict for c in decide(claims, TWO, ONE_SITS)] == ["contradicted", "contradicted", "supported"]


def test_the_other_person_is_not_the_one_before():
    claims = [
        claim("posture", "sitting", ON_THE_LEFT, entity=1),
        claim("posture", "sitting", Mention("the other man", head="man", other=True), entity=2),
    ]
    first, second = decide(claims, TWO, ONE_SITS)
    assert (first.people, second.people) == ((0,), (1,))
    assert (first.verdict, second.verdict) == ("supported", "contradicted")


def test_mentions_of_one_entity_that_fit_nobody_together_accuse_nobody():
    claims = [claim("posture", "standing", who, entity=1) for who in (ON_THE_LEFT, ON_THE_RIGHT)]
    assert {c.verdict for c in decide(claims, TWO, SITS)} == {"unverifiable"}


def counted(number: int, *, scene: Scene, who: Mention = EVERYBODY, **changes: Any) -> str:
    return verdict(claim("person_count", str(number), who, **changes), scene=scene)


def test_counts_of_everybody():
    scene = people_at(0.1, 0.5, 0.9, captions=("People talk.",))
    assert counted(3, scene=scene) == "supported"
    assert counted(4, scene=scene) == "contradicted"
    assert counted(2, scene=scene) == "contradicted"
    assert counted(2, scene=scene, at_least=True) == "supported"


def test_counts_of_some_may_be_smaller():
    scene = people_at(0.1, 0.5, 0.9)
    assert counted(2, scene=scene, who=Mention("two men", quantity="all", count=2, head="man")) == "unverifiable"
    red = Mention("two people in red", quantity="all", count=2, head="person", words=("red",))
    assert counted(2, scene=scene, who=red) == "unverifiable"


def test_counts_that_a_caption_shares_are_not_contradicted():
    assert counted(3, scene=people_at(0.2, 0.8, captions=("Three people talk.",))) == "unverifiable"
    scene = people_at(0.1, 0.5, 0.9, captions=("Two people play frisbee.",))
    assert counted(2, scene=scene) == "unverifiable"


def test_counts_are_open_where_people_were_left_out():
    assert counted(3, scene=people_at(0.2, 0.8, flags=("crowd",), captions=("A game.",))) == "unverifiable"
    assert counted(20, scene=people_at(*(i / 10 for i in range(10)), captions=("A game.",))) == "unverifiable"
    assert counted(3, scene=people_at(0.2, 0.8)) == "unverifiable"  # no caption was read: one more may be there
    assert counted(4, scene=people_at(0.2, 0.8)) == "contradicted"
