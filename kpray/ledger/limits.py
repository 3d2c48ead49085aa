"""How much may be asked per minute: limits set by hand or named by the server, and buckets that keep them. No Ray.

A `RateLimiter` lets requests and tokens through evenly, with a burst of a second: in no minute does it let through
more requests than the limit (where the limit is 60 or more), and more tokens only by one request's. A request that
is larger than what is in the bucket may go, and the next one waits until the debt is paid.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from kpray.ledger.rate_headers import ServerLimits

__all__ = ["Ask", "Lease", "LocalGate", "RateGate", "RateLimiter", "ServerLimits"]

BURST_S: Final = 1.0
"""How long a bucket saves up; what it holds counts towards the minute (see `_Bucket.set_limit`)."""

_FORGET_WORKER_S: Final = 3.0
"""A worker that has not asked for so long no longer counts when leases are shared out."""


class Ask(msgspec.Struct, frozen=True):
    """What one worker wants from a limiter that it shares with others.

    Attributes:
        worker: Any name that no other worker has.
        requests: How many it wants to send; below 0, how many of an earlier lease it gives back.
        tokens: That one of its requests takes, about.
        owed: Tokens that it used beyond its leases; below 0, that it did not use.
        requests_per_minute: The limit that its user has set by hand.
        tokens_per_minute: Likewise.
        learned: What the server told this worker last.
    """

    worker: str
    requests: int
    tokens: float = 0.0
    owed: float = 0.0
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    learned: ServerLimits | None = None


class Lease(msgspec.Struct, frozen=True):
    """What a worker may do until it asks again.

    Attributes:
        requests: How many more it may send; None as many as it likes.
        tokens: That each of them was counted with.
        pause_s: How long nobody may send anything.
        workers: How many share the limits now.
        requests_per_minute: The limit of all workers together, as it is known now.
        tokens_per_minute: Likewise.
    """

    requests: int | None
    tokens: float
    pause_s: float
    workers: int
    requests_per_minute: float | None
    tokens_per_minute: float | None


class _Bucket:
    """Fills at a limit's rate. It may owe, and gives nothing until that is paid; without a limit it is endless."""

    def __init__(self) -> None:
        self._per_s: float | None = None
        self._level = 0.0
        self._filled_at = 0.0

    @property
    def capacity(self) -> float:
        return math.inf if self._per_s is None else max(1.0, self._per_s * BURST_S)

    def set_limit(self, per_minute: float | None, now: float) -> None:
        # A full bucket and a minute's flow together are the limit.
        per_s = None if per_minute is None else per_minute / (60.0 + BURST_S)
        if per_s == self._per_s:
            return
        was_endless, self._level, self._per_s = self._per_s is None, self.level(now), per_s
        self._level = self.capacity if was_endless else min(self._level, self.capacity)
        self._filled_at = now

    def level(self, now: float) -> float:
        if self._per_s is None:
            return math.inf
        self._level = min(self.capacity, self._level + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        return self._level

    def take(self, amount: float, now: float) -> None:
        if self._per_s is not None:
            self._level = min(self.capacity, self.level(now) - amount)

    def at_most(self, amount: float, now: float) -> None:
        if self._per_s is not None:
            self._level = min(self.level(now), amount)

    def wait_s(self, now: float) -> float:
        """Until there is 1 in it; that is one request, or the beginning of one's tokens."""
        return 0.0 if self._per_s is None else max(0.0, (1.0 - self.level(now)) / self._per_s)


class _Worker(msgspec.Struct, frozen=True):
    seen_at: float
    wanted: int
    requests_per_minute: float | None
    tokens_per_minute: float | None


class RateLimiter:
    """Says when the next request may go. A limit that was set by hand counts; otherwise what the server names."""

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a limiter with full buckets.

        Args:
            requests_per_minute: Set by hand; None learns it.
            tokens_per_minute: Likewise.
            clock: Seconds that never go back.
        """
        self._clock = clock
        self._by_hand = (requests_per_minute, tokens_per_minute)
        self._learned: tuple[float | None, float | None] = (None, None)
        self._requests, self._tokens = _Bucket(), _Bucket()
        self._paused_until = -math.inf
        self._workers: dict[str, _Worker] = {}
        self._apply()

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """Requests and tokens per minute that hold now; None where nothing limits."""
        workers = self._workers.values()
        requests = [self._by_hand[0], *(worker.requests_per_minute for worker in workers)]
        tokens = [self._by_hand[1], *(worker.tokens_per_minute for worker in workers)]
        return _smallest(requests, self._learned[0]), _smallest(tokens, self._learned[1])

    @property
    def pause_s(self) -> float:
        """How long nothing may be sent."""
        return max(0.0, self._paused_until - self._clock())

    def take(self, tokens: float) -> float:
        """Take one request with its tokens.

        Returns:
            0 if it may go now. Otherwise nothing was taken, and it is worth asking again after so many seconds.
        """
        now = self._clock()
        wait_s = max(self._paused_until - now, self._requests.wait_s(now), self._tokens.wait_s(now))
        if wait_s > 0:
            return wait_s
        self._requests.take(1.0, now)
        self._tokens.take(tokens, now)
        return 0.0

    def owe(self, tokens: float) -> None:
        """Count tokens that were used beyond what was taken; below 0, give them back."""
        self._tokens.take(tokens, self._clock())

    def pause(self, seconds: float) -> None:
        """Let nothing through for so long; the longest pause counts."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def learn(self, limits: ServerLimits) -> None:
        """Take over what the server named; what it did not name stays."""
        requests, tokens = self._learned
        self._learned = (limits.requests_per_minute or requests, limits.tokens_per_minute or tokens)
        self._apply()
        now = self._clock()
        for bucket, remaining in ((self._requests, limits.remaining_requests), (self._tokens, limits.remaining_tokens)):
            if remaining is not None:
                bucket.at_most(remaining, now)

    def lease(self, ask: Ask) -> Lease:
        """Give a worker its part of what is there, in the proportion of what all want."""
        now = self._clock()
        self._note(ask, now)
        self._tokens.take(ask.owed, now)
        granted = min(ask.requests, self._share(ask, now))
        self._requests.take(granted, now)
        self._tokens.take(granted * ask.tokens, now)
        requests, tokens = self.limits
        endless = requests is None and tokens is None
        return Lease(None if endless else granted, ask.tokens, self.pause_s, len(self._workers), requests, tokens)

    def _note(self, ask: Ask, now: float) -> None:
        self._workers[ask.worker] = _Worker(now, max(0, ask.requests), ask.requests_per_minute, ask.tokens_per_minute)
        self._workers = {n: w for n, w in self._workers.items() if now - w.seen_at < _FORGET_WORKER_S}
        if ask.learned is not None:
            requests, tokens = self._learned
            self._learned = (ask.learned.requests_per_minute or requests, ask.learned.tokens_per_minute or tokens)
        self._apply()

    def _share(self, ask: Ask, now: float) -> int:
        """Whole requests; at least one where there is one, so that a small limit serves somebody."""
        by_tokens = max(0.0, self._tokens.level(now)) / max(1.0, ask.tokens)
        # A bucket that holds less than one request's tokens may still give one, and owes then.
        if 0 < by_tokens < 1 and self._tokens.wait_s(now) == 0:
            by_tokens = 1.0
        there = min(self._requests.level(now), by_tokens)
        if there == math.inf:
            return ask.requests
        part = max(0, ask.requests) / max(1, sum(worker.wanted for worker in self._workers.values()))
        return max(math.floor(there * min(1.0, part)), min(1, math.floor(there)))

    def _apply(self) -> None:
        now = self._clock()
        requests, tokens = self.limits
        self._requests.set_limit(requests, now)
        self._tokens.set_limit(tokens, now)


def _smallest(by_hand: list[float | None], learned: float | None) -> float | None:
    return min((limit for limit in by_hand if limit is not None), default=learned)


class RateGate(Protocol):
    """Where every attempt asks whether it may go, in one process or in a cluster."""

    async def enter(self, tokens: int) -> None:
        """Wait until one attempt of about so many tokens may go; first come, first served."""

    def settle(self, estimated: int, actual: int) -> None:
        """Say how many tokens an attempt really took."""

    def pause(self, seconds: float) -> None:
        """Let nobody go for so long."""

    def learn(self, limits: ServerLimits) -> None:
        """Hear what the server said about its limits."""


class LocalGate:
    """A gate for one process."""

    def __init__(self, limiter: RateLimiter | None = None) -> None:
        """Use a limiter; without one, only what the server names and its pauses hold."""
        self.limiter = limiter or RateLimiter()
        self._turn = asyncio.Lock()

    async def enter(self, tokens: int) -> None:
        """See `RateGate`."""
        if not self._turn.locked() and not self.limiter.take(tokens):
            return
        async with self._turn:
            while wait_s := self.limiter.take(tokens):
                await asyncio.sleep(wait_s)

    def settle(self, estimated: int, actual: int) -> None:
        """See `RateGate`."""
        self.limiter.owe(actual - estimated)

    def pause(self, seconds: float) -> None:
        """See `RateGate`."""
        self.limiter.pause(seconds)

    def learn(self, limits: ServerLimits) -> None:
        """See `RateGate`."""
        self.limiter.learn(limits)
