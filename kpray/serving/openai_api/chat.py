"""From a request's body to `ChatRequest`: the limits, and its pictures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kpray.serving import images
from kpray.serving.config import LimitsConfig
from kpray.serving.errors import ApiError
from kpray.serving.openai_api.requests import (
    ChatCompletionRequest,
    ImagePart,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    TextPart,
)
from kpray.serving.types import ChatMessage, ChatRequest, ChatSampling, Image

Fetch = Callable[[str, str], Awaitable[bytes]]
"""Gets the bytes at a URL; the second argument is the place in the request, for the error."""

MEGA = 10**6
MIB = 2**20


async def to_chat(asked: ChatCompletionRequest, limits: LimitsConfig, *, request_id: str, fetch: Fetch) -> ChatRequest:
    """Check a request against the limits and read its pictures.

    Raises:
        ApiError: 400 where a limit is passed or a picture is none, 413 where a picture is too large.
    """
    if len(asked.messages) > limits.messages:
        raise _refused(f"expected at most {limits.messages} messages, found {len(asked.messages)}", "messages")
    if count_images(asked) > limits.images:
        raise _refused(f"expected at most {limits.images} pictures, found {count_images(asked)}", "messages")
    messages = [await _message(m, i, limits, fetch) for i, m in enumerate(asked.messages)]
    if messages[-1].role != "user":
        raise _refused("expected the last message to be the user's", "messages")
    return ChatRequest(request_id, asked.model, tuple(messages), sampling(asked, limits))


def count_images(asked: ChatCompletionRequest) -> int:
    """How many pictures there are in all messages."""
    return sum(isinstance(p, ImagePart) for m in asked.messages if not isinstance(m.content, str) for p in m.content)


def sampling(asked: ChatCompletionRequest, limits: LimitsConfig) -> ChatSampling:
    """How to draw the answer; what is not named is as in OpenAI's API, and as long as the server allows.

    Raises:
        ApiError: 400 where more tokens are wanted than the server gives.
    """
    stop = asked.stop if asked.stop is not None else []
    return ChatSampling(
        temperature=1.0 if asked.temperature is None else asked.temperature,
        top_p=1.0 if asked.top_p is None else asked.top_p,
        max_tokens=_max_tokens(asked, limits),
        seed=asked.seed,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        json_schema=_schema(asked),
    )


def _max_tokens(asked: ChatCompletionRequest, limits: LimitsConfig) -> int:
    wanted = {n for n in (asked.max_tokens, asked.max_completion_tokens) if n is not None}
    if len(wanted) > 1:
        raise _refused("max_tokens and max_completion_tokens say different things; send one of them", "max_tokens")
    tokens = wanted.pop() if wanted else limits.output_tokens
    if tokens > limits.output_tokens:
        raise _refused(f"expected at most {limits.output_tokens} tokens to be asked for, found {tokens}", "max_tokens")
    return tokens


def _schema(asked: ChatCompletionRequest) -> dict[str, Any] | None:
    if isinstance(asked.response_format, JsonSchemaFormat):
        return asked.response_format.json_schema.schema
    return {"type": "object"} if isinstance(asked.response_format, JsonObjectFormat) else None


async def _message(message: Message, index: int, limits: LimitsConfig, fetch: Fetch) -> ChatMessage:
    role = _ROLES[type(message).__name__]
    if isinstance(message.content, str):
        return ChatMessage(role, (message.content,))
    place = f"messages[{index}].content"
    parts = [await _part(part, limits, fetch, f"{place}[{i}]") for i, part in enumerate(message.content)]
    return ChatMessage(role, tuple(parts))


_ROLES: dict[str, Any] = {
    "SystemMessage": "system",
    "DeveloperMessage": "system",
    "UserMessage": "user",
    "AssistantMessage": "assistant",
}


async def _part(part: TextPart | ImagePart, limits: LimitsConfig, fetch: Fetch, place: str) -> str | Image:
    if isinstance(part, TextPart):
        return part.text
    most_bytes, most_pixels = int(limits.image_mb * MIB), int(limits.image_megapixels * MEGA)
    url = part.image_url.url
    if url[:5].lower() == "data:":
        return images.from_data_uri(url, most_bytes=most_bytes, most_pixels=most_pixels, param=place)
    encoded = await fetch(url, place)
    return images.from_bytes(encoded, most_bytes=most_bytes, most_pixels=most_pixels, param=place)


def _refused(said: str, param: str) -> ApiError:
    return ApiError(
        400, said, code="limit_exceeded" if said.startswith("expected at most") else "invalid_value", param=param
    )
