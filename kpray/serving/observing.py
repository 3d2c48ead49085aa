"""One request as seen from outside: its id, its line in the log, its figures; and the last net for faults.

The log has one JSON object a line. It never holds a header, a query, a prompt, an answer or a picture, unless
`AddressConfig.log_content` asks for the texts; a fault's own text may quote a prompt, so that only its kind and place
are written then.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import re
import sys
import time
import traceback
import uuid
from collections.abc import Iterator
from typing import IO, Any, Final

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kpray.serving.access import header
from kpray.serving.openai_api.faults import error_response, internal_error
from kpray.serving.telemetry import Telemetry

LOGGER: Final = logging.getLogger("kpray.serving.requests")

GONE: Final = 499
"""Status in log and figures of a request whose client went away; none was sent (nginx's number)."""

_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class Record(msgspec.Struct):
    """What is known of a request so far; whoever learns something writes it here.

    Attributes:
        request_id: The client's, or drawn.
        method: As sent.
        path: As sent, without its query.
        started: On `time.perf_counter`.
        model: As served; empty where no served model was named.
        status: As sent; 0 before that.
        code: `ApiError.code` of what went wrong, also after the status was sent.
        images: In the request.
        prompt_tokens: As the engine counted.
        completion_tokens: As the engine counted.
        first_token_s: From the first byte in to the first text; None where there was none.
        content: Texts of the request and the answer, where they are wanted.
    """

    request_id: str
    method: str
    path: str
    started: float
    model: str = ""
    status: int = 0
    code: str = ""
    images: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_token_s: float | None = None
    content: dict[str, Any] | None = None

    @property
    def seconds(self) -> float:
        """Since it started."""
        return time.perf_counter() - self.started


def log_to(stream: IO[str] | None = None) -> None:
    """Write the requests' lines to a stream, which is standard error if None, and nowhere else."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def request_id(scope: Scope) -> str:
    """The client's ``x-request-id`` where it is 1 to 128 letters, digits and ``._:-``; else a new one."""
    given = header(scope, b"x-request-id")
    return given.decode("ascii") if _ID.fullmatch(given) else uuid.uuid4().hex


class Observed:
    """Middleware around all others: ids in and out, log, figures, and 500 for what nobody expected."""

    def __init__(self, app: ASGIApp, *, telemetry: Telemetry, echo_id: bool, log_content: bool) -> None:
        self._app, self._telemetry = app, telemetry
        self._echo_id, self._log_content = echo_id, log_content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, whatever happens inside."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = Record(request_id(scope), scope["method"], scope["path"][:200], time.perf_counter())
        scope["kpray.record"] = record
        try:
            await self._answer(scope, receive, self._noting(send, record), record)
        finally:
            self._write(record, _route(scope))

    async def _answer(self, scope: Scope, receive: Receive, send: Send, record: Record) -> None:
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            record.status = GONE
        except asyncio.CancelledError:  # how Ray Serve tells that the client went away
            record.status = GONE
            raise
        except Exception as error:  # noqa: BLE001 - the last net: logged, and told without its text
            log_fault(error, record, with_text=self._log_content)
            if not record.status:
                await error_response(internal_error(record.request_id), scope)(scope, receive, send)

    def _noting(self, send: Send, record: Record) -> Send:
        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *self._headers(record)]}
            await send(message)

        return noting

    def _headers(self, record: Record) -> Iterator[tuple[bytes, bytes]]:
        yield b"x-content-type-options", b"nosniff"
        if self._echo_id:
            yield b"x-request-id", record.request_id.encode()

    def _write(self, record: Record, route: str) -> None:
        self._telemetry.put("kpray_requests_total", route=route, model=record.model, status=str(record.status))
        self._telemetry.put("kpray_request_seconds", record.seconds, route=route, model=record.model)
        if record.code:
            self._telemetry.put("kpray_errors_total", route=route, code=record.code)
        LOGGER.info("%s", _line(record, route))


def log_fault(error: Exception, record: Record, *, with_text: bool) -> None:
    """Write down a fault of ours: what kind, where, and its text only where content may be logged."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    fault = {"fault": type(error).__qualname__, "where": where}
    if with_text:
        fault["text"] = str(error)
    record.code = "internal_error"
    LOGGER.error("%s", _json({"at": _now(), "event": "fault", "request_id": record.request_id, **fault}))


def _route(scope: Scope) -> str:
    """The route as written in the application, so that there are few of them."""
    return str(getattr(scope.get("route"), "path", "other"))


def _line(record: Record, route: str) -> str:
    known = msgspec.structs.asdict(record)
    del known["started"]
    known["first_token_s"] = record.first_token_s and round(record.first_token_s, 4)
    if record.content is None:
        del known["content"]
    return _json({"at": _now(), "event": "request", "route": route, "seconds": round(record.seconds, 4), **known})


def _json(line: dict[str, Any]) -> str:
    return msgspec.json.encode(line).decode()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
