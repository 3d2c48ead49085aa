"""A judge's reply becomes the verdict on its item."""

from __future__ import annotations

from kpray.prompts import ParseFailure
from kpray.schemas import Reply, Sampling
from kpray.scoring.judging.parse import parse_ratings
from kpray.scoring.judging.prompt import prompt_version
from kpray.scoring.types import JudgeFingerprint, JudgeItem, Mode, Verdict

_NO_ANSWER = ("refusal", "content_filter", "error")
"""Finish reasons of replies that say nothing."""


def model_fingerprint(served_model: str, *, mode: Mode, structured: bool, sampling: Sampling) -> JudgeFingerprint:
    """Of a judge that is a model.

    Args:
        served_model: ``Reply.model``, as the server names it.
        mode: Of the items.
        structured: Whether a JSON schema was sent.
        sampling: As configured, without what a repeat changes.
    """
    return JudgeFingerprint("model", served_model, prompt_version(mode, structured=structured), sampling)


def needs_reasking(item: JudgeItem, reply: Reply) -> ParseFailure | None:
    """Why a reply is worth one more request; None where it can be read, or where nothing was said at all."""
    if reply.finish_reason in _NO_ANSWER:
        return None
    try:
        parse_ratings(reply.text, count=len(item.answers), complete=reply.finish_reason != "length")
    except ParseFailure as failure:
        return failure
    return None


def verdict_of(item: JudgeItem, reply: Reply | None, judge: JudgeFingerprint) -> Verdict:
    """The verdict in a reply; unscored, with the reason, where the reply cannot be read.

    Args:
        item: What was judged.
        reply: The last one about it; None where there is none, which gives the reason ``no_reply``.
        judge: Who judged; see `model_fingerprint`.
    """
    if reply is None:
        return _unscored(item, judge, "no_reply", "")
    if reply.finish_reason in _NO_ANSWER:
        return _unscored(item, judge, reply.finish_reason, reply.request_id)
    try:
        read = parse_ratings(reply.text, count=len(item.answers), complete=reply.finish_reason != "length")
    except ParseFailure as failure:
        return _unscored(item, judge, failure.reason, reply.request_id)
    return Verdict(
        question_id=item.question.question_id,
        mode=item.mode,
        models=item.models,
        scores=read.scores,
        judge=judge,
        swapped=item.swapped,
        repeat=item.repeat,
        aspects=read.aspects,
        explanation=read.explanation,
        request_id=reply.request_id,
    )


def _unscored(item: JudgeItem, judge: JudgeFingerprint, reason: str, request_id: str) -> Verdict:
    return Verdict(
        question_id=item.question.question_id,
        mode=item.mode,
        models=item.models,
        scores=None,
        judge=judge,
        swapped=item.swapped,
        repeat=item.repeat,
        unscored=reason,
        request_id=request_id,
    )
