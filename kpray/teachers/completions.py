"""OpenAI's chat completions on the wire: a request's body, a reply's body, an error's body."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from kpray.schemas import Reply, Request, Usage

if TYPE_CHECKING:
    from kpray.ledger.prices import ModelPrice


NEVER: Final = frozenset({400, 413, 422})
"""Statuses of a request that will never be answered, though others may be."""

NO_MONEY: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
"""Codes of an account that nothing will be answered to until somebody pays."""


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    model: str | None = None
    error: Any = None


class ServerError(NamedTuple):
    """What a server said went wrong; empty where it said nothing."""

    message: str
    code: str


_decoder: Final = msgspec.json.Decoder(_Completion, strict=False)


def request_body(request: Request, *, model: str, own_server: bool) -> dict[str, Any]:
    """The body of a chat completion request, as the official client would send it.

    Args:
        request: What to ask.
        model: The model's name at the server.
        own_server: Whether the server is not OpenAI's own: its newer models take only ``max_completion_tokens``,
            other servers know ``max_tokens``.
    """
    sampling = request.sampling
    optional = {
        "max_tokens" if own_server else "max_completion_tokens": sampling.max_tokens,
        "response_format": _response_format(request),
        "seed": sampling.seed,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    }
    given = {name: value for name, value in optional.items() if value is not None}
    return {"model": model, "messages": request.messages, **given}


def _response_format(request: Request) -> dict[str, Any] | None:
    if request.response_schema is None:
        return None
    schema = {"name": request.kind, "strict": True, "schema": request.response_schema}
    return {"type": "json_schema", "json_schema": schema}


def read_reply(request_id: str, body: bytes, *, latency_s: float, price: ModelPrice | None) -> Reply | ServerError:
    """The reply in the body of a successful response; some servers put an error there.

    Raises:
        ValueError: The body is no chat completion.
    """
    try:
        completion = _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(f"expected a chat completion, found {body[:200]!r} ({error})") from error
    if not completion.choices:
        if completion.error:
            return read_error(body)
        return error_reply(request_id, "the server sent no choices", latency_s=latency_s)
    choice = completion.choices[0]
    refusal = choice.message.refusal
    usage = _usage(completion.usage)
    return Reply(
        request_id=request_id,
        text=choice.message.content or "",
        finish_reason="refusal" if refusal else choice.finish_reason or "",
        usage=usage,
        usd=price.usd(usage) if price else None,
        latency_s=latency_s,
        model=completion.model or "",
        created_at=datetime.now(UTC).isoformat(),
        error=refusal,
    )


def error_reply(request_id: str, message: str, *, latency_s: float) -> Reply:
    """The reply to a request that this server will never answer; nothing is charged for it."""
    now = datetime.now(UTC).isoformat()
    return Reply(request_id, "", "error", None, None, latency_s, "", now, message)


def read_error(body: bytes) -> ServerError:
    """The words and the code in an error's body, in the forms that compatible servers use.

    >>> read_error(b'{"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}')
    ServerError(message='Slow down.', code='rate_limit_exceeded')
    >>> read_error(b'{"detail": "Not Found"}').message
    'Not Found'
    """
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return ServerError(body[:300].decode(errors="replace").strip(), "")
    if isinstance(found, dict):
        found = next((found[key] for key in ("error", "detail", "message") if found.get(key)), found)
    if not isinstance(found, dict):
        return ServerError(str(found), "")
    return ServerError(str(found.get("message") or found), str(found.get("code") or found.get("type") or ""))


def _usage(usage: _Usage | None) -> Usage | None:
    if usage is None:
        return None
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    return Usage(usage.prompt_tokens or 0, usage.completion_tokens or 0, cached or 0)
