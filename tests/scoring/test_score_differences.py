from __future__ import annotations

import numpy as np
import pytest
from judge_cases import both_orders, question, verdict

from kpray.scoring.statistics.differences import detectable_difference, differences_of, holm
from kpray.scoring.statistics.grades import grades_of
from kpray.scoring.statistics.order import order_effect, outcomes_of, spread_of
from kpray.scoring.types import REFERENCE, Verdict

QUESTIONS = {f"q{i}": question(f"q{i}", str(i // 3)) for i in range(90)}


def against_the_reference(model: str, scores: np.ndarray) -> list[Verdict]:
    return [
        one
        for i, s in enumerate(scores)
        for one in both_orders(f"q{i}", (REFERENCE, model), (9, float(s)), (9, float(s)))
    ]


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, never falling.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_detectable_difference_by_hand() -> None:
    # t of 29 degrees of freedom: 2.04523 at 0.975, 0.85395 at 0.8 (tables).
    assert detectable_difference(2.0, 30) == pytest.approx(2 * (2.04523 + 0.85420), abs=1e-3)


def test_models_compare_through_the_reference_on_the_same_questions() -> None:
    random = np.random.default_rng(0)
    base = random.integers(3, 7, 90)
    verdicts = against_the_reference("base", base) + against_the_reference("tuned", base + random.integers(0, 4, 90))
    (found,) = differences_of(grades_of(verdicts, QUESTIONS))
    assert (found.first, found.second, found.through) == ("base", "tuned", (REFERENCE,))
    assert found.points.high is not None
    assert found.points.value < found.points.high < 0
    assert found.p is not None
    assert found.p < 0.001
    assert found.p_holm == found.p
    assert (found.questions, found.images) == (90, 30)
    assert found.detectable is not None
    assert 0 < found.detectable < 5


def test_pairing_makes_a_difference_surer_than_the_scores_are() -> None:
    random = np.random.default_rng(1)
    base = np.repeat(random.integers(2, 9, 30), 3)
    verdicts = against_the_reference("base", base) + against_the_reference("tuned", base + random.integers(0, 2, 90))
    found = differences_of(grades_of(verdicts, QUESTIONS))[0].points
    assert found.high is not None
    assert found.low is not None
    assert found.high - found.low < 3


def test_models_shown_side_by_side_compare_directly() -> None:
    verdicts = [v for i in range(90) for v in both_orders(f"q{i}", ("a", "b"), (7 + i % 2, 6), (7, 6))]
    (found,) = differences_of(grades_of(verdicts, QUESTIONS))
    assert found.through == ()
    assert found.points.value == pytest.approx(12.5)


def test_models_with_different_opponents_do_not_compare() -> None:
    verdicts = both_orders("q0", ("a", "x"), (7, 6), (7, 6)) + both_orders("q0", ("b", "y"), (7, 6), (7, 6))
    pairs = {(found.first, found.second) for found in differences_of(grades_of(verdicts, QUESTIONS))}
    assert pairs == {("a", "x"), ("b", "y")}


def test_only_questions_with_both_scores_count() -> None:
    verdicts = [verdict(f"q{i}", (model,), (5 + i % 3,), mode="single") for i in range(6) for model in "ab"]
    verdicts[3] = verdict("q1", ("b",), None, mode="single")
    (found,) = differences_of(grades_of(verdicts, QUESTIONS))
    assert (found.questions, found.images) == (5, 2)
    assert found.points.value == 0


def test_several_differences_are_corrected_together_and_by_category() -> None:
    random = np.random.default_rng(2)
    questions = {f"q{i}": question(f"q{i}", str(i // 3), category="abc"[i % 3]) for i in range(90)}
    verdicts = []
    for shift, model in enumerate(("m0", "m1", "m2")):
        verdicts += [
            verdict(f"q{i}", (model,), (float(random.integers(3, 8) + shift),), mode="single") for i in range(90)
        ]
    grades = grades_of(verdicts, questions)
    found = differences_of(grades, resamples=999)
    assert [(one.first, one.second) for one in found] == [("m0", "m1"), ("m0", "m2"), ("m1", "m2")]
    assert [one.p_holm for one in found] == holm([one.p for one in found if one.p is not None])
    assert all(one.questions == 30 for one in differences_of(grades, category="a", resamples=99))


def test_wins_ties_losses_and_splits() -> None:
    verdicts = [
        *both_orders("q0", ("a", "b"), (8, 6), (7, 7)),  # won once, lost never
        *both_orders("q1", ("a", "b"), (8, 6), (6, 8)),  # the order decides
        *both_orders("q2", ("a", "b"), (5, 5), (6, 6)),
        *both_orders("q3", ("a", "b"), (5, 9), (5, 6)),
        verdict("q4", ("a", "b"), (9, 1)),
        verdict("q4", ("b", "a"), None, swapped=True),
    ]
    overall = next(one for one in outcomes_of(verdicts, QUESTIONS) if one.category == "")
    assert (overall.model, overall.opponent) == ("a", "b")
    assert (overall.wins, overall.ties, overall.losses, overall.split, overall.unscored) == (1, 1, 1, 1, 1)


def test_a_judge_that_favours_the_first_is_found_out() -> None:
    # Both orders: whoever is first gets two more.
    verdicts = [v for i in range(30) for v in both_orders(f"q{i}", ("a", "b"), (8 + i % 2, 6), (6 + i % 2, 8))]
    effect = order_effect(verdicts, QUESTIONS)
    assert effect is not None
    assert effect.first_bonus.value == pytest.approx(20)
    assert effect.moved == pytest.approx(20)
    assert effect.flipped == 1.0
    assert effect.questions == 30


def test_a_judge_that_ignores_the_order_has_no_effect() -> None:
    verdicts = [v for i in range(30) for v in both_orders(f"q{i}", ("a", "b"), (8, 6), (8, 6))]
    effect = order_effect(verdicts, QUESTIONS)
    assert effect is not None
    assert (effect.first_bonus.value, effect.moved, effect.flipped) == (0, 0, 0)
    assert order_effect([verdict("q0", ("a",), (8,), mode="single")], QUESTIONS) is None


def test_the_spread_over_repeats() -> None:
    given = {"q0": (6, 8), "q1": (5, 5)}
    verdicts = [
        verdict(q, ("a",), (s,), mode="single", repeat=k) for q, two in given.items() for k, s in enumerate(two)
    ]
    (spread,) = spread_of(verdicts)
    assert (spread.model, spread.repeats) == ("a", 2)
    assert spread.within == pytest.approx(10 * 1.0)  # variances 2 and 0, mean 1
    assert spread.overall == pytest.approx(10 * 0.5**0.5)  # means 5.5 and 6.5
    assert spread_of(verdicts[::2]) == []
