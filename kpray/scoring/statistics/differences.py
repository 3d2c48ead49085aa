"""Paired differences between models, with Holm's correction, and the smallest difference a benchmark can find."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

import msgspec
from scipy import special

from kpray.scoring.statistics.grades import Grade
from kpray.scoring.statistics.intervals import RESAMPLES, SEED, Resampled, resample, totals_by_image
from kpray.scoring.types import POINTS, REFERENCE, Difference

_ScoresOf = Mapping[tuple[str, str], Mapping[str, float]]
"""Scores by (model, opponent), then by question id."""

_END: Final = 10.0 * (10.0 - 1.0)
"""No difference in points is larger."""


def differences_of(
    grades: Sequence[Grade], *, category: str = "", resamples: int = RESAMPLES, seed: int = SEED
) -> list[Difference]:
    """Compare every pair of models on the questions where both have a score.

    Two models compare if they were shown side by side, or each alone, or both beside the same third answer (the
    reference, say): another opponent shifts a score by itself, so scores against different opponents do not. Pairs
    that do not compare are left out, and so are pairs with the reference.

    Args:
        grades: Of one mode.
        category: Only its questions; empty takes all.
        resamples: See `resample`.
        seed: See `resample`.

    Returns:
        In the order of the grades; the p values are corrected together.
    """
    chosen = [grade for grade in grades if category in ("", grade.category)]
    images = {grade.question_id: grade.image for grade in chosen}
    scores: dict[tuple[str, str], dict[str, float]] = {}
    for grade in chosen:
        if grade.score is not None:
            scores.setdefault((grade.model, grade.opponent), {})[grade.question_id] = grade.score
    models = [model for model in dict.fromkeys(grade.model for grade in chosen) if model != REFERENCE]
    found = []
    for first, second in itertools.combinations(models, 2):
        through = _through(first, second, scores)
        gaps = _gaps(first, second, scores, through) if through is not None else {}
        if through is not None and gaps:
            names = [images[question] for question in gaps]
            seen = resample(totals_by_image(names, list(gaps.values())), resamples=resamples, seed=seed)
            found.append(_difference(first, second, category, through, seen, len(gaps)))
    corrected = iter(holm([one.p for one in found if one.p is not None]))
    return [msgspec.structs.replace(one, p_holm=None if one.p is None else next(corrected)) for one in found]


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values that are looked at together, so that the chance of any false alarm stays 0.05.

    Holm, Scandinavian Journal of Statistics 6(2), 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def detectable_difference(standard_error: float, images: int, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true difference that a benchmark of this size finds with the given power.

    The standard error of the paired, clustered difference, times (t of 1 - alpha / 2 plus t of power), both with
    images - 1 degrees of freedom (Bloom, Minimum Detectable Effects, Evaluation Review 19(5), 1995).

    Args:
        standard_error: Of the difference, in the unit of the result.
        images: At least 2.
        alpha: Of the two-sided test.
        power: Chance to find a difference of this size.

    >>> round(detectable_difference(1.0, 30), 3)
    2.899
    """
    freedom = images - 1
    return standard_error * float(special.stdtrit(freedom, 1 - alpha / 2) + special.stdtrit(freedom, power))


def _through(first: str, second: str, scores: _ScoresOf) -> tuple[str, ...] | None:
    """By which opponents two models compare; none where they stood side by side or alone, None where they do not."""
    if (first, second) in scores or ((first, "") in scores and (second, "") in scores):
        return ()
    met = [{opponent for model, opponent in scores if model == one} for one in (first, second)]
    return tuple(sorted((met[0] & met[1]) - {""})) or None


def _gaps(first: str, second: str, scores: _ScoresOf, through: tuple[str, ...]) -> dict[str, float]:
    """First minus second by question id; with several common opponents their mean, if both have a score with all."""
    keys = [((first, one), (second, one)) for one in through]
    if not through:
        alone = (first, second) not in scores
        keys = [((first, ""), (second, "")) if alone else ((first, second), (second, first))]
    tables = [(scores[ours], scores[theirs]) for ours, theirs in keys]
    shared = [question for question in tables[0][0] if all(question in a and question in b for a, b in tables)]
    return {question: fmean(ours[question] - theirs[question] for ours, theirs in tables) for question in shared}


def _difference(
    first: str, second: str, category: str, through: tuple[str, ...], seen: Resampled, questions: int
) -> Difference:
    return Difference(
        first=first,
        second=second,
        category=category,
        through=through,
        points=seen.interval(scale=POINTS, within=(-_END, _END)),
        questions=questions,
        images=seen.images,
        p=seen.p_value(),
        p_holm=None,
        detectable=detectable_difference(POINTS * seen.standard_error, seen.images) if seen.tells else None,
    )
