"""Any OpenAI-compatible server, asked over kpray's own transport; one call is one attempt."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import msgspec

from kpray.config import TeacherConfig
from kpray.errors import TeacherBusyError, TeacherError, TeacherStoppedError, TeacherUnavailableError
from kpray.ledger.limits import ServerLimits
from kpray.schemas import Reply, Request, Scene
from kpray.teachers.completions import (
    NEVER,
    NO_MONEY,
    ServerError,
    error_reply,
    read_error,
    read_reply,
    request_body,
)
from kpray.teachers.http import Answer, HttpSession

if TYPE_CHECKING:
    from kpray.ledger.prices import ModelPrice

__all__ = ["BASE_URL", "KEY_VARIABLE", "OpenAITeacher", "Secret", "key_from_environment", "request_body"]

KEY_VARIABLE: Final = "OPENAI_API_KEY"
BASE_URL: Final = "https://api.openai.com/v1"

_STOP_CODES: Final = NO_MONEY | {"invalid_api_key", "account_deactivated"}
"""Nothing will be answered until a person has mended something."""

_NEVER_CODES: Final = frozenset({"content_policy_violation", "content_filter"})
"""This request will never be answered, others may be."""

_BUSY: Final = frozenset({408, 409, 425, 429})
_OVERLOADED: Final = frozenset({429, 503})


class Secret:
    """A text that does not show itself in logs, tracebacks and dashboards."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret(***)"

    def reveal(self) -> str:
        """The text itself."""
        return self._text


def key_from_environment(base_url: str | None) -> Secret:
    """The API key; a server of one's own may do without.

    Raises:
        TeacherError: There is none and OpenAI's own server is asked for.
    """
    key = os.environ.get(KEY_VARIABLE)
    if not key and base_url is None:
        raise TeacherError(
            f"the openai teacher needs an API key: set {KEY_VARIABLE}, or name another server with "
            "--set teacher.base_url=http://host:port/v1"
        )
    return Secret(key or "none")


class OpenAITeacher:
    """Chat completions of one model. It is connected with the first call, inside the event loop that uses it."""

    name = "openai"
    reads_scene = False

    def __init__(self, settings: TeacherConfig, key: Secret, *, price: ModelPrice | None = None) -> None:
        """Keep the settings; nothing is connected yet.

        Args:
            settings: Of the teacher.
            key: For the server.
            price: Of the model; None leaves the replies' cost unknown.
        """
        self.model = f"{self.name}/{settings.model}"
        self.server_limits: ServerLimits | None = None
        self._settings = settings
        self._key = key
        self._price = price
        self._http: HttpSession | None = None

    async def preflight(self) -> None:
        """List the server's models: free, and it needs a working key.

        Raises:
            TeacherError: The server cannot be reached or does not take the key.
        """
        server = self._settings.base_url or "api.openai.com"
        try:
            answer = await self._connected().get("/models", timeout_s=20)
        except TeacherBusyError as error:
            raise TeacherError(f"cannot reach {server}: {error}. Is it running, and is the address right?") from error
        message = read_error(answer.body).message
        if answer.status in (401, 403):
            raise TeacherError(f"{server} refuses the key in {KEY_VARIABLE}: {message}")
        if answer.status >= 400 and answer.status != 404:  # compatible servers may not list models
            raise TeacherError(f"{server} is not ready: status {answer.status}, {message}")

    def prepare(self, scenes: Sequence[Scene]) -> None:
        """A server needs no preparation."""

    async def ask(self, request: Request) -> Reply:
        """Ask once; see `Teacher.ask` for what is raised."""
        settings = self._settings
        body = request_body(request, model=settings.model, own_server=settings.base_url is not None)
        started = time.perf_counter()
        answer = await self._connected().post("/chat/completions", msgspec.json.encode(body))
        latency_s = time.perf_counter() - started
        self.server_limits = ServerLimits.from_headers(answer.headers) or self.server_limits
        if answer.status != 200:
            return self._failed(request, answer, read_error(answer.body), latency_s)
        try:
            found = read_reply(request.request_id, answer.body, latency_s=latency_s, price=self._price)
        except ValueError as error:
            # It may have been charged: a later run may ask again, this one does not.
            raise TeacherUnavailableError(f"{self.model}: {error}. Is teacher.base_url right?") from error
        if isinstance(found, ServerError):
            status = int(found.code) if found.code.isdecimal() else 500
            return self._failed(request, answer._replace(status=status), found, latency_s)
        return found

    async def aclose(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def _connected(self) -> HttpSession:
        if self._http is None:
            headers = {"Authorization": f"Bearer {self._key.reveal()}"}
            base_url = self._settings.base_url or BASE_URL
            self._http = HttpSession(base_url, headers, timeout_s=self._settings.timeout_s)
        return self._http

    def _failed(self, request: Request, answer: Answer, found: ServerError, latency_s: float) -> Reply:
        """Sort a failure: a reply where asking again is useless, otherwise an exception."""
        status, (message, code) = answer.status, found
        if code in _STOP_CODES:
            raise TeacherStoppedError(f"{self.model} cannot be asked any more ({code}): {message}")
        if code in _NEVER_CODES:
            return error_reply(request.request_id, message, latency_s=latency_s)
        said = f"status {status}, {message}"
        passing = status in _BUSY or status >= 500
        should_retry = answer.headers.get("x-should-retry")
        if should_retry == "true" or (passing and should_retry != "false"):
            wait_s = retry_after_s(answer.headers)
            raise TeacherBusyError(said, retry_after_s=wait_s, overloaded=status in _OVERLOADED)
        if passing:
            raise TeacherUnavailableError(f"the server wants no second attempt: {said}")
        if status in NEVER:
            return error_reply(request.request_id, message, latency_s=latency_s)
        # 401, 402, 403, 404 and what no chat server should answer: so will be the answer to every request.
        raise TeacherStoppedError(f"{self.model} cannot be asked: {said}. Check the key, the model and the address")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the server asks to wait: ``retry-after-ms``, or ``Retry-After`` in seconds or as a date."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit_s)
        except (KeyError, ValueError):
            continue
    try:
        until = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
