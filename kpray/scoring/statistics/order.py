"""Side by side: who won, how much the order of the answers mattered, and how much a judge varies by itself."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev, variance
from typing import NamedTuple

from kpray.scoring.statistics.intervals import RESAMPLES, SEED, resample, totals_by_image
from kpray.scoring.types import POINTS, OrderEffect, Outcomes, Question, Spread, Verdict


class _Pair(NamedTuple):
    """One question and two models, in the order of the verdicts that are not swapped."""

    question_id: str
    models: tuple[str, str]


_ByOrder = dict[bool, tuple[float, float]]
"""By ``swapped``: mean scores over repeats of the two models, in the pair's order."""


def outcomes_of(verdicts: Sequence[Verdict], questions: Mapping[str, Question]) -> list[Outcomes]:
    """Count wins for each pair of models, per category and over all.

    A question is won by an answer that is rated higher in one order and not lower in the other; it is split where the
    order decided. Calling a split a win would count the judge's habit (Zheng et al., Judging LLM-as-a-Judge, 2023).
    """
    counts: dict[tuple[tuple[str, str], str], Counter[str]] = defaultdict(Counter)
    for pair, by_order in _paired(verdicts).items():
        outcome = _outcome(by_order)
        for category in (questions[pair.question_id].category, ""):
            counts[pair.models, category][outcome] += 1
    return [
        Outcomes(
            model=models[0],
            opponent=models[1],
            category=category,
            wins=count["win"],
            ties=count["tie"],
            losses=count["loss"],
            split=count["split"],
            unscored=count["unscored"],
        )
        for (models, category), count in counts.items()
    ]


def order_effect(
    verdicts: Sequence[Verdict], questions: Mapping[str, Question], *, resamples: int = RESAMPLES, seed: int = SEED
) -> OrderEffect | None:
    """How much the order mattered; None where nothing was judged in both orders."""
    both = {pair: orders for pair, orders in _paired(verdicts).items() if len(orders) == 2}
    if not both:
        return None
    images = [questions[pair.question_id].scene_id for pair in both]
    # Of the pair's first model: shown first minus shown second; of its second model: the other way round.
    bonuses = [((o[False][0] - o[True][0]), (o[True][1] - o[False][1])) for o in both.values()]
    bonus = resample(totals_by_image(images, [fmean(two) for two in bonuses]), resamples=resamples, seed=seed)
    return OrderEffect(
        first_bonus=bonus.interval(scale=POINTS),
        moved=POINTS * fmean(abs(one) for two in bonuses for one in two),
        flipped=fmean(_outcome(orders) == "split" for orders in both.values()),
        questions=len(both),
    )


def spread_of(verdicts: Iterable[Verdict]) -> list[Spread]:
    """How much each model's score varies over repeats; empty where nothing was judged twice."""
    given: dict[str, dict[tuple[str, tuple[str, ...]], dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for verdict in verdicts:
        for model, score in zip(verdict.models, verdict.scores or (), strict=False):
            given[model][verdict.question_id, verdict.models][verdict.repeat] = score
    spreads = []
    for model, items in given.items():
        repeats = sorted({repeat for scores in items.values() for repeat in scores})
        whole = [scores for scores in items.values() if len(scores) == len(repeats)]
        if len(repeats) > 1 and whole:
            within = fmean(variance(scores.values()) for scores in whole) ** 0.5
            overall = stdev(fmean(scores[repeat] for scores in whole) for repeat in repeats)
            spreads.append(Spread(model, len(repeats), POINTS * within, POINTS * overall))
    return spreads


def _paired(verdicts: Iterable[Verdict]) -> dict[_Pair, _ByOrder]:
    """Mean scores by pair and order; an order without any score is left out."""
    scores: dict[_Pair, dict[bool, list[tuple[float, ...]]]] = {}
    for verdict in verdicts:
        if len(verdict.models) != 2:
            continue
        one, other = verdict.models[::-1] if verdict.swapped else verdict.models
        given = scores.setdefault(_Pair(verdict.question_id, (one, other)), {}).setdefault(verdict.swapped, [])
        if verdict.scores is not None:
            given.append(verdict.scores[::-1] if verdict.swapped else verdict.scores)
    return {
        pair: {
            swapped: (fmean(two[0] for two in given), fmean(two[1] for two in given))
            for swapped, given in by_order.items()
            if given
        }
        for pair, by_order in scores.items()
    }


def _outcome(by_order: _ByOrder) -> str:
    if len(by_order) < 2:
        return "unscored"
    signs = {(ours > theirs) - (ours < theirs) for ours, theirs in by_order.values()}
    if {1, -1} <= signs:
        return "split"
    return "win" if 1 in signs else "loss" if -1 in signs else "tie"
