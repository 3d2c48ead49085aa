from __future__ import annotations

import pytest

from kpray.quality.leaks import find_leak


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("According to the keypoints, the left arm is raised.", "mentions_keypoints"),
        ("The key-points of the man lie close together.", "mentions_keypoints"),
        ("Her bounding box is the largest.", "mentions_boxes"),
        ("The coordinates suggest that he leans.", "mentions_coordinates"),
        ("The wrist is at (0.512, 0.334).", "mentions_coordinates"),
        ("The annotation says that there is a ball.", "mentions_annotations"),
    ],
)
def test_what_gives_the_source_away_is_named(text: str, name: str) -> None:
    assert find_leak(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "The key point of the exercise is balance.",
        "Two boxers face each other in a boxing ring.",
        "He coordinates the team from the side of the field.",
        "Number 23 jumps for the ball; the score is 3.5.",
    ],
)
def test_ordinary_sentences_are_no_leaks(text: str) -> None:
    assert find_leak(text) is None
