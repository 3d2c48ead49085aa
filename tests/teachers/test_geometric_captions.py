from __future__ import annotations

import pytest

from kpray.teachers.geometric.captions import lone_noun, lone_role, read_caption, tells_more, usable


@pytest.mark.parametrize(
    ("caption", "text", "clause", "activity"),
    [
        ("A man riding a wave", "a man riding a wave", False, "riding a wave"),
        ("A man is riding a wave .", "a man is riding a wave", True, "riding a wave"),
        ("A man rides  a wave.", "a man rides a wave", True, "riding a wave"),
        ("There is a woman standing on a hill.", "a woman standing on a hill", False, "standing on a hill"),
        ("a man in a hat is reading a book", "a man in a hat is reading a book", True, ""),
        ("A tennis player swinging a racket", "a tennis player swinging a racket", False, "swinging a racket"),
        ("A child holding a umbrella", "a child holding an umbrella", False, "holding an umbrella"),
        ("A man wearing a hat is reading a book", "a man wearing a hat is reading a book", True, ""),
        ("A dog catching a disc in a field", "a dog catching a disc in a field", False, ""),
        ("A person on skis doing a trick", "a person on skis doing a trick", False, ""),
        ("A man flying while riding skis", "a man flying while riding skis", False, "flying"),
        ("A MAN IS HOLDING A BAT", "a man is holding a bat", True, "holding a bat"),
        ("A man holding holding a cup", "a man holding a cup", False, "holding a cup"),
    ],
)
def test_common_shapes_are_read(caption: str, text: str, clause: bool, activity: str) -> None:
    found = read_caption(caption)
    assert found is not None
    assert (found.text, found.clause, found.activity) == (text, clause, activity)


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "A man",
        "A blue bus drives by",
        "Man on horse!!",
        "A man holding his left arm up",
        "A photo of a man and a dog",
        "a man is herding goats is the desert",
        "A man at 10:30 in the street",
        "people in a park play with a ball",
        "A woman shows off her new bicycle",
    ],
)
def test_what_is_not_plain_is_not_used(caption: str) -> None:
    assert read_caption(caption) is None


def test_the_tail_of_an_activity_is_left_out() -> None:
    found = read_caption("A boy riding a skateboard while his friend looks on")
    assert found is not None
    assert found.activity == "riding a skateboard"


def test_captions_with_another_number_of_people_are_left_out() -> None:
    captions = ("Two people playing frisbee in a park", "Three people playing frisbee outside")
    assert [c.count for c in usable(captions, count=3, posture="")] == [3]
    assert usable(captions, count=1, posture="") == []


def test_captions_that_contradict_the_posture_are_left_out() -> None:
    captions = ("A man sitting on a bench", "A man standing on a bench")
    assert [c.activity for c in usable(captions, count=1, posture="standing")] == ["standing on a bench"]


def test_the_caption_that_others_agree_with_comes_first() -> None:
    captions = ("A boy eating green salad", "A man riding a big wave", "A surfer riding a big wave in the ocean")
    assert usable(captions, count=1, posture="")[0].activity.startswith("riding a big wave")


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        (("A man on a horse", "The man rides"), ("man", "he")),
        (("A lady on a horse", "A woman rides"), ("woman", "she")),
        (("A man on a horse", "A woman rides"), ("person", "they")),
        (("A man on a horse",), ("person", "they")),
        (("A man here", "A boy here"), ("person", "he")),
        (("A man here", "A man there", "men everywhere"), ("person", "they")),
        ((), ("person", "they")),
    ],
)
def test_a_lone_person_is_called_by_what_captions_agree_on(
    captions: tuple[str, ...], expected: tuple[str, str]
) -> None:
    assert lone_noun(captions) == expected


def test_a_role_needs_two_captions() -> None:
    assert lone_role(("A surfer on a wave", "The surfer falls")) == "surfer"
    assert lone_role(("A surfer on a wave", "A man falls")) == ""


def test_a_repeated_caption_tells_no_more() -> None:
    found = read_caption("A man riding a wave")
    assert found is not None
    assert not tells_more(found, "Here, a man is riding a wave.")
    assert tells_more(found, "Here, somebody sits.")
