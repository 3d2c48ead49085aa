"""Answers as OpenAI's API writes them: one body, or server-sent events."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from kpray.serving.errors import ApiError
from kpray.serving.types import Delta, ModelCard

DONE = b"data: [DONE]\n\n"

_ENCODER = msgspec.json.Encoder()


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the engine counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(msgspec.Struct, frozen=True):
    """The answer."""

    content: str
    role: Literal["assistant"] = "assistant"
    refusal: None = None


class Choice(msgspec.Struct, frozen=True):
    """The only choice."""

    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    index: Literal[0] = 0
    logprobs: None = None


class ChatCompletion(msgspec.Struct, frozen=True):
    """An answer in one piece."""

    id: str
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    object: Literal["chat.completion"] = "chat.completion"


class ModelObject(msgspec.Struct, frozen=True):
    """A served model; `lineage` tells from what it was made."""

    id: str
    created: int
    engine: str
    max_tokens: int
    lineage: dict[str, Any]
    object: Literal["model"] = "model"
    owned_by: Literal["kpray"] = "kpray"


class ModelList(msgspec.Struct, frozen=True):
    """All served models."""

    data: list[ModelObject]
    object: Literal["list"] = "list"


class Answer(msgspec.Struct, frozen=True):
    """What stands in every piece of one answer.

    Attributes:
        id: Of the answer, ``chatcmpl-`` and the request's id.
        created: Unix seconds.
        model: As asked.
    """

    id: str
    created: int
    model: str

    def whole(self, text: str, last: Delta) -> bytes:
        """The body of an answer in one piece."""
        assert last.finish_reason is not None
        choices = [Choice(AnswerMessage(text), last.finish_reason)]
        return _ENCODER.encode(ChatCompletion(self.id, self.created, self.model, choices, usage(last)))

    def opening(self) -> bytes:
        """The first event, which names the role."""
        return self._event([_choice({"role": "assistant", "content": "", "refusal": None})])

    def piece(self, delta: Delta) -> bytes:
        """The events of one piece of text; of the last one, its finish reason in an event of its own."""
        events = self._event([_choice({"content": delta.text})]) if delta.text else b""
        if delta.finish_reason is not None:
            events += self._event([_choice({}, delta.finish_reason)])
        return events

    def closing_usage(self, last: Delta) -> bytes:
        """The event without choices that tells the tokens, for ``include_usage``."""
        return self._event([], usage(last))

    def _event(self, choices: list[dict[str, Any]], counted: Usage | None = None) -> bytes:
        return event(
            {
                "id": self.id,
                "object": "chat.completion.chunk",
                "created": self.created,
                "model": self.model,
                "choices": choices,
                "usage": counted,
            }
        )


def _choice(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def usage(last: Delta) -> Usage:
    """Tokens of an answer, by its last piece."""
    return Usage(last.prompt_tokens, last.completion_tokens, last.prompt_tokens + last.completion_tokens)


def event(data: dict[str, Any]) -> bytes:
    """One server-sent event; JSON has no line breaks of its own."""
    return b"data: " + _ENCODER.encode(data) + b"\n\n"


def error_event(error: ApiError) -> bytes:
    """The event that ends a stream which cannot go on; the official client raises it."""
    return event(error.body())


def model_object(card: ModelCard) -> ModelObject:
    """A model as ``/v1/models`` tells it."""
    return ModelObject(card.id, card.created, card.engine, card.max_tokens, card.lineage)
