"""What passes between the address and the engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal, Protocol

import msgspec


class Image(msgspec.Struct, frozen=True):
    """A picture that has passed all limits but has not been decoded in full.

    Attributes:
        encoded: The file's bytes.
        media_type: By its content, not by what the client said: ``image/jpeg``, ``image/png`` or ``image/webp``.
        width: In pixels.
        height: In pixels.
    """

    encoded: bytes
    media_type: str
    width: int
    height: int


class ChatMessage(msgspec.Struct, frozen=True):
    """One message; its parts are text and pictures in the client's order."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Image, ...]


class ChatSampling(msgspec.Struct, frozen=True):
    """How the answer is drawn.

    Attributes:
        temperature: 0 takes the likeliest token each time.
        top_p: Only the likeliest tokens that have this probability together.
        max_tokens: The answer's longest length, already within the server's limit.
        seed: Makes the draws repeatable; None draws anew.
        stop: Texts at which the answer ends; they are not part of it.
        json_schema: The answer has to be JSON of this schema; None is free text.
    """

    temperature: float
    top_p: float
    max_tokens: int
    seed: int | None = None
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """One question, checked and within all limits.

    Attributes:
        request_id: The client's, or drawn; stands in logs, headers and errors.
        model: Name of the model as served.
        messages: The conversation, ending with the user.
        sampling: How to answer.
    """

    request_id: str
    model: str
    messages: tuple[ChatMessage, ...]
    sampling: ChatSampling


class Delta(msgspec.Struct, frozen=True):
    """A piece of an answer, as soon as it is there.

    Attributes:
        text: What comes next; may be empty in the last piece.
        finish_reason: Only in the last piece: ``stop``, or ``length`` where `ChatSampling.max_tokens` ended it.
        prompt_tokens: Only in the last piece, image tokens included.
        completion_tokens: Only in the last piece.
    """

    text: str
    finish_reason: Literal["stop", "length"] | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class ModelCard(msgspec.Struct, frozen=True):
    """What ``/v1/models`` tells of one model.

    Attributes:
        id: Its name.
        created: Unix seconds, of its weights' file.
        engine: ``transformers`` or ``vllm``.
        max_tokens: Longest prompt and answer together, in tokens.
        lineage: The content of its ``lineage.json``; empty where it has none.
    """

    id: str
    created: int
    engine: str
    max_tokens: int
    lineage: dict[str, Any] = {}


class Engine(Protocol):
    """Something that answers chat requests."""

    def card(self) -> ModelCard:
        """What it serves."""

    def answer(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """The answer, piece by piece; closing the iterator frees the request's place.

        Raises:
            ApiError: From the first step on; see `kpray.serving.errors`.
        """

    async def check_health(self) -> None:
        """Raise if it can no longer answer."""
