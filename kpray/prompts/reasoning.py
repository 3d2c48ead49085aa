"""Complex reasoning: one question that looking alone does not answer, and its answer."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from kpray.prompts import exchange, wording
from kpray.prompts.context import render_context
from kpray.prompts.kind import ParseFailure, Prompt
from kpray.schemas import KindName, Message, QuestionAnswer, Scene


class Reasoning:
    """One question about why or how, with a detailed answer."""

    name: KindName = "reasoning"

    def render(self, scene: Scene, *, seed: int, structured: bool, max_context_chars: int) -> Prompt:
        """See `kpray.prompts.kind.Kind`; nothing is drawn, so the seed changes nothing."""
        context = render_context(scene, max_chars=max_context_chars)
        return Prompt(
            messages=(*_constant(structured), Message("user", context.text)),
            response_schema=exchange.PAIR_SCHEMA if structured else None,
            instruction=None,
            version=self.version(structured=structured),
            dropped=context.dropped,
        )

    def parse(self, text: str, *, instruction: str | None = None) -> tuple[QuestionAnswer, ...]:
        """Read exactly one pair; see `kpray.prompts.kind.Kind`."""
        pairs = exchange.read_pairs(text)
        if len(pairs) > 1:
            raise ParseFailure("too_many_questions", f"expected one question, found {len(pairs)}")
        return pairs

    def write(self, answers: Sequence[QuestionAnswer], *, structured: bool) -> str:
        """See `kpray.prompts.kind.Kind`; exactly one answer is expected."""
        (pair,) = answers
        return exchange.to_json(exchange.as_fields(pair)) if structured else exchange.to_blocks(answers)

    def version(self, *, structured: bool) -> str:
        """See `kpray.prompts.kind.Kind`."""
        return _version(structured)


@functools.cache
def _constant(structured: bool) -> tuple[Message, ...]:
    write = functools.partial(Reasoning().write, structured=structured)
    return wording.constant_messages("reasoning", structured=structured, write=write, ask=lambda context, _: context)


@functools.cache
def _version(structured: bool) -> str:
    return wording.fingerprint(_constant(structured), exchange.PAIR_SCHEMA if structured else None)
