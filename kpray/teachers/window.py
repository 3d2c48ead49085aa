"""How many requests are under way at once: as many as the server bears, at most what the user allows.

Additive increase, multiplicative decrease, as in TCP: the window shrinks when the server says that it has too much
to do, or when its replies take twice as long as they used to, and grows back step by step.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

_SHRINK: Final = 0.7
_SLOW: Final = 2.0
"""Replies that take so many times as long as usual mean that the server has more to do than it can."""

_NOISE_S: Final = 0.05
"""Less than that is no news of the server: it is what this machine's own moods make."""

_FEWEST_REPLIES: Final = 32
"""A mean latency is one of at least so many replies; latencies of 1:3 then differ by a tenth or so by chance."""

_MEMORY: Final = 0.05
"""Weight of the newest mean in the usual latency: a server that stays slower is believed after some 20 windows."""

_STEPS_BACK: Final = 64
"""From 1 to the bound takes at most about so many windows of replies."""


class Window:
    """Places for requests; first come, first served.

    Its user tells when an attempt was sent, so that the answers to what was sent before the window shrank do not
    shrink it again: it shrinks at most once in a round trip.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Open a window fully.

        Args:
            most: Its bound, which is also its first size.
            clock: Seconds that never go back; the same that `succeeded` and `overloaded` are told.
        """
        self._most = most
        self._size = float(most)
        self._clock = clock
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._changed_at = float("-inf")
        self._successes = 0
        self._latencies = 0
        self._latency_sum_s = 0.0
        self._usual_s: float | None = None
        self._means = 0

    @property
    def size(self) -> int:
        """How many may be under way now."""
        return int(self._size)

    async def enter(self) -> None:
        """Wait for a place."""
        if self._under_way < self.size and not self._waiting:
            self._under_way += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # it was given the place, and does not take it
            raise

    def leave(self) -> None:
        """Give a place back."""
        self._under_way -= 1
        self._let_in()

    def succeeded(self, sent_at: float, latency_s: float) -> None:
        """Hear of an answer."""
        self._successes += 1
        if self._successes >= self._size:
            self._successes = 0
            self._size = min(float(self._most), self._size + max(1.0, self._most / _STEPS_BACK))
            self._let_in()
        if sent_at >= self._changed_at:
            self._latencies += 1
            self._latency_sum_s += latency_s
            if self._latencies >= max(self._size, _FEWEST_REPLIES):
                self._judge(self._latency_sum_s / self._latencies)

    def overloaded(self, sent_at: float) -> None:
        """Hear that the server had too much to do with an attempt."""
        if sent_at >= self._changed_at:
            self._shrink()

    def _judge(self, mean_s: float) -> None:
        self._latencies, self._latency_sum_s = 0, 0.0
        usual_s = mean_s if self._usual_s is None else self._usual_s
        self._means += 1
        self._usual_s = usual_s + max(_MEMORY, 1 / self._means) * (mean_s - usual_s)
        if mean_s > max(_SLOW * usual_s, usual_s + _NOISE_S):
            self._shrink()

    def _shrink(self) -> None:
        self._size = max(1.0, self._size * _SHRINK)
        self._changed_at = self._clock()
        self._successes = 0
        self._latencies, self._latency_sum_s = 0, 0.0

    def _let_in(self) -> None:
        while self._waiting and self._under_way < self.size:
            place = self._waiting.popleft()
            if not place.done():
                self._under_way += 1
                place.set_result(None)
