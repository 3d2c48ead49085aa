"""One account's rate limits, kept by all workers of all runs on a cluster together.

A limiter actor leases requests to the workers, which ask about twice a second; between that a worker's gate decides by
itself. No run depends on the actor: where it is lost, every worker goes on with its part of the last known limits,
and makes a new one, which hears of the limits from the workers.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import time
import uuid
from collections import deque
from typing import Any, Final

import ray

from kpray.ledger.limits import Ask, Lease, RateLimiter, ServerLimits

NAMESPACE: Final = "kpray"

_BEAT_S: Final = 0.5
"""Between two leases; also how long a pause takes to reach everyone."""

_SOONEST_S: Final = 0.1
"""Between two leases while the limits are wide and the worker has used up what it was given."""

_PATIENCE_S: Final = 2.0
"""A worker that has waited for so long for a lease helps itself."""

_GIVE_UP_S: Final = 10.0
"""A limiter that has not answered for so long is looked for anew."""

_FIRST_REQUESTS: Final = 16
_HEADROOM: Final = 2
"""A worker wants so many times what it used in the last beat, and gives back what is more."""

_MEMORY: Final = 0.1
"""Weight of the newest request in the usual number of tokens."""


def account_name(base_url: str, key: str, model: str) -> str:
    """The limiter's name: the same for all who share limits. The key cannot be read from it."""
    return f"limits-{hashlib.blake2b(repr((base_url, key, model)).encode(), digest_size=12).hexdigest()}"


class Limiter:
    """The actor: a `RateLimiter` that workers ask from afar."""

    def __init__(self) -> None:
        self._limiter = RateLimiter()

    def lease(self, ask: Ask) -> Lease:
        """See `RateLimiter.lease`."""
        return self._limiter.lease(ask)

    def pause(self, seconds: float) -> None:
        """Let nobody send for so long; workers hear of it with their next lease."""
        self._limiter.pause(seconds)


def find_limiter(account: str) -> Any:
    """The account's limiter actor, made if there is none; who made it should keep the handle, as it ends with that."""
    actor = ray.remote(num_cpus=0, max_restarts=-1)(Limiter)
    return actor.options(name=account, namespace=NAMESPACE, get_if_exists=True).remote()


class LeasedGate:
    """A worker's gate (see `RateGate`); leases are renewed in the background from the first request on."""

    def __init__(
        self, account: str, *, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        """Make a gate; the limiter is looked for with the first request.

        Args:
            account: What `account_name` gives.
            requests_per_minute: Set by hand, for all workers together; None learns it from the server.
            tokens_per_minute: Likewise.
        """
        self._account = account
        self._by_hand = (requests_per_minute, tokens_per_minute)
        self._worker = uuid.uuid4().hex
        self._limiter: Any = None
        self._lease: Lease | None = None
        self._learned: ServerLimits | None = None
        # Without limits set by hand nobody has to wait for the first lease.
        self._left = math.inf if self._by_hand == (None, None) else 0.0
        self._left_tokens = 0.0
        self._asked_for = 0
        self._used = 0
        self._owed = 0.0
        self._usual_tokens = 0.0
        self._paused_until = -math.inf
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._used_up = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None

    async def enter(self, tokens: int) -> None:
        """See `RateGate`."""
        self._usual_tokens += (_MEMORY if self._usual_tokens else 1.0) * (tokens - self._usual_tokens)
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew_for_ever())
        if not self._waiting and self._may_go():
            self._go(tokens)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, tokens))
        if self._left < 1:
            self._used_up.set()
        await turn

    def settle(self, estimated: int, actual: int) -> None:
        """See `RateGate`."""
        self._owed += actual - estimated

    def pause(self, seconds: float) -> None:
        """See `RateGate`; the others hear of it within a beat."""
        if self._pause_here(seconds) and self._limiter is not None:
            self._limiter.pause.remote(seconds)

    def learn(self, limits: ServerLimits) -> None:
        """See `RateGate`; the limiter hears of it with the next lease."""
        self._learned = limits

    async def aclose(self) -> None:
        """Ask for no more leases."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
            self._renewing = None

    def _may_go(self) -> bool:
        return self._left >= 1 and time.monotonic() >= self._paused_until

    def _go(self, tokens: int) -> None:
        # What a leased request was counted with goes, what it takes is owed.
        counted = self._left_tokens / self._left if math.isfinite(self._left) else 0.0
        self._left_tokens -= counted
        self._owed += tokens - counted
        self._left -= 1
        self._used += 1

    def _let_in(self) -> None:
        while self._waiting and self._may_go():
            turn, tokens = self._waiting.popleft()
            if not turn.done():
                self._go(tokens)
                turn.set_result(None)

    def _pause_here(self, seconds: float) -> bool:
        """Whether that is news; many requests and leases bring the same."""
        until = time.monotonic() + seconds
        if until < self._paused_until + 0.1:
            return False
        self._paused_until = until
        asyncio.get_running_loop().call_later(seconds + 0.001, self._let_in)
        return True

    async def _renew_for_ever(self) -> None:
        while True:
            lease = await self._next_lease()
            if lease is None:
                self._help_itself()
                await asyncio.sleep(_BEAT_S)
            else:
                self._take(lease)
                await self._beat(in_full=lease.requests is None or lease.requests >= self._asked_for)

    async def _next_lease(self) -> Lease | None:
        """A lease, or None where the limiter cannot be reached. It does not stand still while that takes long."""
        asked = asyncio.create_task(self._ask())
        try:
            await asyncio.wait([asked], timeout=_PATIENCE_S)
            give_up_at = time.monotonic() + _GIVE_UP_S - _PATIENCE_S
            while not asked.done() and time.monotonic() < give_up_at:
                if self._lease is not None:
                    self._help_itself()
                await asyncio.wait([asked], timeout=_BEAT_S)
            if asked.done():
                return asked.result()
        finally:
            asked.cancel()
        self._limiter = None
        return None

    async def _ask(self) -> Lease | None:
        try:
            if self._limiter is None:
                self._limiter = await asyncio.to_thread(find_limiter, self._account)
            ask = self._wanted()
            lease: Lease = await self._limiter.lease.remote(ask)
        except Exception:  # noqa: BLE001 - whatever ails the limiter or Ray must not reach the run
            self._limiter = None
            return None
        self._owed -= ask.owed
        return lease

    def _wanted(self) -> Ask:
        left = math.floor(self._left) if math.isfinite(self._left) else 0
        used = max(self._used, 0 if self._lease else _FIRST_REQUESTS)
        self._asked_for, self._used = _HEADROOM * used + len(self._waiting) - left, 0
        giving_back = self._asked_for < 0
        tokens = self._left_tokens / self._left if giving_back else self._usual_tokens
        return Ask(self._worker, self._asked_for, tokens, self._owed, *self._by_hand, self._learned)

    def _take(self, lease: Lease) -> None:
        self._lease = lease
        if lease.requests is None:
            self._left, self._left_tokens = math.inf, 0.0
        else:
            left = self._left if math.isfinite(self._left) else 0.0
            self._left = max(0.0, left + lease.requests)  # it may have used what it wanted to give back
            self._left_tokens = max(0.0, self._left_tokens + lease.requests * lease.tokens)
        if lease.pause_s > 0:
            self._pause_here(lease.pause_s)
        self._let_in()

    def _help_itself(self) -> None:
        """Go on for a beat with this worker's part of the limits as they were known last."""
        requests, tokens = self._by_hand
        if self._lease:
            requests, tokens = self._lease.requests_per_minute, self._lease.tokens_per_minute
        by_tokens = tokens / self._usual_tokens if tokens and self._usual_tokens else math.inf
        per_minute = min(requests or math.inf, by_tokens) / (self._lease.workers if self._lease else 1)
        self._left = min(self._left + per_minute / 60 * _BEAT_S, max(1.0, per_minute / 60))
        self._let_in()

    async def _beat(self, *, in_full: bool) -> None:
        """Wait until it is time for the next lease."""
        if not in_full:
            # It waits for the limits. The beat varies, so that no worker is always the first to ask.
            await asyncio.sleep(_BEAT_S * random.uniform(0.8, 1.0))
            return
        self._used_up.clear()
        if not self._waiting or self._left >= 1:
            try:
                async with asyncio.timeout(_BEAT_S):
                    await self._used_up.wait()
            except TimeoutError:
                return
        await asyncio.sleep(_SOONEST_S)
