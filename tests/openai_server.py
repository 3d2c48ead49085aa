"""A local server that behaves as the OpenAI API does, in a process of its own; it counts what it is asked.

    python tests/openai_server.py --port 8123 --latency 0.2

Routes: ``/v1/models``, ``/v1/chat/completions`` (bearer key ``sk-test``), ``/stats`` and ``/faults``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp import web

KEY = "sk-test"

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


class _Api:
    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.calls: Counter[str] = Counter()
        self.in_flight = 0
        self.peak_in_flight = 0
        self.bodies: list[dict[str, Any]] = []
        self.faults: list[dict[str, Any]] = []

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.complete)
        app.router.add_get("/stats", self.stats)
        app.router.add_post("/faults", self.set_faults)
        return app

    def _refused(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") == f"Bearer {KEY}":
            return None
        return _error(401, "Incorrect API key provided.", "invalid_api_key")

    async def models(self, request: web.Request) -> web.Response:
        return self._refused(request) or web.json_response({"object": "list", "data": [{"id": "gpt-4o"}]})

    async def complete(self, request: web.Request) -> web.Response:
        refused = self._refused(request)
        if refused:
            return refused
        body = await request.json()
        self.calls["requests"] += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency_s)
            return self._answer(body)
        finally:
            self.in_flight -= 1

    def _answer(self, body: dict[str, Any]) -> web.Response:
        fault = self._take_fault(body)
        if "status" in fault:
            self.calls[str(fault["status"])] += 1
            headers = {"Retry-After": str(fault["retry_after"])} if "retry_after" in fault else {}
            return _error(fault["status"], fault.get("message", "fault"), fault.get("code"), headers)
        self.calls["answered"] += 1
        self.bodies.append(body)
        message = {
            "role": "assistant",
            "content": fault.get("text", _text(body)),
            "refusal": fault.get("refusal"),
        }
        prompt_tokens = sum(len(m["content"]) for m in body["messages"]) // 4
        completion_tokens = len(message["content"] or "") // 4
        return web.json_response(
            {
                "id": f"chatcmpl-{self.calls['answered']}",
                "object": "chat.completion",
                "created": int(time.time()),
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
                    "prompt_tokens_details": {"cached_tokens": 0},
                },
            }
        )

    def _take_fault(self, body: dict[str, Any]) -> dict[str, Any]:
        """The first fault whose `match` is in the request; `times` bounds how often it happens."""
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
                "last_body": self.bodies[-1] if self.bodies else None,
            }
        )

    async def set_faults(self, request: web.Request) -> web.Response:
        self.faults = await request.json()
        return web.json_response({})


def _text(body: dict[str, Any]) -> str:
    response_format = body.get("response_format")
    if response_format:
        return json.dumps(_ANSWERS[response_format["json_schema"]["name"]])
    return "Question: How many people are there?\nAnswer: There is one person.\n==="


def _error(status: int, message: str, code: str | None, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return web.json_response(body, status=status, headers=headers)


class OpenAIServer:
    """The server in a process of its own, for `with`."""

    def __init__(self, *, latency_s: float = 0.0) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._latency_s = latency_s

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> OpenAIServer:
        command = [
            sys.executable,
            str(Path(__file__)),
            "--port",
            str(self._port),
            "--latency",
            str(self._latency_s),
        ]
        self._process = subprocess.Popen(command)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.stats()
                return self
            except OSError:
                if time.monotonic() > deadline:
                    self._process.kill()
                    raise
                time.sleep(0.05)

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/stats", timeout=5) as response:
            return json.load(response)

    def set_faults(self, *faults: dict[str, Any]) -> None:
        """Make the next matching requests fail; see `_Api._take_fault` and `_Api._answer`."""
        url = f"http://127.0.0.1:{self._port}/faults"
        request = urllib.request.Request(url, json.dumps(faults).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5):
            pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.0)
    arguments = parser.parse_args()
    web.run_app(_Api(arguments.latency).app(), host="127.0.0.1", port=arguments.port, print=None)
