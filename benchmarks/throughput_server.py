"""A server that behaves as an OpenAI-compatible API with one fixed latency, and is no bottleneck itself.

    python benchmarks/throughput_server.py --port 8123 --latency 0.2

``POST /v1/chat/completions`` answers with a valid completion of the kind that the request's JSON schema names, exactly
`latency` after the request has arrived. Nothing is parsed but Content-Length and the kind, the answers are made
beforehand, and one timer serves all that wait. Requests below 1,000 bytes are probes (a client that asks for its rate
limits): answered at once and counted apart. ``GET /v1/models``, ``GET /stats`` and ``POST /reset`` are there too.

Times in the statistics are of ``time.monotonic``, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import resource
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from server_process import ServerProcess

PROBE_BYTES = 1000
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_KIND = re.compile(rb'"name": ?"(conversation|detailed|reasoning)"')

_ANSWERS: dict[bytes, Any] = {
    b"conversation": {
        "turns": [
            {
                "question": "How many people are in the picture, and where are they?",
                "answer": "There is one person in the picture, standing near the middle of it.",
            },
            {
                "question": "Which of the person's arms is raised?",
                "answer": "The left arm is raised above the head; the right arm hangs down beside the body.",
            },
            {"question": "How are the legs held?", "answer": "Both legs are straight, with the feet slightly apart."},
        ]
    },
    b"detailed": {
        "description": "One person stands upright near the middle of the picture and faces the viewer. The left arm is "
        "raised above the head with the elbow bent, as if to wave to somebody further away, while the right arm hangs "
        "down straight beside the body. The torso leans a little towards the raised arm. Both legs are straight and "
        "the feet stand slightly apart, which gives the person a steady stance on the level ground."
    },
    b"reasoning": {
        "question": "What is the person most likely about to do, judging by the posture?",
        "answer": "The person stands upright with the left arm raised above the head and the elbow bent, and the right "
        "arm relaxed beside the body. Such a posture is usual for greeting or calling somebody further away. As both "
        "legs are straight and the weight rests evenly on them, a sudden movement is not to be expected.",
    },
}


def _response(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _completion(content: str) -> bytes:
    message = {"role": "assistant", "content": content, "refusal": None}
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {
            "prompt_tokens": 1800,
            "completion_tokens": 100,
            "total_tokens": 1900,
            "prompt_tokens_details": {"cached_tokens": 1500},
        },
    }
    return _response(json.dumps(document).encode())


_COMPLETIONS = {kind: _completion(json.dumps(answer)) for kind, answer in _ANSWERS.items()}
_MODELS = _response(json.dumps({"object": "list", "data": [{"id": "gpt-4o", "object": "model"}]}).encode())


class _Api:
    """What is under way, and what was counted."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, asyncio.Transport, bytes]] = deque()  # by due time, as all wait equally
        self._reset()

    def _reset(self) -> None:
        self._requests = self._replies = self._probes = self._peak = 0
        self._first = self._last = self._late_s = 0.0
        self._cpu_at_reset = time.process_time()

    def handle(self, transport: asyncio.Transport, head: bytes, body: bytes) -> None:
        """Answer one request, now or when it is due."""
        if head.startswith(b"POST /v1/chat/completions "):
            found = _KIND.search(body)
            response = _COMPLETIONS[found[1] if found else b"detailed"]
            if len(body) < PROBE_BYTES:
                self._probes += 1
                transport.write(response)
            else:
                self._enqueue(transport, response)
        elif head.startswith(b"GET /stats "):
            transport.write(_response(json.dumps(self._stats()).encode()))
        elif head.startswith(b"POST /reset "):
            self._reset()
            transport.write(_response(b"{}"))
        else:
            transport.write(_MODELS)

    def _enqueue(self, transport: asyncio.Transport, response: bytes) -> None:
        now = self._loop.time()
        self._first = self._first or now
        self._requests += 1
        self._waiting.append((now + self._latency_s, transport, response))
        self._peak = max(self._peak, len(self._waiting))
        if len(self._waiting) == 1:
            self._loop.call_at(self._waiting[0][0], self._deliver)

    def _deliver(self) -> None:
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            due, transport, response = self._waiting.popleft()
            transport.write(response)
            self._replies += 1
            self._late_s += now - due
        self._last = self._loop.time()
        if self._waiting:
            self._loop.call_at(self._waiting[0][0], self._deliver)

    def _stats(self) -> dict[str, float]:
        return {
            "requests": self._requests,
            "replies": self._replies,
            "probes": self._probes,
            "peak_in_flight": self._peak,
            "first_at": self._first,
            "last_at": self._last,
            "late_ms": 1000 * self._late_s / max(1, self._replies),
            "cpu_s": time.process_time() - self._cpu_at_reset,
        }


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive; bodies have a Content-Length."""

    def __init__(self, api: _Api) -> None:
        self._api = api
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            head, start = buffer[:end], end + 4
            found = _LENGTH.search(head)
            stop = start + (int(found[1]) if found else 0)
            if len(buffer) < stop:
                break
            self._api.handle(self._transport, head, buffer[start:stop])
            buffer = buffer[stop:]
        self._buffer = buffer


async def _serve(port: int, latency_s: float) -> None:
    api = _Api(latency_s)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(api), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


class Server(ServerProcess):
    """The server in a process of its own, for `with`."""

    def __init__(self, latency_s: float) -> None:
        super().__init__(__file__, "--latency", str(latency_s))

    def stats(self) -> dict[str, float]:
        """What was counted since the start or the last reset."""
        stats: dict[str, float] = self.call("stats")
        return stats

    def reset(self) -> None:
        """Count anew."""
        self.call("reset", {})


class _Hammer(asyncio.Protocol):
    """Sends the same request again whenever its answer has come."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._expected = self._seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._expected:  # all answers are equally long
            found = _LENGTH.search(data)
            assert found is not None
            self._expected = data.find(b"\r\n\r\n") + 4 + int(found[1])
        self._seen += len(data)
        if self._seen >= self._expected:
            self._seen -= self._expected
            self._transport.write(self._request)


async def _hammer(port: int, connections: int, seconds: float) -> None:
    body = b'{"response_format":{"json_schema":{"name":"detailed"}},"x":"' + b"x" * 7500 + b'"}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Hammer(head.encode() + body), "127.0.0.1", port)
    await asyncio.sleep(seconds)


def _hammer_process(port: int, connections: int, seconds: float) -> None:
    asyncio.run(_hammer(port, connections, seconds))


def ceiling(seconds: float = 5.0, connections: int = 64) -> dict[str, float]:
    """What the server can do at most, without any latency, with one client process fewer than there are CPUs.

    Returns:
        ``measured``: requests/s here, where the clients take CPU from the server if there are few cores; ``own_core``:
        requests per CPU second of the server, which is what it does on a core of its own.
    """
    clients = max(1, (os.cpu_count() or 2) - 1)
    with Server(0.0) as server:
        arguments = (server.port, connections, seconds)
        processes = [multiprocessing.Process(target=_hammer_process, args=arguments) for _ in range(clients)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        stats = server.stats()
    span_s = stats["last_at"] - stats["first_at"]
    return {"clients": clients, "measured": stats["replies"] / span_s, "own_core": stats["replies"] / stats["cpu_s"]}


def allow_many_connections() -> None:
    """Raise this process's (and its children's) limit of open files as far as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, required=True)
    arguments = parser.parse_args()
    allow_many_connections()
    asyncio.run(_serve(arguments.port, arguments.latency))
