"""One budget for all workers of a run: an actor lends money in pieces, and workers pay from what they hold.

No worker ever sets aside more than it has been lent, and the treasury never lends more than is left, so all workers
together keep the limit however many they are. Pieces are large while there is plenty and as small as one reservation
near the end; money that a worker has no use for goes back.

What is lent is written down before it is lent. A treasury that was lost and restarted by Ray reads that and goes on; a
piece that was written down and never arrived counts as lent to that worker, who gets it with its next question: all
sums in questions and answers are totals, so that a question asked twice is answered twice with the same money.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import msgspec
import ray

from kpray import storage
from kpray.errors import TeacherStoppedError
from kpray.ledger.budget import Budget, actual_usd, budget_spent, most_usd
from kpray.ledger.prices import ModelPrice
from kpray.ledger.tokens import TokenMeter
from kpray.schemas import Reply, Request

_PIECE: Final = 128
"""So many reservations are lent at once at most: what a worker that dies takes with it."""

_SILENCE_S: Final = 60.0
"""A worker that has not been heard of for so long is gone; nothing of what it holds is expected back."""

_BEAT_S: Final = 1.0
"""How often a worker that holds money reports."""

_AGAIN_S: Final = 0.25
"""How often a worker asks that waits for others to give money back."""

_TOLERANCE: Final = 1e-9


class Account(msgspec.Struct):
    """One worker's, in USD, from the beginning of the session.

    Attributes:
        lent: What it may spend in all.
        spent: What it has spent of that; more than `lent` if replies cost more than was set aside.
    """

    lent: float = 0.0
    spent: float = 0.0

    @property
    def taken(self) -> float:
        """What nobody else can have."""
        return max(self.lent, self.spent)


class Lease(msgspec.Struct, frozen=True):
    """An answer of the treasury.

    Attributes:
        lent: What the worker may spend in all, in USD.
        hope: Whether money may come free that is enough, if it is not yet.
        spent: What all workers and earlier sessions have spent.
    """

    lent: float
    hope: bool
    spent: float


class _State(msgspec.Struct):
    session: str
    accounts: dict[str, Account]


class Treasury:
    """The budget of one session of a run. Knows no Ray: `open_treasury` makes an actor of it."""

    def __init__(
        self,
        path: str,
        *,
        session: str,
        limit_usd: float,
        spent_usd: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the books, or go on with those of the same session.

        Args:
            path: The file of the books; another session's are replaced.
            session: Names the session.
            limit_usd: For the whole run.
            spent_usd: By earlier sessions.
            clock: In seconds.
        """
        self._path = path
        self._session = session
        self._limit = limit_usd
        self._before = spent_usd
        self._clock = clock
        self._accounts = self._read()
        self._heard = dict.fromkeys(self._accounts, clock())

    def lease(self, worker: str, spent: float, reserved: float, wanted: float) -> Lease:
        """Lend a worker enough to set one more sum aside, and some more while there is plenty.

        A worker that cannot get it gives back what it has no use for, so that two workers that each hold half of a
        reservation do not wait for each other.

        Args:
            worker: Who asks.
            spent: What it has spent in all.
            reserved: What it has set aside for requests under way.
            wanted: What it wants to set aside besides.
        """
        account = self._hear(worker, spent)
        least = spent + reserved + wanted
        missing = least - account.lent
        free = self._limit - self._before - sum(a.taken for a in self._accounts.values())
        if missing <= free + _TOLERANCE:
            if missing > 0:
                share = free / (2 * len(self._accounts))
                account.lent += min(free, max(missing, min(share, _PIECE * wanted))) if free > 0 else 0.0
                self._write()
            return self._answer(account, hope=True)
        account.lent = spent + reserved
        fits = self._spent() + wanted <= self._limit + _TOLERANCE
        return self._answer(account, hope=fits and any(map(self._expects_from, self._accounts)))

    def report(self, worker: str, spent: float, reserved: float) -> Lease:
        """Hear what a worker has spent; one with nothing under way gives back what it holds."""
        account = self._hear(worker, spent)
        if not reserved:
            account.lent = spent
        return self._answer(account, hope=True)

    def spent(self) -> float:
        """What has been spent so far, in USD, as far as reported; earlier sessions counted in."""
        return self._spent()

    def _hear(self, worker: str, spent: float) -> Account:
        account = self._accounts.setdefault(worker, Account())
        account.spent = max(account.spent, spent)
        self._heard[worker] = self._clock()
        return account

    def _spent(self) -> float:
        return self._before + sum(account.spent for account in self._accounts.values())

    def _expects_from(self, worker: str) -> bool:
        account = self._accounts[worker]
        return account.lent > account.spent + _TOLERANCE and self._clock() - self._heard[worker] < _SILENCE_S

    def _answer(self, account: Account, *, hope: bool) -> Lease:
        return Lease(account.lent, hope, self._spent())

    def _read(self) -> dict[str, Account]:
        if not storage.exists(self._path):
            return {}
        state = msgspec.json.decode(storage.read_bytes(self._path), type=_State)
        return state.accounts if state.session == self._session else {}

    def _write(self) -> None:
        storage.write_bytes(self._path, msgspec.json.encode(_State(self._session, self._accounts)))


def open_treasury(run: str, *, limit_usd: float, spent_usd: float) -> Any:
    """Start the treasury of a new session as an actor that Ray keeps alive.

    Args:
        run: The run's folder; the books are kept in it.
        limit_usd: For all sessions of the run.
        spent_usd: By the earlier ones.

    Returns:
        The actor's handle, for `LeasedPurse`; the actor ends with the handle.
    """
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Treasury)
    path = storage.join(run, "treasury.json")
    return actor.remote(path, session=uuid.uuid4().hex, limit_usd=limit_usd, spent_usd=spent_usd)


class LeasedPurse:
    """One worker's part of a run's budget; a `kpray.ledger.budget.Purse`."""

    def __init__(self, treasury: Any, *, limit_usd: float, price: ModelPrice, meter: TokenMeter) -> None:
        """Pay from what a treasury lends.

        Args:
            treasury: The actor.
            limit_usd: The run's limit, for messages.
            price: Of the model.
            meter: Knows how long requests and replies are.
        """
        self._treasury = treasury
        self._limit = limit_usd
        self._price = price
        self._meter = meter
        self._worker = uuid.uuid4().hex
        self._held = Budget(0.0)
        self._asking = asyncio.Lock()
        self._settled = asyncio.Event()
        self._refusal: Lease | None = None
        self._refused_at = 0.0
        self._beat: asyncio.Task[None] | None = None

    async def reserve(self, request: Request) -> float:
        """See `Purse`."""
        while True:
            usd = most_usd(request, self._price, self._meter)  # anew: the meter learns meanwhile
            if not self._asking.locked() and self._take(usd):
                return usd
            async with self._asking:
                # Nothing is set aside while the treasury is asked, so that it reckons with the truth.
                if self._take(usd):
                    return usd
                lease = self._fresh_refusal() or await self._ask("lease", usd)
                if self._take(usd):
                    return usd
                self._note_refusal(lease)
            if not lease.hope:
                raise budget_spent(self._limit, lease.spent)
            self._settled.clear()
            await _either(self._settled, _AGAIN_S)

    def _take(self, usd: float) -> bool:
        taken = self._held.try_reserve(usd)
        if taken and (self._beat is None or self._beat.done()):
            self._beat = asyncio.create_task(self._report())
        return taken

    def _fresh_refusal(self) -> Lease | None:
        """What another request has just been told; so one question at a time goes out, however many wait."""
        return self._refusal if time.monotonic() - self._refused_at < _AGAIN_S else None

    def _note_refusal(self, lease: Lease) -> None:
        if lease is not self._refusal:
            self._refusal, self._refused_at = lease, time.monotonic()

    def settle(self, reserved: float, reply: Reply | None) -> None:
        """See `Purse`."""
        self._held.settle(reserved, actual_usd(reply, reserved, self._price))
        self._settled.set()

    async def _ask(self, method: str, *more: float) -> Lease:
        answer = asyncio.ensure_future(self._call(method, *more))
        try:
            return await asyncio.shield(answer)
        finally:
            await asyncio.wait([answer])  # when this is cancelled too: the treasury reckons with what it answers

    async def _call(self, method: str, *more: float) -> Lease:
        ask = getattr(self._treasury, method)
        try:
            lease: Lease = await ask.remote(self._worker, self._held.spent, self._held.reserved, *more)
        except ray.exceptions.RayError as error:
            raise TeacherStoppedError(
                f"the actor that keeps the budget cannot be reached ({error}); run the same command again"
            ) from error
        self._held.limit = lease.lent
        return lease

    async def _report(self) -> None:
        """Report until nothing is under way and everything has been given back."""
        with contextlib.suppress(TeacherStoppedError):  # the next reservation meets it too
            while True:
                await asyncio.sleep(_BEAT_S)
                async with self._asking:
                    await self._ask("report")
                    if not self._held.reserved:
                        return


async def _either(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
