"""What ``POST /v1/judge`` answers."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

import msgspec

from kpray.judges.types import Judgement, Source
from kpray.schemas import Sampling
from kpray.scoring.types import Aspects, JudgeFingerprint, Mode, Verdict
from kpray.serving.errors import ApiError
from kpray.serving.judging.requests import Expanded

_SAID = {
    "no_reply": "the judge could not be asked; what was judged is kept, so ask for this item again later",
    "budget_spent": "the judge's budget is used up; whoever runs this server can raise it",
    "too_slow": "no judgement came in the time that this server allows; what was sent is kept, so ask again",
    "judge_failed": "the judge failed on this item; the server's log says where",
}
"""For those who ask. The reasons in the judge's own words are for the log: they may name accounts."""


class JudgeObject(msgspec.Struct, frozen=True):
    """A judge; scores by different ones do not compare.

    Attributes:
        digest: Names it in the verdicts.
        kind: ``model``, or ``geometric`` for the embedded judge, which is no model.
        model: As the server behind names it.
        prompt: Hash of the wording, mode and output form.
        sampling: As set up.
    """

    digest: str
    kind: Literal["model", "geometric"]
    model: str
    prompt: str
    sampling: Sampling


class OrderVerdict(msgspec.Struct, frozen=True):
    """What the judge said of one order of the answers.

    Attributes:
        models: In the order shown.
        swapped: Whether it is the second of the two orders.
        repeat: Counts from 0.
        scores: 1 to 10 for each of them; null where it is unscored.
        aspects: Of each answer; empty where the judge gave none.
        explanation: In the judge's words.
        unscored: Why there are no scores, a short name to count by.
        detail: The same in a sentence, where there was no reply at all.
        judge: Digest of who judged.
        request_id: Finds the reply in the ledger; empty where nothing was asked.
        source: ``asked`` now, from the ``ledger``, ``computed`` without a server, or ``none``.
        usd: What it cost now; null where the price is not known.
    """

    models: tuple[str, ...]
    swapped: bool
    repeat: int
    scores: tuple[float, ...] | None
    aspects: tuple[Aspects, ...]
    explanation: str
    unscored: str | None
    detail: str
    judge: str
    request_id: str
    source: Source
    usd: float | None


class Rating(msgspec.Struct, frozen=True):
    """What an answer got: the mean over orders of the means over repeats; null unless every order has a score."""

    model: str
    score: float | None


class JudgeResult(msgspec.Struct, frozen=True):
    """One item's.

    Attributes:
        id: The item's.
        mode: The item's.
        ratings: Of the answers shown; the reference answer is ``reference``.
        explanation: Of the first verdict with scores.
        unscored: Why ratings are null; null where there are some.
        verdicts: Of both orders and all repeats.
    """

    id: str
    mode: Mode
    ratings: tuple[Rating, ...]
    explanation: str
    unscored: str | None
    verdicts: tuple[OrderVerdict, ...]


class JudgeUsage(msgspec.Struct, frozen=True):
    """What the whole response took.

    Attributes:
        verdicts: In it.
        asked: Requests to the judge's server; an unreadable reply is asked for twice.
        from_ledger: Verdicts that were paid for before.
        prompt_tokens: Of the requests asked now.
        completion_tokens: Likewise.
        usd: Likewise; null where a price is not known.
    """

    verdicts: int
    asked: int
    from_ledger: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None


class JudgeResponse(msgspec.Struct, frozen=True):
    """The results, in the order of the items."""

    judges: tuple[JudgeObject, ...]
    results: tuple[JudgeResult, ...]
    usage: JudgeUsage
    object: Literal["judgements"] = "judgements"


def respond(asked: Sequence[Expanded], judged: Sequence[Judgement]) -> JudgeResponse:
    """The response's body.

    Args:
        asked: The items.
        judged: Of everything that they expand to, in order.
    """
    left = iter(judged)
    results = tuple(_result(one, [next(left) for _ in one.items]) for one in asked)
    judges = dict.fromkeys(judgement.verdict.judge for judgement in judged)
    return JudgeResponse(tuple(map(_judge, judges)), results, _usage(judged))


def refusal(judged: Sequence[Judgement]) -> ApiError | None:
    """What to answer where nothing at all could be judged, or None where anything was."""
    if any(judgement.source != "none" or judgement.verdict.unscored == "judge_failed" for judgement in judged):
        return None
    wait_s = round(max((judgement.retry_after_s or 0.0 for judgement in judged), default=0.0)) or 5
    reasons = {judgement.verdict.unscored for judgement in judged}
    if reasons == {"budget_spent"}:
        return ApiError(429, _SAID["budget_spent"], code="budget_spent", retry_after_s=3600)
    code = "too_slow" if reasons == {"too_slow"} else "judge_unavailable"
    said = _SAID["too_slow" if code == "too_slow" else "no_reply"]
    return ApiError(503, said, code=code, retry_after_s=wait_s)


def _judge(judge: JudgeFingerprint) -> JudgeObject:
    return JudgeObject(judge.digest, judge.kind, judge.model, judge.prompt, judge.sampling)


def _result(asked: Expanded, judged: Sequence[Judgement]) -> JudgeResult:
    verdicts = [judgement.verdict for judgement in judged]
    ratings = tuple(Rating(model, _score(model, verdicts)) for model in verdicts[0].models)
    unscored = next((verdict.unscored for verdict in verdicts if verdict.unscored), None)
    return JudgeResult(
        id=asked.asked.id,
        mode=asked.asked.mode,
        ratings=ratings,
        explanation=next((verdict.explanation for verdict in verdicts if verdict.scores), ""),
        unscored=unscored if any(rating.score is None for rating in ratings) else None,
        verdicts=tuple(map(_order, judged)),
    )


def _score(model: str, verdicts: Sequence[Verdict]) -> float | None:
    by_order: dict[bool, list[float]] = {verdict.swapped: [] for verdict in verdicts}
    for verdict in verdicts:
        if verdict.scores is not None:
            by_order[verdict.swapped].append(verdict.scores[verdict.models.index(model)])
    return fmean(map(fmean, by_order.values())) if all(by_order.values()) else None


def _order(judgement: Judgement) -> OrderVerdict:
    verdict = judgement.verdict
    return OrderVerdict(
        models=verdict.models,
        swapped=verdict.swapped,
        repeat=verdict.repeat,
        scores=verdict.scores,
        aspects=verdict.aspects,
        explanation=verdict.explanation,
        unscored=verdict.unscored,
        detail=_SAID.get(verdict.unscored or "", "") if judgement.failure else "",
        judge=verdict.judge.digest,
        request_id=verdict.request_id,
        source=judgement.source,
        usd=judgement.usd,
    )


def _usage(judged: Sequence[Judgement]) -> JudgeUsage:
    prices = [judgement.usd for judgement in judged]
    return JudgeUsage(
        verdicts=len(judged),
        asked=sum(judgement.asked for judgement in judged),
        from_ledger=sum(judgement.source == "ledger" for judgement in judged),
        prompt_tokens=sum(judgement.usage.prompt_tokens for judgement in judged),
        completion_tokens=sum(judgement.usage.completion_tokens for judgement in judged),
        usd=None if None in prices else sum(price or 0.0 for price in prices),
    )
