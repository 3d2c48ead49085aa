"""Conversation: several questions about the people in the picture, with definite answers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

from kpray.prompts import exchange, wording
from kpray.prompts.context import render_context
from kpray.prompts.kind import Prompt
from kpray.schemas import KindName, Message, QuestionAnswer, Scene

_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"turns": {"type": "array", "items": exchange.PAIR_SCHEMA}},
    "required": ["turns"],
    "additionalProperties": False,
}


class Conversation:
    """Several question-answer pairs about one scene."""

    name: KindName = "conversation"

    def render(self, scene: Scene, *, seed: int, structured: bool, max_context_chars: int) -> Prompt:
        """See `kpray.prompts.kind.Kind`; nothing is drawn, so the seed changes nothing."""
        context = render_context(scene, max_chars=max_context_chars)
        return Prompt(
            messages=(*_constant(structured), Message("user", context.text)),
            response_schema=_SCHEMA if structured else None,
            instruction=None,
            version=self.version(structured=structured),
            dropped=context.dropped,
        )

    def parse(self, text: str, *, instruction: str | None = None) -> tuple[QuestionAnswer, ...]:
        """Read one or more pairs; see `kpray.prompts.kind.Kind`."""
        return exchange.read_pairs(text)

    def write(self, answers: Sequence[QuestionAnswer], *, structured: bool) -> str:
        """See `kpray.prompts.kind.Kind`."""
        if structured:
            return exchange.to_json({"turns": [exchange.as_fields(pair) for pair in answers]})
        return exchange.to_blocks(answers)

    def version(self, *, structured: bool) -> str:
        """See `kpray.prompts.kind.Kind`."""
        return _version(structured)


@functools.cache
def _constant(structured: bool) -> tuple[Message, ...]:
    write = functools.partial(Conversation().write, structured=structured)
    return wording.constant_messages("conversation", structured=structured, write=write, ask=lambda context, _: context)


@functools.cache
def _version(structured: bool) -> str:
    return wording.fingerprint(_constant(structured), _SCHEMA if structured else None)
