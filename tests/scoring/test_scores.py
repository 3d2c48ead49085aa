from __future__ import annotations

import pytest
from judge_cases import JUDGE, answer, both_orders, question, verdict

from kpray.errors import InputError
from kpray.scoring.published import published
from kpray.scoring.statistics.grades import grades_of, one_judge
from kpray.scoring.statistics.scores import scores_of
from kpray.scoring.types import REFERENCE, JudgeFingerprint, Question, Score, Verdict

QUESTIONS = {f"q{i}": question(f"q{i}", str(i // 2), category=("detailed", "reasoning")[i % 2]) for i in range(4)}


def by_key(scores: list[Score]) -> dict[tuple[str, str], Score]:
    return {(score.model, score.category): score for score in scores}


def test_a_grade_is_the_mean_of_both_orders() -> None:
    grades = grades_of(both_orders("q0", ("a", "b"), (8, 6), (7, 9)), QUESTIONS)
    assert {grade.model: grade.score for grade in grades} == {"a": 7.5, "b": 7.5}


def test_repeats_count_within_their_order() -> None:
    verdicts = [
        *both_orders("q0", ("a", "b"), (8, 6), (4, 4)),
        verdict("q0", ("a", "b"), (6, 6), repeat=1),
    ]
    grade = next(grade for grade in grades_of(verdicts, QUESTIONS) if grade.model == "a")
    assert grade.score == 5.5  # (8 + 6) / 2 in one order, 4 in the other


def test_an_order_without_scores_leaves_the_question_unscored_and_bounded() -> None:
    verdicts = [verdict("q0", ("a", "b"), (8, 6)), verdict("q0", ("b", "a"), None, swapped=True)]
    grade = next(grade for grade in grades_of(verdicts, QUESTIONS) if grade.model == "a")
    assert grade.score is None
    assert (grade.worst, grade.best) == (4.5, 9.0)
    assert grade.unscored == {"no_scores": 1}


def test_an_order_that_was_not_judged_here_is_unscored_too() -> None:
    verdicts = [*both_orders("q0", ("a", "b"), (8, 6), (8, 6)), verdict("q1", ("a", "b"), (5, 5))]
    grade = next(grade for grade in grades_of(verdicts, QUESTIONS) if grade[:1] == ("q1",))
    assert (grade.score, grade.unscored) == (None, {"not_judged": 1})


def test_ten_times_the_mean_relative_to_the_reference() -> None:
    verdicts = []
    for i, (reference, model) in enumerate([(8, 6), (10, 7), (8, 8), (10, 9)]):
        verdicts += both_orders(f"q{i}", (REFERENCE, "a"), (reference, model), (reference, model))
    scores = by_key(scores_of(grades_of(verdicts, QUESTIONS)))
    assert scores["a", ""].mean is not None
    assert scores["a", ""].mean.value == 75
    assert scores["a", ""].relative is not None
    assert scores["a", ""].relative.value == pytest.approx(100 * 7.5 / 9)  # LLaVA: of the means
    assert scores["a", "detailed"].mean is not None
    assert scores["a", "detailed"].mean.value == 70
    assert (scores["a", ""].questions, scores["a", ""].images, scores["a", ""].verdicts) == (4, 2, 8)


def test_unscored_verdicts_are_counted_beside_the_mean_and_bound_it() -> None:
    verdicts = [
        verdict("q0", ("a",), (8,)),
        verdict("q1", ("a",), (6,)),
        verdict("q2", ("a",), None, unscored="refusal"),
    ]
    score = by_key(scores_of(grades_of(verdicts, QUESTIONS)))["a", ""]
    assert score.mean is not None
    assert score.mean.value == 70  # not (8 + 6 - 1) / 3
    assert score.unscored == {"refusal": 1}
    assert (score.worst, score.best) == (50, 80)
    assert score.relative is None


def test_nothing_scored_has_no_mean() -> None:
    score = scores_of(grades_of([verdict("q0", ("a",), None)], QUESTIONS))[0]
    assert (score.mean, score.worst, score.best, score.questions) == (None, 10, 100, 0)


def test_the_length_of_answers_stands_beside_the_score() -> None:
    verdicts = [verdict("q0", ("a",), (8,)), verdict("q1", ("a",), (6,))]
    answers = [answer("a", "one two three", "q0"), answer("a", "one", "q1"), answer("b", "x " * 50, "q0")]
    assert by_key(scores_of(grades_of(verdicts, QUESTIONS), answers))["a", ""].words == 2


def test_opponents_are_pooled_or_kept_apart() -> None:
    verdicts = both_orders("q0", ("base", "x"), (4, 8), (4, 8)) + both_orders("q0", ("base", "y"), (6, 8), (6, 8))
    grades = grades_of(verdicts, QUESTIONS)
    pooled = by_key(scores_of(grades))["base", ""]
    apart = {score.opponent: score for score in scores_of(grades, by_opponent=True) if score.model == "base"}
    assert pooled.mean is not None
    assert pooled.mean.value == 50
    assert {name: score.mean.value for name, score in apart.items() if score.mean} == {"x": 40, "y": 60}


def test_the_papers_baseline_row_comes_out_of_verdicts() -> None:
    """Table 4's LLaVA-1.5-7B: four pairings, 30 images, one order; 120 ratings per category that sum up as given."""
    row = next(row for row in published().rows if row.pairings == 4)
    questions: dict[str, Question] = {}
    verdicts: list[Verdict] = []
    for category, total in zip(("conversation", "detailed", "reasoning"), row.sums, strict=True):
        low, extra = divmod(total, 120)
        for i in range(120):
            image, opponent = i // 4, f"tuned-{i % 4}"
            name = f"{category}-{image}"
            questions[name] = question(name, str(image), category=category)
            verdicts.append(verdict(name, (opponent, "base"), (5, low + (i < extra))))
    scores = by_key(scores_of(grades_of(verdicts, questions), resamples=99))
    cells = [scores["base", category].mean for category in ("conversation", "detailed", "reasoning", "")]
    assert tuple(f"{cell.value:.2f}" for cell in cells if cell) == row.printed


def test_scores_of_two_judges_are_refused_unless_forced() -> None:
    other = JudgeFingerprint("model", "judge-2", JUDGE.prompt, JUDGE.sampling)
    verdicts = [verdict("q0", ("a",), (8,)), verdict("q1", ("a",), (8,), judge=other)]
    with pytest.raises(InputError, match=r"judge-1.*judge-2"):
        one_judge(verdicts)
    assert one_judge(verdicts, force=True) == (JUDGE, other)
    assert one_judge(verdicts[:1]) == (JUDGE,)


def test_what_cannot_be_joined_is_refused() -> None:
    good = verdict("q0", ("a",), (8,))
    with pytest.raises(InputError, match="found one on q9"):
        grades_of([verdict("q9", ("a",), (8,))], QUESTIONS)
    with pytest.raises(InputError, match="there twice"):
        grades_of([good, good], QUESTIONS)
    with pytest.raises(InputError, match="one mode"):
        grades_of(
            [verdict("q0", ("a",), (8,), mode="single"), *both_orders("q1", ("a", "b"), (1, 2), (1, 2))], QUESTIONS
        )
