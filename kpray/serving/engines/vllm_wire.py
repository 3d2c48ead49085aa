"""What vLLM reads and writes: OpenAI's request, and its server-sent events."""

from __future__ import annotations

import base64
from typing import Any, Final, Literal

import msgspec

from kpray.serving.errors import ApiError
from kpray.serving.types import ChatMessage, ChatRequest, Image

TOO_LONG: Final = "context_length_exceeded"

_DATA: Final = "data: "
_END: Final = "[DONE]"


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int = 0


class Chunk(msgspec.Struct):
    """What is used of one of vLLM's server-sent events."""

    choices: tuple[_Choice, ...] = ()
    usage: _Usage | None = None


class _Fault(msgspec.Struct):
    message: str = ""
    code: int | str | None = None


class _Line(Chunk):
    error: _Fault | None = None


def read_line(line: str) -> Chunk | ApiError:
    """One server-sent event; the closing one says nothing."""
    data = line.strip().removeprefix(_DATA)
    if not data or data == _END:
        return Chunk()
    read = msgspec.json.decode(data, type=_Line)
    return refusal(read.error.message, read.error.code) if read.error else read


def openai_body(request: ChatRequest) -> dict[str, Any]:
    """A request in OpenAI's form."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [{"role": m.role, "content": _content(m)} for m in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_completion_tokens": sampling.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.json_schema is not None:
        schema = {"name": "answer", "schema": sampling.json_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _content(message: ChatMessage) -> str | list[dict[str, Any]]:
    texts = [part for part in message.parts if isinstance(part, str)]
    if len(texts) == len(message.parts):
        return "".join(texts)
    return [_picture(p) if isinstance(p, Image) else {"type": "text", "text": p} for p in message.parts]


def _picture(image: Image) -> dict[str, Any]:
    data = base64.b64encode(image.encoded).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{data}"}}


def finish(reason: str | None) -> Literal["stop", "length"]:
    """VLLM's reason as one of the two that clients know."""
    return "length" if reason == "length" else "stop"


def refusal(message: str, code: int | str | None) -> ApiError:
    """An error of vLLM's for the client; what is not the request's fault is told without its words."""
    if not str(code).startswith("4"):
        return ApiError(503, "the model failed on this answer; try again", code="engine_failed", retry_after_s=1)
    kind = TOO_LONG if "context length" in message or "maximum model length" in message else "invalid_prompt"
    return ApiError(400, message, code=kind, param="messages")
