"""Requests become replies, each paid once: what the ledger holds is not asked, and equal requests are asked together.

The `Engine` does the asking. It stops for good when a key is refused or the budget is used up, as a run should; a judge
that stays up gets a new one, after a while, in case a person has mended it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from kpray.errors import BudgetSpentError, TeacherError, TeacherStoppedError, TeacherUnavailableError
from kpray.judges.books import Books
from kpray.ledger.budget import LocalPurse
from kpray.ledger.journal import Known
from kpray.ledger.limits import LocalGate
from kpray.ledger.tokens import TokenMeter
from kpray.schemas import Reply, Request
from kpray.teachers.engine import Engine, Outcome
from kpray.teachers.protocol import Teacher

_LOGGER = logging.getLogger(__name__)

_REST_S: Final = 30.0
"""How long a server that cannot be asked (a wrong key, no quota) is left alone."""

_RECENT: Final = 4096
"""Replies at hand for who has read the ledger just before they came."""


class Calls(msgspec.Struct, frozen=True):
    """How a server is asked.

    Attributes:
        in_flight: Requests at a time.
        retry_for_s: How long failing attempts at one request may take.
        patience_s: A server that asks for a longer pause counts as away.
    """

    in_flight: int = 32
    retry_for_s: float = 180.0
    patience_s: float = 600.0


class Answered(msgspec.Struct, frozen=True):
    """What came of a request.

    Attributes:
        outcome: The reply, or why there is none.
        asked: Whether it was sent now and for whoever hears this; of several who wait for one request, one does.
        retry_after_s: Where there is no reply: when it is worth another try; None where nobody knows.
    """

    outcome: Outcome
    asked: bool
    retry_after_s: float | None = None


class ImpatientGate(LocalGate):
    """A gate that does not let anyone wait for a pause longer than a bound."""

    def __init__(self, patience_s: float) -> None:
        super().__init__()
        self._patience_s = patience_s
        self._line = asyncio.Lock()

    @property
    def long_pause_s(self) -> float:
        """How long the pause is still; 0 where it is none or bearable."""
        pause_s = self.limiter.pause_s
        return pause_s if pause_s > self._patience_s else 0.0

    async def enter(self, tokens: int) -> None:
        """See `RateGate`.

        Raises:
            TeacherUnavailableError: The server has asked for a longer pause.
        """
        async with self._line:
            while wait_s := self.limiter.take(tokens):
                if pause_s := self.long_pause_s:
                    raise TeacherUnavailableError(f"the judge's server asks everyone to wait {pause_s:.0f} s")
                await asyncio.sleep(wait_s)


class _Job:
    """A request that is being answered, and how many wait for it."""

    def __init__(self) -> None:
        self.waiting = 0
        self.sent = False
        self.task: asyncio.Task[Outcome]


class Asker:
    """Asks one server for one ledger. All calls are made in one event loop's thread."""

    def __init__(
        self,
        teacher: Teacher,
        books: Books,
        calls: Calls,
        *,
        on_reply: Callable[[Request, Reply], None],
        purse: LocalPurse | None = None,
        meter: TokenMeter | None = None,
    ) -> None:
        """Ask nothing yet.

        Args:
            teacher: Whom to ask.
            books: Where replies are kept.
            calls: How.
            on_reply: Called with every reply that was paid for, once it is durable.
            purse: Keeps the budget; None is no budget.
            meter: Estimates tokens; share it with the purse.
        """
        self._teacher, self._books, self._calls = teacher, books, calls
        self._on_reply, self._purse, self._meter = on_reply, purse, meter or TokenMeter()
        self._gate = ImpatientGate(calls.patience_s)
        self._places = asyncio.Semaphore(calls.in_flight)
        self._jobs: dict[str, _Job] = {}
        self._recent: OrderedDict[str, Reply] = OrderedDict()
        self._engine = self._new_engine()
        self._stopped: TeacherStoppedError | None = None
        self._rests_until = 0.0

    @property
    def away_s(self) -> float:
        """How long nothing will be asked; 0 where it can be."""
        resting_s = self._rests_until - time.monotonic() if self._stopped else 0.0
        return max(0.0, resting_s, self._gate.long_pause_s)

    async def answer(self, request: Request, known: Known) -> Answered:
        """Answer a request.

        When this is cancelled, a request that went out is received and kept; one that did not, and that nobody else
        waits for, is not sent.

        Args:
            request: What to ask.
            known: What the ledger held a moment ago.
        """
        request_id = request.request_id
        reply = known.replies.get(request_id) or self._recent.get(request_id)
        if reply is not None:
            return Answered(reply, asked=False)
        job = self._jobs.get(request_id)
        first = job is None
        if job is None:
            job = self._start(request, known)
        job.waiting += 1
        try:
            outcome = await asyncio.shield(job.task)
        finally:
            job.waiting -= 1
            if not job.waiting and not job.sent:
                job.task.cancel()
                self._forget(request_id, job)
        asked = first and isinstance(outcome, Reply)
        return Answered(outcome, asked, None if isinstance(outcome, Reply) else self.away_s or None)

    async def aclose(self) -> None:
        """Wait for what is on its way, give up the rest, and close files and connections."""
        self._engine.stop(TeacherStoppedError("the judge is being closed"))  # which ends all waits
        jobs = list(self._jobs.values())
        for job in jobs:
            if not job.sent:
                job.task.cancel()
        if jobs:
            await asyncio.wait([job.task for job in jobs])
        await asyncio.to_thread(self._books.close)
        await self._teacher.aclose()

    def _start(self, request: Request, known: Known) -> _Job:
        job = self._jobs[request.request_id] = _Job()
        job.task = asyncio.create_task(self._ask(request, known, job))
        return job

    async def _ask(self, request: Request, known: Known, job: _Job) -> Outcome:
        try:
            async with self._places:
                if self._stopped and self.away_s:
                    return self._stopped
                job.sent = True
                outcome = await self._asked(request, known)
            if isinstance(outcome, Reply):
                self._keep(request.request_id, outcome)
            return outcome
        finally:
            self._forget(request.request_id, job)

    async def _asked(self, request: Request, known: Known) -> Outcome:
        engine = self._engine
        with self._books.journal(request.scene_id) as journal:
            (outcome,) = await engine.answer([request], known=known, journal=journal)
        if isinstance(outcome, BudgetSpentError | TeacherStoppedError) and engine is self._engine:
            self._engine = self._new_engine()  # a smaller request may fit the budget, and a key may be mended
        if isinstance(outcome, TeacherStoppedError):
            self._stopped, self._rests_until = outcome, time.monotonic() + _REST_S
            _LOGGER.error("the judge rests for %.0f s: %s", _REST_S, outcome)
        return outcome

    def _keep(self, request_id: str, reply: Reply) -> None:
        self._stopped = None
        self._recent[request_id] = reply
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)

    def _forget(self, request_id: str, job: _Job) -> None:
        if self._jobs.get(request_id) is job:
            del self._jobs[request_id]

    def _new_engine(self) -> Engine:
        return Engine(
            self._teacher,
            in_flight=self._calls.in_flight,
            on_reply=self._on_reply,
            gate=self._gate,
            purse=self._purse,
            meter=self._meter,
            retry_for_s=self._calls.retry_for_s,
        )


def reason_of(error: TeacherError) -> str:
    """The short name of why there is no reply."""
    return "budget_spent" if isinstance(error, BudgetSpentError) else "no_reply"
