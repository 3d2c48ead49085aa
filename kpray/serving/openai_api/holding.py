"""What a request holds while it is answered, and how it is let go: its place, its body, its client, its iterator."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from kpray.serving.errors import ApiError, overloaded
from kpray.serving.telemetry import Telemetry
from kpray.serving.types import Delta

BODY_SECONDS: Final = 30.0
"""Longest time a body may take to arrive: it holds a place."""


class Places:
    """At most so many requests at a time in this process; whoever finds no place is told at once."""

    def __init__(self, most: int, telemetry: Telemetry) -> None:
        self._most, self._taken, self._telemetry = most, 0, telemetry

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            ApiError: 503, where all are taken.
        """
        if self._taken >= self._most:
            raise overloaded(f"all {self._most} places are taken")
        self._taken += 1
        self._telemetry.put("kpray_in_flight", self._taken)
        try:
            yield
        finally:
            self._taken -= 1
            self._telemetry.put("kpray_in_flight", self._taken)


@contextlib.asynccontextmanager
async def closing(deltas: AsyncIterator[Delta]) -> AsyncIterator[AsyncIterator[Delta]]:
    """Close an iterator at once when it is left, and not when it is collected."""
    try:
        yield deltas
    finally:
        close = getattr(deltas, "aclose", None)
        if close is not None:
            await close()


async def while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do something for as long as the client is there; whoever stops waiting for it stops it.

    Raises:
        ClientDisconnect: The client went away first.
    """
    working, listening = asyncio.ensure_future(work), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        working.result()
    finally:
        working.cancel()
        listening.cancel()
        await asyncio.gather(working, listening, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def read_body(request: Request) -> bytes:
    """The whole body, as long as it is said to be JSON.

    Raises:
        ApiError: 415 for another type, 408 where it takes too long.
        ClientDisconnect: The client went away before its end.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(415, "expected a body without content-encoding", code="unsupported_media_type")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "expected content-type: application/json", code="unsupported_media_type")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.body()
    except TimeoutError:
        said = f"the body did not arrive within {BODY_SECONDS:g} s"
        raise ApiError(408, said, code="body_too_slow") from None
