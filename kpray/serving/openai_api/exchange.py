"""One chat request from its first byte to its last.

It is a response that works while it is being sent, so that one `with` holds the request's place from before its body
is read until the last event is out, and so that a client that goes away ends the work wherever it is: while the
engine is thinking, while events are sent, while a picture is fetched.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kpray.serving.config import LimitsConfig
from kpray.serving.errors import ApiError
from kpray.serving.observing import Record, log_fault
from kpray.serving.openai_api import requests, responses
from kpray.serving.openai_api.chat import count_images, to_chat
from kpray.serving.openai_api.faults import internal_error
from kpray.serving.openai_api.holding import Places, closing, read_body, while_connected
from kpray.serving.remote import RemoteImages
from kpray.serving.telemetry import Telemetry
from kpray.serving.types import ChatRequest, Delta, Engine, Image

_LAST_WORD_SECONDS: Final = 1.0
"""For the event that tells why a stream ends; whoever does not read does not get it."""


class Desk(msgspec.Struct, frozen=True):
    """What all requests of a gateway share."""

    engines: Mapping[str, Engine]
    limits: LimitsConfig
    places: Places
    telemetry: Telemetry
    remote: RemoteImages
    log_content: bool


class ChatExchange(Response):
    """Reads, asks and answers one chat request."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or raise what the client has to be told instead.

        Raises:
            ApiError: Nothing has been sent.
            ClientDisconnect: Nobody listens any more.
        """
        record: Record = scope["kpray.record"]
        work = _Work(self._desk, record, scope, receive, send)
        try:
            with self._desk.places.one():
                body = await read_body(Request(scope, receive))
                await while_connected(receive, work.answer(body))
        except ClientDisconnect:
            raise
        except Exception as error:
            if not work.streaming:
                raise
            await self._end(error, work, record)

    async def _end(self, error: Exception, work: _Work, record: Record) -> None:
        """Say why a stream ends before its time."""
        if not isinstance(error, ApiError):
            log_fault(error, record, with_text=self._desk.log_content)
            error = internal_error(record.request_id)
        record.code = error.code
        try:
            async with asyncio.timeout(_LAST_WORD_SECONDS):
                await work.events(responses.error_event(error), more=False)
        except TimeoutError:
            raise ClientDisconnect from None


class _Work:
    """One request's answer on its way."""

    def __init__(self, desk: Desk, record: Record, scope: Scope, receive: Receive, send: Send) -> None:
        self._desk, self._record, self._send = desk, record, send
        self._scope, self._receive = scope, receive
        self._last_text: float | None = None
        self.streaming = False

    async def answer(self, body: bytes) -> None:
        try:
            async with asyncio.timeout(self._desk.limits.seconds) as clock:
                await self._answer(requests.read(body))
        except TimeoutError:
            if not clock.expired():
                raise
            said = f"no answer within the {self._desk.limits.seconds:g} s that this server allows"
            raise ApiError(504, said, code="too_slow") from None

    async def _answer(self, asked: requests.ChatCompletionRequest) -> None:
        engine = find(self._desk.engines, asked.model)
        self._record.model, self._record.images = asked.model, count_images(asked)
        fetch = self._desk.remote
        chat = await to_chat(
            asked,
            self._desk.limits,
            request_id=self._record.request_id,
            fetch=lambda url, place: fetch.fetch(url, param=place),
        )
        self._note_question(chat)
        answer = responses.Answer(f"chatcmpl-{chat.request_id}", int(time.time()), asked.model)
        async with closing(engine.answer(chat)) as deltas:
            if asked.stream:
                usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)
                await self._stream(deltas, answer, with_usage=usage)
            else:
                await self._whole(deltas, answer)

    async def _whole(self, deltas: AsyncIterator[Delta], answer: responses.Answer) -> None:
        texts, last = [], None
        async for delta in deltas:
            self._note(delta)
            texts.append(delta.text)
            last = delta
        if last is None or last.finish_reason is None:
            raise _cut()
        response = Response(answer.whole("".join(texts), last), media_type="application/json")
        await response(self._scope, self._receive, self._send)

    async def _stream(self, deltas: AsyncIterator[Delta], answer: responses.Answer, *, with_usage: bool) -> None:
        """Send events as they come; the status waits for the first, so that an early refusal has its own."""
        last = None
        async for delta in deltas:
            self._note(delta)
            last = delta
            events = answer.piece(delta) if self.streaming else answer.opening() + answer.piece(delta)
            if events:
                await self.events(events)
        if last is None or last.finish_reason is None:
            raise _cut()
        await self.events((answer.closing_usage(last) if with_usage else b"") + responses.DONE, more=False)

    async def events(self, events: bytes, *, more: bool = True) -> None:
        if not self.streaming:
            self.streaming = True
            await self._send({"type": "http.response.start", "status": 200, "headers": _EVENT_HEADERS})
        await self._send({"type": "http.response.body", "body": events, "more_body": more})

    def _note(self, delta: Delta) -> None:
        """Times and tokens of a piece."""
        put, model, now = self._desk.telemetry.put, self._record.model, self._record.seconds
        if delta.text and self._last_text is None:
            self._record.first_token_s = now
            put("kpray_first_token_seconds", now, model=model)
        elif delta.text and self._last_text is not None:
            put("kpray_between_tokens_seconds", now - self._last_text, model=model)
        self._last_text = now if delta.text else self._last_text
        if delta.finish_reason is not None:
            self._record.prompt_tokens, self._record.completion_tokens = delta.prompt_tokens, delta.completion_tokens
            put("kpray_prompt_tokens_total", delta.prompt_tokens, model=model)
            put("kpray_completion_tokens_total", delta.completion_tokens, model=model)
        if self._record.content is not None:
            self._record.content["answer"] += delta.text

    def _note_question(self, chat: ChatRequest) -> None:
        if self._desk.log_content:
            messages = [{"role": m.role, "parts": [_shown(part) for part in m.parts]} for m in chat.messages]
            self._record.content = {"messages": messages, "answer": ""}


_EVENT_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx passes events on at once
]


def find(engines: Mapping[str, Engine], model: str) -> Engine:
    """The engine of a model.

    Raises:
        ApiError: 404, with the names of all there are.
    """
    if model not in engines:
        said = f"no model {model[:100]!r} is served here; there is {', '.join(sorted(engines))}"
        raise ApiError(404, said, code="model_not_found", param="model")
    return engines[model]


def _shown(part: str | Image) -> str:
    return part if isinstance(part, str) else f"<{part.media_type} {part.width} x {part.height}>"


def _cut() -> ApiError:
    return ApiError(503, "the model stopped before its answer was complete; try again", code="cut", retry_after_s=1)
