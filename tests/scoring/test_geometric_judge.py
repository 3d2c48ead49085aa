from __future__ import annotations

import pytest
from judge_cases import REFERENCE_TEXT, answer, question
from scenes import scene

from kpray.scoring.items import judge_items
from kpray.scoring.judging.geometric import GEOMETRIC_JUDGE, judge_geometrically
from kpray.scoring.types import JudgeItem

RIGHT = "The man stands on the field with his arms hanging down, next to a ball."
WRONG = "The man sits on the field with both arms raised above his head, next to a ball."


def score(text: str) -> float:
    verdict = judge_geometrically(JudgeItem(question(), scene(), (answer(text=text),), "single"))
    assert verdict.scores is not None
    return verdict.scores[0]


def test_a_right_answer_beats_one_that_the_keypoints_contradict() -> None:
    assert score(RIGHT) >= score(WRONG) + 2


def test_the_reference_itself_is_rated_high() -> None:
    assert score(REFERENCE_TEXT) >= 8.5


@pytest.mark.parametrize("worse", ["Bananas grow on tall trees in Brazil.", "Arms.", RIGHT + " So it is." * 60])
def test_what_is_off_the_point_too_short_or_too_long_is_rated_lower(worse: str) -> None:
    assert score(worse) < score(RIGHT)


def test_an_empty_answer_gets_one() -> None:
    assert score("") == score("  \n") == 1


def test_repeating_the_right_words_gains_nothing() -> None:
    assert score(RIGHT * 20) <= score(RIGHT)


def test_the_order_does_not_matter() -> None:
    pair = (answer("a", RIGHT), answer("b", WRONG))
    straight, swapped = map(judge_geometrically, judge_items(question(), scene(), pair, mode="pairwise"))
    assert straight.scores is not None
    assert swapped.scores == straight.scores[::-1]
    assert (straight.models, swapped.models) == (("a", "b"), ("b", "a"))


def test_it_says_who_it_is_and_why() -> None:
    verdict = judge_geometrically(JudgeItem(question(), scene(), (answer(text=WRONG),), "single"))
    assert verdict.judge == GEOMETRIC_JUDGE
    assert "geometric" in str(verdict.judge)
    assert "contradict 2" in verdict.explanation or "contradict 3" in verdict.explanation


def test_it_does_without_a_reference_and_without_people() -> None:
    asked = question(reference="")
    item = JudgeItem(asked, scene(people=(), objects=()), (answer(text="A man stands on a field."),), "single")
    verdict = judge_geometrically(item)
    assert verdict.scores is not None
    assert 1 <= verdict.scores[0] <= 10
