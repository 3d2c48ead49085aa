"""The lines that go into a batch and come out of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from kpray.schemas import Reply, Request
from kpray.teachers.completions import (
    NEVER,
    NO_MONEY,
    ServerError,
    error_reply,
    read_error,
    read_reply,
    request_body,
)
from kpray.teachers.openai_batch import ENDPOINT

if TYPE_CHECKING:
    from kpray.ledger.prices import ModelPrice

_STOP: Final = (401, 402, 403, 404)
"""So will be the answer to every request."""


class _Response(msgspec.Struct):
    status_code: int
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Fault(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: _Fault | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What a batch says about one request.

    Attributes:
        request_id: Whose it is; perhaps nobody's.
        reply: None where nothing was answered, so that it is worth asking again.
        why: Then, why not.
        stops: Whether no other request can succeed either.
    """

    request_id: str
    reply: Reply | None = None
    why: str = ""
    stops: bool = False


_decoder: Final = msgspec.json.Decoder(_Line)


def encode_line(request: Request, *, model: str, own_server: bool) -> bytes:
    """A request as a line of a batch's file."""
    body = request_body(request, model=model, own_server=own_server)
    return (
        msgspec.json.encode({"custom_id": request.request_id, "method": "POST", "url": ENDPOINT, "body": body}) + b"\n"
    )


def read_line(line: bytes, *, submitted_at: int, price: ModelPrice | None) -> Outcome | None:
    """What a line of a batch's results says; None if it is no such line.

    The same line always makes the same reply, so that reading a file of results once more buys nothing twice in
    the ledger's books.

    Args:
        line: As it came.
        submitted_at: When the batch was created, in Unix seconds.
        price: Of the model; the reply gets its batch price.
    """
    try:
        found = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if found.response is None:
        fault = found.error or _Fault()
        return Outcome(found.custom_id, why=fault.code or fault.message or "no response")
    return _of_response(found.custom_id, found.response, submitted_at, price)


class _Made(msgspec.Struct):
    created: int = 0


def _of_response(request_id: str, response: _Response, submitted_at: int, price: ModelPrice | None) -> Outcome:
    body = bytes(response.body)
    if response.status_code == 200:
        try:
            found = read_reply(request_id, body, latency_s=0.0, price=None)
        except ValueError as error:
            return Outcome(request_id, why=str(error))
        if isinstance(found, ServerError):
            return Outcome(request_id, why=found.message)
        return Outcome(request_id, _dated(found, max(_created(body), submitted_at), submitted_at, price))
    status, said = response.status_code, read_error(body)
    why = f"status {status}, {said.message}"
    if said.code in NO_MONEY or status in _STOP:
        return Outcome(request_id, why=why, stops=True)
    if status in NEVER:
        reply = error_reply(request_id, said.message, latency_s=0.0)
        return Outcome(request_id, _dated(reply, submitted_at, submitted_at, price=None))
    return Outcome(request_id, why=why)


def _created(body: bytes) -> int:
    try:
        return msgspec.json.decode(body, type=_Made, strict=False).created
    except msgspec.DecodeError:
        return 0


def _dated(reply: Reply, created: int, submitted_at: int, price: ModelPrice | None) -> Reply:
    return msgspec.structs.replace(
        reply,
        created_at=datetime.fromtimestamp(created, UTC).isoformat(),
        latency_s=float(created - submitted_at),
        usd=price.usd(reply.usage, batch=True) if price else None,
    )
