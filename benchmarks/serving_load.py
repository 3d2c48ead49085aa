"""Clients of an OpenAI-compatible chat address, for `serving.py`: closed loops, or arrivals at a fixed rate."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass
class Answer:
    """One request as its client saw it; times in seconds from sending."""

    status: int
    first_s: float = 0.0
    last_s: float = 0.0
    between_s: list[float] = field(default_factory=list)
    tokens: int = 0
    at: float = 0.0


async def ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> Answer:
    """Stream one answer."""
    start = time.perf_counter()
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body) as response:
            answer = Answer(response.status, at=start)
            if response.status != 200:
                await response.read()
                answer.last_s = time.perf_counter() - start
                return answer
            await _read(response, answer, start)
            return answer
    except (aiohttp.ClientError, TimeoutError):
        return Answer(0, last_s=time.perf_counter() - start, at=start)


async def _read(response: aiohttp.ClientResponse, answer: Answer, start: float) -> None:
    before = start
    async for line in response.content:
        if not line.startswith(b"data: {"):
            continue
        chunk = json.loads(line[6:])
        if "error" in chunk:
            answer.status = -1
        elif chunk.get("usage"):
            answer.tokens = chunk["usage"]["completion_tokens"]
        elif chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
            now = time.perf_counter()
            if answer.first_s:
                answer.between_s.append(now - before)
            else:
                answer.first_s = now - start
            before = now
    answer.last_s = time.perf_counter() - start


def session() -> aiohttp.ClientSession:
    """Without aiohttp's own limit on connections."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=600), read_bufsize=1 << 20
    )


def closed_loop(url: str, bodies: list[dict[str, Any]], *, clients: int) -> tuple[list[Answer], float]:
    """All requests, `clients` at a time; returns the answers and how long all of it took."""

    async def run() -> tuple[list[Answer], float]:
        waiting, answers = iter(bodies), []

        async def client(of: aiohttp.ClientSession) -> None:
            for body in waiting:
                answers.append(await ask(of, url, body))

        async with session() as of:
            start = time.perf_counter()
            await asyncio.gather(*(client(of) for _ in range(clients)))
            return answers, time.perf_counter() - start

    return asyncio.run(run())


def arrivals(url: str, bodies: list[dict[str, Any]], *, per_second: float, seconds: float) -> list[Answer]:
    """Requests that arrive at a fixed rate, whether those before them are answered or not."""

    async def run() -> list[Answer]:
        async with session() as of:
            tasks, start = [], time.perf_counter()
            for index in range(int(per_second * seconds)):
                await asyncio.sleep(max(start + index / per_second - time.perf_counter(), 0))
                tasks.append(asyncio.create_task(ask(of, url, bodies[index % len(bodies)])))
            return await asyncio.gather(*tasks)

    return asyncio.run(run())


def summary(answers: list[Answer], seconds: float) -> dict[str, Any]:
    """Figures over answers; times in ms."""
    good = [answer for answer in answers if answer.status == 200]
    between = [value for answer in good for value in answer.between_s]
    return {
        "requests_s": len(good) / seconds,
        "tokens_s": sum(answer.tokens for answer in good) / seconds,
        "first_p50": 1000 * quantile([a.first_s for a in good], 0.5),
        "first_p95": 1000 * quantile([a.first_s for a in good], 0.95),
        "between_p50": 1000 * quantile(between, 0.5),
        "between_p95": 1000 * quantile(between, 0.95),
        "whole_p95": 1000 * quantile([a.last_s for a in good], 0.95),
        "statuses": dict(Counter(a.status for a in answers)),
    }


def quantile(values: list[float], share: float) -> float:
    """0 where there are no values."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=100, method="inclusive")[int(share * 100) - 1]
