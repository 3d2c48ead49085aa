"""The scores of a table: per model and category, with intervals and what could not be scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from kpray.scoring.statistics.grades import Grade
from kpray.scoring.statistics.intervals import RESAMPLES, SEED, resample, totals_by_image
from kpray.scoring.types import HIGHEST, LOWEST, POINTS, Answer, Estimate, Score


def scores_of(
    grades: Sequence[Grade],
    answers: Iterable[Answer] = (),
    *,
    by_opponent: bool = False,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> list[Score]:
    """Score every model in every category and over all; models and categories in the order of the grades.

    Args:
        grades: Of one mode.
        answers: For their lengths; those that were not graded are left out.
        by_opponent: Whether a model gets a score against each opponent, instead of one over all of them.
        resamples: See `resample`.
        seed: See `resample`.
    """
    words = {(answer.question_id, answer.model): len(answer.text.split()) for answer in answers}
    partners = {(g.question_id, g.model, g.opponent): g.score for g in grades}
    groups: dict[tuple[str, str], list[Grade]] = {}
    for grade in grades:
        groups.setdefault((grade.model, grade.opponent if by_opponent else ""), []).append(grade)
    scores = []
    for (model, opponent), own in groups.items():
        for category in (*dict.fromkeys(grade.category for grade in own), ""):
            chosen = [grade for grade in own if category in ("", grade.category)]
            mean, relative = _estimates(chosen, partners, resamples=resamples, seed=seed)
            scores.append(_score(model, opponent, category, chosen, words, mean, relative))
    return scores


def _estimates(
    grades: Sequence[Grade],
    partners: Mapping[tuple[str, str, str], float | None],
    *,
    resamples: int,
    seed: int,
) -> tuple[Estimate | None, Estimate | None]:
    """Ten times the mean, and the percentage of the opponents' mean."""
    scored = [(grade, grade.score) for grade in grades if grade.score is not None]
    if not scored:
        return None, None
    images = [grade.image for grade, _ in scored]
    own = [score for _, score in scored]
    totals = totals_by_image(images, own)
    mean = resample(totals, resamples=resamples, seed=seed).interval(
        scale=POINTS, within=(POINTS * LOWEST, POINTS * HIGHEST)
    )
    # Two answers shown together are scored together, so the partner of a scored grade is scored too.
    theirs = [partners[g.question_id, g.opponent, g.model] for g, _ in scored if g.opponent]
    known = [score for score in theirs if score is not None]
    if len(known) < len(own):
        return mean, None
    ratio = resample(totals_by_image(images, own, known), resamples=resamples, seed=seed)
    return mean, ratio.interval(scale=100.0)


def _score(
    model: str,
    opponent: str,
    category: str,
    grades: Sequence[Grade],
    words: Mapping[tuple[str, str], int],
    mean: Estimate | None,
    relative: Estimate | None,
) -> Score:
    scored = [grade for grade in grades if grade.score is not None]
    unscored: Counter[str] = Counter()
    for grade in grades:
        unscored.update(grade.unscored)
    asked = {(grade.question_id, grade.model) for grade in grades}
    lengths = [words[key] for key in asked if key in words]
    return Score(
        model=model,
        opponent=opponent,
        category=category,
        mean=mean,
        questions=len(scored),
        images=len({grade.image for grade in scored}),
        verdicts=sum(grade.verdicts for grade in grades),
        unscored=dict(unscored.most_common()),
        worst=POINTS * fmean(grade.worst for grade in grades),
        best=POINTS * fmean(grade.best for grade in grades),
        relative=relative,
        words=fmean(lengths) if lengths else None,
    )
