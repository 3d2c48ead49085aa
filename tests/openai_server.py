"""A local server that behaves as the OpenAI API does, in a process of its own; it counts what it is asked.

    python tests/openai_server.py --port 8123 --latency 0.2

Routes: ``/v1/models`` and ``/v1/chat/completions`` as OpenAI has them (bearer key ``sk-test``), and for tests
``/stats``, ``/counts``, ``/faults`` (see `_Api._take_fault`) and ``/settings`` (see `Settings`). What it answers
depends on the request's body alone.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import time
from collections import Counter
from typing import Any

import msgspec
from aiohttp import web
from server_process import ServerProcess

KEY = "sk-test"

_CACHE_FROM_TOKENS = 1024
"""OpenAI caches prompts from so many tokens on, in steps of 128 (https://platform.openai.com/docs/guides)."""

_ANSWERS: dict[str, Any] = {
    "conversation": {
        "turns": [
            {
                "question": "How many people are in the picture?",
                "answer": "There is one person in the picture.",
            },
            {"question": "Is the person standing?", "answer": "Yes, the person is standing upright."},
        ]
    },
    "detailed": {"description": "One person stands upright in the open. Both arms hang down beside the body."},
    "reasoning": {
        "question": "What might help this person keep their balance?",
        "answer": "The stance is upright and relaxed. Setting the feet a little apart would give a wider base.",
    },
}

_MORE = (
    "The light comes from the left. ",
    "The ground looks level and dry. ",
    "Nothing stands close by. ",
    "The weight rests on both feet. ",
    "The shoulders are relaxed. ",
)


class Settings(msgspec.Struct):
    """What the server does besides answering.

    Attributes:
        latency_s: Before every answer.
        varied: Whether answers differ in length (by about 1:3), drawn from the request's body.
        requests_per_minute: With it, headers tell it and what goes beyond gets a 429.
        tokens_per_minute: Likewise; a reply's tokens count once it is given.
        burst_s: How much of a limit may be used at once, as seconds of it.
        down_s: From now on it is away for so long.
        down_how: It then answers with 503, or its port is closed and open connections break.
    """

    latency_s: float = 0.0
    varied: bool = False
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst_s: float = 60.0
    down_s: float = 0.0
    down_how: str = "503"


class _Bucket:
    def __init__(self, per_minute: float, burst_s: float) -> None:
        self.per_minute = per_minute
        self._per_s = per_minute / 60
        self._most = self._level = max(1.0, self._per_s * burst_s)
        self._at = time.monotonic()

    def wait_s(self, amount: float) -> float:
        """Take so much if it is there; otherwise say when it will be."""
        now = time.monotonic()
        self._level = min(self._most, self._level + (now - self._at) * self._per_s)
        self._at = now
        if self._level < min(amount, self._most):
            return (min(amount, self._most) - self._level) / self._per_s
        self._level -= amount
        return 0.0

    def headers(self, what: str) -> dict[str, str]:
        reset_ms = round((self._most - self._level) / self._per_s * 1000)
        return {
            f"x-ratelimit-limit-{what}": f"{self.per_minute:.0f}",
            f"x-ratelimit-remaining-{what}": f"{max(0.0, self._level):.0f}",
            f"x-ratelimit-reset-{what}": f"{reset_ms // 60_000}m{reset_ms % 60_000 / 1000:g}s",
        }


class _Api:
    def __init__(self, settings: Settings) -> None:
        self.calls: Counter[str] = Counter()
        self.in_flight = 0
        self.peak_in_flight = 0
        self.last_body = b"null"
        self.faults: list[dict[str, Any]] = []
        self.answers: Counter[bytes] = Counter()
        self.prefixes: set[bytes] = set()
        self.site: web.TCPSite | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._apply(settings)

    def _apply(self, settings: Settings) -> None:
        self.settings = settings
        limits = {"requests": settings.requests_per_minute, "tokens": settings.tokens_per_minute}
        self._buckets = {what: _Bucket(limit, settings.burst_s) for what, limit in limits.items() if limit}
        self._down_until = time.monotonic() + settings.down_s

    def app(self) -> web.Application:
        """The application; more routes may be added to it before it is run."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.complete)
        app.router.add_get("/stats", self.stats)
        app.router.add_get("/counts", self.counts)
        app.router.add_post("/faults", self.set_faults)
        app.router.add_post("/settings", self.set_settings)
        return app

    def _refused(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _error(401, "Incorrect API key provided.", "invalid_api_key")
        if time.monotonic() < self._down_until:
            return _error(503, "The server is down.", None)
        return None

    async def models(self, request: web.Request) -> web.Response:
        return self._refused(request) or web.json_response({"object": "list", "data": [{"id": "gpt-4o"}]})

    async def complete(self, request: web.Request) -> web.Response:
        raw = await request.read()
        self.calls["requests"] += 1
        refused = self._refused(request) or self._limited(raw)
        if refused:
            self.calls[str(refused.status)] += 1
            return refused
        body = msgspec.json.decode(raw)
        fault = self._take_fault(body)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.settings.latency_s + fault.get("delay_s", 0.0))
        finally:
            self.in_flight -= 1
        if fault.get("drop"):
            self.calls["dropped"] += 1
            assert request.transport is not None
            request.transport.close()
        response = self._answer(body, fault)
        if response.status == 200:
            self.last_body = raw
            self.answers[hashlib.blake2b(raw, digest_size=16).digest()] += 1
        response.headers.update(self._limit_headers())
        return response

    def _limited(self, raw: bytes) -> web.Response | None:
        for what, bucket in self._buckets.items():
            wait_s = bucket.wait_s(1.0 if what == "requests" else len(raw) / 4)
            if wait_s:
                headers = {"Retry-After": f"{wait_s:.3f}", **self._limit_headers()}
                return _error(429, f"Rate limit of {what} reached.", "rate_limit_exceeded", headers)
        return None

    def _limit_headers(self) -> dict[str, str]:
        return {name: text for what, bucket in self._buckets.items() for name, text in bucket.headers(what).items()}

    def _answer(self, body: dict[str, Any], fault: dict[str, Any]) -> web.Response:
        if "status" in fault:
            self.calls[str(fault["status"])] += 1
            headers = {"Retry-After": str(fault["retry_after"])} if "retry_after" in fault else {}
            headers |= fault.get("headers", {})
            return _error(fault["status"], fault.get("message", "fault"), fault.get("code"), headers)
        if "body" in fault:
            return web.Response(text=fault["body"], content_type="application/json")
        self.calls["answered"] += 1
        message = {
            "role": "assistant",
            "content": fault.get("text", _text(body, varied=self.settings.varied)),
            "refusal": fault.get("refusal"),
        }
        prompt_tokens = sum(len(m["content"]) for m in body["messages"]) // 4
        completion_tokens = len(message["content"] or "") // 4
        completion = {
            "id": f"chatcmpl-{_digest(body)}",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": f"{body['model']}-2024-08-06",
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": fault.get("finish_reason", "stop"),
                    "logprobs": None,
                }
            ],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
                "prompt_tokens_details": {"cached_tokens": self._cached_tokens(body)},
            },
        }
        return web.Response(body=msgspec.json.encode(completion), content_type="application/json")

    def _cached_tokens(self, body: dict[str, Any]) -> int:
        """Tokens of everything before the last message, if it was sent before."""
        prefix = msgspec.json.encode([body["model"], body["messages"][:-1]])
        tokens = sum(len(m["content"]) for m in body["messages"][:-1]) // 4
        key = hashlib.blake2b(prefix, digest_size=16).digest()
        known = key in self.prefixes
        self.prefixes.add(key)
        return tokens // 128 * 128 if known and tokens >= _CACHE_FROM_TOKENS else 0

    def _take_fault(self, body: dict[str, Any]) -> dict[str, Any]:
        """The first fault whose `match` is in the request; `times` bounds how often it happens.

        A fault may have ``status`` (with ``message``, ``code``, ``retry_after``, ``headers``), ``text``, ``refusal``,
        ``finish_reason``, ``body`` (the whole response), ``delay_s``, and ``drop``: the connection is closed instead.
        """
        if not self.faults:
            return {}
        text = json.dumps(body)
        for fault in self.faults:
            if fault.get("match", "") in text and fault.get("times", 1) > 0:
                fault["times"] = fault.get("times", 1) - 1
                return fault
        return {}

    async def stats(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                **self.calls,
                "peak_in_flight": self.peak_in_flight,
                "last_body": json.loads(self.last_body),
                "last_text": self.last_body.decode(),
            }
        )

    async def counts(self, request: web.Request) -> web.Response:
        most = max(self.answers.values(), default=0)
        return web.json_response({"distinct": len(self.answers), "answered": self.answers.total(), "most": most})

    async def set_faults(self, request: web.Request) -> web.Response:
        self.faults = await request.json()
        return web.json_response({})

    async def set_settings(self, request: web.Request) -> web.Response:
        settings = msgspec.convert({**msgspec.to_builtins(self.settings), **await request.json()}, Settings)
        self._apply(settings)
        if settings.down_s and settings.down_how == "refuse":
            task = asyncio.create_task(self._go_away(settings.down_s))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        settings.down_s = 0.0  # it happens once
        return web.json_response({})

    async def _go_away(self, seconds: float) -> None:
        assert self.site is not None
        runner, port = self.site._runner, self.site._port
        await asyncio.sleep(0.02)  # so that the answer to this order gets through
        await self.site.stop()
        assert runner.server is not None
        for connection in list(runner.server.connections):
            connection.force_close()
        await asyncio.sleep(seconds)
        self.site = web.TCPSite(runner, "127.0.0.1", port)
        await self.site.start()

    async def serve(self, port: int) -> None:
        """Serve until the process ends."""
        runner = web.AppRunner(self.app(), access_log=None)
        await runner.setup()
        self.site = web.TCPSite(runner, "127.0.0.1", port, backlog=4096)
        await self.site.start()
        await asyncio.Event().wait()


def _digest(body: dict[str, Any]) -> str:
    return hashlib.blake2b(msgspec.json.encode(body), digest_size=8).hexdigest()


def _text(body: dict[str, Any], *, varied: bool) -> str:
    response_format = body.get("response_format")
    if not response_format:
        return "Question: How many people are there?\nAnswer: There is one person.\n==="
    answer = _ANSWERS[response_format["json_schema"]["name"]]
    if varied:
        drawn = random.Random(_digest(body))
        last = list(answer)[-1]
        more = "".join(drawn.choices(_MORE, k=drawn.randrange(6)))
        if isinstance(answer[last], str):
            answer = {**answer, last: f"{answer[last]} {more}".strip()}
        else:
            answer = {last: answer[last] * drawn.randint(1, 3)}
    return json.dumps(answer)


def _error(status: int, message: str, code: str | None, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return web.json_response(body, status=status, headers=headers)


class OpenAIServer(ServerProcess):
    """The server in a process of its own, for `with`."""

    def __init__(self, **settings: Any) -> None:
        """Prepare to start it with settings (see `Settings`)."""
        super().__init__(__file__, "--settings", json.dumps(settings))

    def stats(self) -> dict[str, Any]:
        """How many requests came (`requests`), were `answered`, got an error (by status) or were `dropped`."""
        stats: dict[str, Any] = self.call("stats")
        return stats

    def counts(self) -> dict[str, int]:
        """How many `distinct` bodies were answered, how many answers there were, and the `most` for one body."""
        counts: dict[str, int] = self.call("counts")
        return counts

    def set_faults(self, *faults: dict[str, Any]) -> None:
        """Make the next matching requests fail; see `_Api._take_fault`."""
        self.call("faults", faults)

    def change(self, **settings: Any) -> None:
        """Change settings; the others stay."""
        self.call("settings", settings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--settings", default="{}", help="JSON of `Settings`")
    arguments = parser.parse_args()
    given = {"latency_s": arguments.latency, **json.loads(arguments.settings)}
    asyncio.run(_Api(msgspec.convert(given, Settings)).serve(arguments.port))
