"""One state in many constructions: whatever the order and the part of speech, the claim is the same."""

import pytest
from said import said, said_of

from kpray.quality.grounding.extract import extract

RAISED = [
    "Raised high is the left arm of the man.",
    "The man looks calm. It is the left arm that is raised.",
    "Here is the man, whose left arm is raised.",
    "The man points his left arm toward the sky.",
    "The man flings the left arm up into the air.",
    "The man thrusts his left arm skyward.",
    "The man may well have his left arm raised.",
    "I would say that the man has a raised left arm.",
    "When we look at the man, we notice that his left arm is raised.",
    "The man has his left arm up, as if nothing else mattered.",
]

BENT = [
    "There is a bend in the left elbow of the man.",
    "The left arm of the man shows a bend at the elbow.",
    "The man shows flexion at the left elbow.",
    "Bent at the elbow is the left arm of the man.",
    "The man has his left arm crooked.",
    "The man folds his left arm at the elbow.",
    "The man cocks the left elbow.",
    "The elbow of the man's left arm is bent.",
    "Notice the man, with his left elbow bent.",
    "Of the two, the man bends his left elbow.",
]

ON_HIP = [
    "On his hip rests the left hand of the man.",
    "The man plants his left hand on his hip.",
    "The man has the left hand perched on his waist.",
    "The man holds his left hand to his hip.",
]

AWAY = [
    "The back of the man faces the camera.",
    "The man has his back to us.",
    "The man is photographed from the rear.",
    "The picture shows the man from behind.",
    "Facing away from the camera is the man.",
    "The man shows us his back.",
]

CAMERA = [
    "Facing the camera is the man.",
    "The man is seen from the front.",
    "The man's chest is directed at the viewer.",
    "The man has his front to the camera.",
    "The man squares up to the camera.",
]

FORWARD = [
    "There is a forward lean in the torso of the man.",
    "The man has a forward lean.",
    "The man angles his torso forward.",
    "The man bends at the waist.",
    "The man is hunched over.",
]

CROSSED = [
    "Crossed in front of the chest are the man's arms.",
    "The man has one arm crossed over the other.",
    "The man is folding his arms.",
]

KNEELING = [
    "Kneeling in the picture is the man.",
    "Here kneels the man.",
    "The man is on one knee.",
    "The man takes a knee.",
]


@pytest.mark.parametrize("text", RAISED)
def test_a_raised_arm(text: str) -> None:
    assert {claim.lstrip("~") for claim in said(text)} == {"arm raised left"}


@pytest.mark.parametrize("text", BENT)
def test_a_bent_elbow(text: str) -> None:
    assert said(text) == {"elbow bent left"}


@pytest.mark.parametrize("text", ON_HIP)
def test_a_hand_on_the_hip(text: str) -> None:
    assert said(text) == {"hand_on_hip yes left"}


@pytest.mark.parametrize(
    ("texts", "claim"),
    [
        (AWAY, "facing away"),
        (CAMERA, "facing camera"),
        (FORWARD, "lean forward"),
        (CROSSED, "arms_crossed yes"),
        (KNEELING, "posture kneeling"),
    ],
)
def test_bodies(texts: list[str], claim: str) -> None:
    assert {text: said(text) for text in texts} == {text: {claim} for text in texts}


@pytest.mark.parametrize(
    "text",
    [
        "It is not the case that the man has his left elbow bent.",
        "It would be wrong to say that the man has his left elbow bent.",
        "Nobody could claim that the man has his left elbow bent.",
        "There is no bend in the left elbow of the man.",
        "The man's left arm has no bend at the elbow.",
    ],
)
def test_denials_of_a_whole_sentence(text: str) -> None:
    assert said(text) == {"not elbow bent left"}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("There are three.", "3"),
        ("A total of three.", "3"),
        ("I count three.", "3"),
        ("Just one.", "1"),
    ],
)
def test_a_number_answers_how_many(text: str, count: str) -> None:
    assert said("How many people are there?", text) == {f"person_count {count}"}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("A group of three appears in the picture.", "3"),
        ("The people in the image number three.", "3"),
        ("The scene is made up of three people.", "3"),
        ("There is one person in the picture, and nobody else.", "1"),
    ],
)
def test_numbers_of_people(text: str, count: str) -> None:
    assert said(text) == {f"person_count {count}"}


@pytest.mark.parametrize(
    "words",
    [
        "second skier from the left",
        "second skier, counting from the left,",
        "skier who comes second from the left",
        "skier in second place from the left",
        "skier at the second position from the left",
        "second from the left",
        "one who is second from the left",
    ],
)
def test_ranks(words: str) -> None:
    who = extract([f"The {words} is sitting."])[0].who
    assert (who.ordinal, who.ordinal_from) == (2, "image_left")


@pytest.mark.parametrize(
    "words",
    [
        "on the image's left side",
        "who appears on the left",
        "positioned on the far left",
        "that can be seen on the left",
    ],
)
def test_places(words: str) -> None:
    assert [claim.who.place for claim in extract([f"The hands of the skier {words} are clasped."])] == ["image_left"]


@pytest.mark.parametrize("words", ["between the other two", "flanked by two others", "with a person on each side"])
def test_whoever_is_between_others_is_in_the_middle(words: str) -> None:
    assert [claim.who.place for claim in extract([f"The skier {words} is sitting."])] == ["middle"]


@pytest.mark.parametrize("who", ["Neither of the two", "None of those present", "Not one of the two", "Nobody here"])
def test_nobody(who: str) -> None:
    claim = extract([f"{who} is sitting."])[0]
    assert (claim.who.quantity, claim.negated) == ("none", False)


def test_nobody_is_no_longer_lost_after_that() -> None:
    assert extract(["It is clear that nobody is sitting."])[0].who.quantity == "none"


@pytest.mark.parametrize("answer", ["With both arms raised.", "Raising both arms."])
def test_a_fragment_is_about_whom_the_question_names(answer: str) -> None:
    assert ("arm raised both") in {claim for _, claim in said_of("How does the man pose?", answer)}


@pytest.mark.parametrize(
    "text",
    ["The man is standing rather than sitting.", "Everyone else is sitting.", "To rest, the man must sit down."],
)
def test_no_sitting_is_claimed(text: str) -> None:
    assert "posture sitting" not in said(text)
