"""Verdicts become grades: one score for each question, model and opponent, over both orders and all repeats."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from kpray.errors import InputError
from kpray.scoring.types import HIGHEST, LOWEST, JudgeFingerprint, Question, Verdict


class Grade(NamedTuple):
    """What one answer got.

    Attributes:
        question_id: Of the question.
        image: Scene id of the question; what is resampled.
        category: Of the question.
        model: Whose answer.
        opponent: Whose answer was shown beside it; empty for none.
        score: 1 to 10: mean over orders of the means over repeats. None unless every order has a score.
        worst: The same, with a 1 in place of every verdict without scores.
        best: Likewise with a 10.
        verdicts: Asked for.
        unscored: Verdicts without scores, by reason.
    """

    question_id: str
    image: str
    category: str
    model: str
    opponent: str
    score: float | None
    worst: float
    best: float
    verdicts: int
    unscored: Mapping[str, int]


class _Asked(NamedTuple):
    question_id: str
    model: str
    opponent: str


_Given = dict[bool, list[tuple[float | None, str]]]
"""By ``swapped``: each verdict's score of the answer, and why it has none."""


def one_judge(verdicts: Iterable[Verdict], *, force: bool = False) -> tuple[JudgeFingerprint, ...]:
    """The judge of all verdicts; several only by force, as their scores do not compare.

    Raises:
        InputError: There are several, and `force` is not given.
    """
    found = sorted({verdict.judge for verdict in verdicts}, key=lambda judge: (str(judge), judge.digest))
    if len(found) > 1 and not force:
        named = "; ".join(f"{judge} {judge.digest}" for judge in found)
        raise InputError(
            f"expected verdicts of one judge, found {len(found)}: {named}. Their scores do not compare: judge "
            "everything by the same model, prompt and sampling, or force it to see them side by side."
        )
    return tuple(found)


def grades_of(verdicts: Sequence[Verdict], questions: Mapping[str, Question]) -> list[Grade]:
    """Grade every answer that was judged.

    A verdict on two answers gives two grades, one for each. Grades come in the order of the verdicts.

    Args:
        verdicts: Of one judge (see `one_judge`) and one mode.
        questions: By question id.

    Raises:
        InputError: A verdict is on an unknown question, is there twice, or the modes differ.
    """
    _check(verdicts, questions)
    given: dict[_Asked, _Given] = defaultdict(lambda: defaultdict(list))
    orders: dict[frozenset[str], set[bool]] = defaultdict(set)
    for verdict in verdicts:
        orders[frozenset(verdict.models)].add(verdict.swapped)
        for i, model in enumerate(verdict.models):
            opponent = next(iter(verdict.models[:i] + verdict.models[i + 1 :]), "")
            score = None if verdict.scores is None else verdict.scores[i]
            asked = _Asked(verdict.question_id, model, opponent)
            given[asked][verdict.swapped].append((score, verdict.unscored or ""))
    return [
        _grade(asked, by_order, orders[frozenset(filter(None, asked[1:]))], questions[asked.question_id])
        for asked, by_order in given.items()
    ]


def _grade(asked: _Asked, by_order: _Given, orders: set[bool], question: Question) -> Grade:
    """Grade one answer; an order that this pair of models was shown in elsewhere, and not here, counts as unscored."""
    shown = [by_order.get(order) or [(None, "not_judged")] for order in sorted(orders)]
    scored = [[score for score, _ in one if score is not None] for one in shown]
    filled = [
        fmean(fmean(end if score is None else score for score, _ in one) for one in shown) for end in (LOWEST, HIGHEST)
    ]
    return Grade(
        question_id=asked.question_id,
        image=question.scene_id,
        category=question.category,
        model=asked.model,
        opponent=asked.opponent,
        score=fmean(map(fmean, scored)) if all(scored) else None,
        worst=filled[0],
        best=filled[1],
        verdicts=sum(map(len, shown)),
        unscored=Counter(reason for one in shown for score, reason in one if score is None),
    )


def _check(verdicts: Sequence[Verdict], questions: Mapping[str, Question]) -> None:
    modes = {verdict.mode for verdict in verdicts}
    if len(modes) > 1:
        raise InputError(
            f"expected verdicts of one mode, found {', '.join(sorted(modes))}. Score each mode for itself."
        )
    seen: set[tuple[str, tuple[str, ...], int, JudgeFingerprint]] = set()
    for verdict in verdicts:
        if verdict.question_id not in questions:
            raise InputError(
                f"expected verdicts on the benchmark's {len(questions)} questions, found one on {verdict.question_id}. "
                "Give the questions that were judged."
            )
        key = (verdict.question_id, verdict.models, verdict.repeat, verdict.judge)
        if key in seen:
            raise InputError(
                f"the verdict on question {verdict.question_id}, {' and '.join(verdict.models)}, repeat "
                f"{verdict.repeat} is there twice. Give every verdict once."
            )
        seen.add(key)
