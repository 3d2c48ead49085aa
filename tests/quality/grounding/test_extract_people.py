"""Whom claims are about."""

import pytest
from said import said, said_of

from kpray.quality.grounding.claims import Claim, Mention
from kpray.quality.grounding.extract import extract


def only(*texts: str) -> Claim:
    (claim,) = extract(texts)
    return claim


def who(*texts: str) -> Mention:
    return only(*texts).who


def test_a_description_is_kept() -> None:
    mention = who("The young man in the red shirt on the left of the picture is standing.")
    assert (mention.head, mention.place, mention.quantity) == ("man", "image_left", "one")
    assert set(mention.words) == {"young", "red", "shirt"}
    assert mention.objects == ("shirt",)


@pytest.mark.parametrize(
    ("text", "ordinal", "side"),
    [
        ("The second skier from the left is kneeling.", 2, "image_left"),
        ("The person third from the right is kneeling.", 3, "image_right"),
        ("The first one is kneeling.", 1, ""),
        ("The skier that is second from the right is kneeling.", 2, "image_right"),
        ("The skier in the second position from the right is kneeling.", 2, "image_right"),
        ("The second skier starting from the left is kneeling.", 2, "image_left"),
    ],
)
def test_ordinals(text: str, ordinal: int, side: str) -> None:
    mention = who(text)
    assert (mention.ordinal, mention.ordinal_from, mention.place) == (ordinal, side, "")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("The leftmost man is kneeling.", "image_left"),
        ("The man farthest to the right is kneeling.", "image_right"),
        ("The one in the middle is kneeling.", "middle"),
        ("A boy in the background is kneeling.", "background"),
        ("The skier seen on the right is kneeling.", "image_right"),
        ("The skier closest to the right edge is kneeling.", "image_right"),
        ("The right-hand skier is kneeling.", "image_right"),
        ("The man who is on the left side of the picture is kneeling.", "image_left"),
        ("A woman kneeling on the right looks up.", "image_right"),
    ],
)
def test_places(text: str, place: str) -> None:
    assert who(text).place == place


@pytest.mark.parametrize(
    ("text", "quantity"),
    [
        ("The man is sitting.", "one"),
        ("Both men are sitting.", "all"),
        ("Everyone is sitting.", "all"),
        ("Each of the men is sitting.", "all"),
        ("The players are sitting.", "all"),
        ("One of the men is sitting.", "some"),
        ("Someone is sitting.", "some"),
        ("People are sitting.", "some"),
        ("Nobody is sitting.", "none"),
        ("None of the men is sitting.", "none"),
        ("No player is sitting.", "none"),
        ("Neither man is sitting.", "none"),
        ("Not a single man is sitting.", "none"),
        ("The two are sitting.", "all"),
    ],
)
def test_quantities(text: str, quantity: str) -> None:
    assert who(text).quantity == quantity


def test_pronouns_are_the_people_before() -> None:
    claims = extract(["A man and a woman are kneeling. He has his legs crossed and she has her arms folded."])
    entity = {claim.name: claim.entity for claim in claims[2:]}
    man, woman = claims[0], claims[1]
    assert entity == {"legs": man.entity, "arms_crossed": woman.entity}
    assert all(claim.who.certain for claim in claims)


def test_a_pronoun_that_could_be_two_people_is_marked() -> None:
    claims = extract(["A tall man looks at a boy. He is kneeling."])
    assert [claim.who.certain for claim in claims] == [False]


def test_the_subject_of_the_clause_owns_the_arm() -> None:
    claims = extract(["The man looks at the boy. The boy raises his left arm."])
    assert [(claim.who.head, claim.who.certain) for claim in claims] == [("boy", True)]


def test_a_pronoun_before_its_noun() -> None:
    assert who("With his knees bent, the skier turns.").head == "skier"


def test_a_later_definite_mention_is_the_same_person() -> None:
    claims = extract(["A woman is kneeling. The woman has her arms crossed. Another woman is sitting."])
    assert claims[0].entity == claims[1].entity != claims[2].entity


def test_clauses_have_their_own_subjects() -> None:
    text = "The two men on the left are kneeling, while the woman on the right is lying, a dog sitting beside her."
    assert {pair for pair in said_of(text) if pair[1].startswith("posture")} == {
        ("The two men on the left", "posture kneeling"),
        ("the woman on the right", "posture lying"),
    }


def test_relative_clauses() -> None:
    text = "The man looks at the woman, who is kneeling and holding a book."
    assert said_of(text) == {("the woman", "posture kneeling"), ("the woman", "object holding one: book")}


def test_the_other() -> None:
    mention = extract(["One player is kneeling and the other is standing."])[-1].who
    assert mention.other


def test_several_people_and_their_arms() -> None:
    assert said("The men raise their arms.") == {"arm raised one"}
    assert said("Both men raise both arms.") == {"arm raised both"}


def test_yes_and_no_answer_for_the_question() -> None:
    assert said("Is the man kneeling?", "Yes, he is.") == {"posture kneeling"}
    assert said("Is the man kneeling?", "No.") == {"not posture kneeling"}
    assert said("Is the man on the left holding a kite?", "No.") == {"not object holding one: kite"}
    assert said("Does she have her arms crossed?", "No, she does not.") == {"not arms_crossed yes"}


def test_the_claim_of_a_yes_is_placed_on_the_answer() -> None:
    claim = only("<image>\nIs the man kneeling?", "Yes, he is.")
    assert (claim.turn, claim.start, claim.end) == (1, 0, 3)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Are his arms raised or lowered?", "Yes."),
        ("Is he kneeling and holding a bat?", "No."),
        ("Is a man kneeling?", "No."),
        ("Where is the man kneeling?", "On the floor."),
        ("Is the man kneeling?", "It is hard to tell."),
    ],
)
def test_questions_that_claim_nothing(question: str, answer: str) -> None:
    assert said(question, answer) == set()


def test_a_number_alone_answers_how_many() -> None:
    assert said("How many people are in the picture?", "Two.") == {"person_count 2"}
    assert said("How many people are kneeling?", "Two.") == set()


def test_which_turns_are_questions_can_be_said() -> None:
    texts = ("The man is kneeling.", "The woman is sitting.")
    assert said(*texts) == {"posture sitting"}
    assert said(*texts, questions=[False, False]) == {"posture kneeling", "posture sitting"}


def test_the_question_names_whom_the_answer_is_about() -> None:
    claim = only("What is the man in the red shirt doing?", "He is kneeling.")
    assert (claim.who.head, claim.who.objects) == ("man", ("shirt",))


def test_those_are_others() -> None:
    text = "The people in the back are kneeling, and those in front are sitting."
    assert said_of(text) == {("The people", "posture kneeling")}


def test_the_younger_one_is_a_person() -> None:
    text = "The older man is sitting, whereas the younger one is kneeling."
    assert said_of(text) == {("The older man", "posture sitting"), ("the younger one", "posture kneeling")}


def test_either_in_a_question_is_at_least_one() -> None:
    assert said("Does the man have either hand above his head?", "Yes.") == {"hand_above_head yes one"}


def test_everybody_one_by_one() -> None:
    claims = extract(["Each of the men has his arms raised. Nobody has his legs crossed."])
    assert [(claim.who.quantity, claim.name) for claim in claims] == [("all", "arm"), ("none", "legs")]


def test_they_may_be_one_person() -> None:
    assert who("The person on the right is smiling. They hold their right hand above their head.").certain
    claims = extract(["Three people walk by. The person on the right is smiling. They have their arms crossed."])
    assert not claims[-1].who.certain


def test_a_question_about_somebody_described_at_length() -> None:
    claim = only("Is the skier who holds the umbrella kneeling?", "Yes, he is.")
    assert (claim.name, claim.who.head, claim.who.objects) == ("posture", "skier", ("umbrella",))


def test_the_arm_of_somebody_described_at_length() -> None:
    claims = extract(["The left arm of the skier who carries the umbrella is raised."])
    assert [(claim.name, claim.side, claim.who.objects) for claim in claims if claim.name == "arm"] == [
        ("arm", "left", ("umbrella",))
    ]


def test_what_a_claim_is_about_does_not_tell_who_it_is_about() -> None:
    holding, kneeling = extract(["There is a man holding a kite who is kneeling."])
    assert (holding.who.objects, kneeling.who.objects) == ((), ("kite",))
