"""The calling loop: many requests in flight, every reply durable before it is passed on. No Ray inside.

A request's way: money is reserved (`Purse`), a place in the window and the rate limit's leave are waited for
(`Window`, `RateGate`), the journal notes that it goes out, the teacher is asked; a failure that passes is tried again
later, and a reply is durable before anybody hears of it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from kpray.errors import (
    BudgetSpentError,
    StorageError,
    TeacherBusyError,
    TeacherError,
    TeacherStoppedError,
    TeacherUnavailableError,
)
from kpray.ledger.journal import Journal, Known
from kpray.ledger.limits import LocalGate, RateGate, ServerLimits
from kpray.ledger.tokens import TokenMeter
from kpray.schemas import Reply, Request
from kpray.teachers.protocol import Teacher
from kpray.teachers.window import Window

if TYPE_CHECKING:
    from kpray.ledger.budget import Purse

Outcome = Reply | TeacherError
T = TypeVar("T")

_FIRST_BACKOFF_S: Final = 0.5
_LONGEST_BACKOFF_S: Final = 8.0


class _Shard(NamedTuple):
    """What the requests of one `answer` have in common."""

    journal: Journal
    known: Known
    writing: set[asyncio.Task[Outcome]]


class Engine:
    """Asks one teacher, with a bound on the requests under way.

    Several shards may be answered at once; they share the bound. All calls are made in one event loop's thread.

    Attributes:
        window: How many requests may be under way now.
        retried: Attempts after a request's first.
        asked_again: Requests whose answer may have been paid for already: an earlier run sent them and was killed.
    """

    def __init__(
        self,
        teacher: Teacher,
        *,
        in_flight: int,
        on_reply: Callable[[Request, Reply], None],
        gate: RateGate | None = None,
        purse: Purse | None = None,
        meter: TokenMeter | None = None,
        retry_for_s: float = 180.0,
    ) -> None:
        """Make an engine.

        Args:
            teacher: Whom to ask.
            in_flight: How many requests may be under way at once; the window never grows beyond it.
            on_reply: Called with every new reply, once it is durable.
            gate: Keeps the account's rate limits; None keeps those that the server names, for this engine alone.
            purse: Keeps the budget; None is no budget.
            meter: Estimates tokens; share it with the purse.
            retry_for_s: How long failing attempts and the waits between them may take, for one request. What it
                waits for a place, for the rate limits and while the server asks everyone to wait does not count.
        """
        self.window = Window(in_flight)
        self.retried = 0
        self.asked_again = 0
        self._teacher = teacher
        self._rendered = asyncio.Semaphore(in_flight)
        # One shard after the other: taking turns, all open shards would end together and leave the window empty.
        self._issuing = asyncio.Lock()
        self._on_reply = on_reply
        self._gate: RateGate = gate or LocalGate()
        self._purse = purse
        self._meter = meter or TokenMeter()
        self._retry_for_s = retry_for_s
        self._stopped: TeacherError | None = None
        self._limits: ServerLimits | None = None
        self._waits: set[asyncio.Timeout] = set()

    def stop(self, error: TeacherError) -> None:
        """Ask nothing more; what is not answered or on its way comes back as this error.

        A spent budget stops only requests for which no money was reserved yet.
        """
        if self._stopped is None or isinstance(self._stopped, BudgetSpentError):
            self._stopped = error
        if not isinstance(error, BudgetSpentError):
            waits, self._waits = self._waits, set()
            for wait in waits:
                wait.reschedule(0.0)  # which is over: the wait ends at once

    async def answer(self, requests: Iterable[Request], *, known: Known, journal: Journal) -> list[Outcome]:
        """Answer requests, in their order; nothing that is known is asked again.

        Requests are taken from the iterable one by one as places come free, so they may be rendered late.
        Equal requests (the same id) are asked once. A request that fails comes back as its error, so that
        one bad row never takes others with it; once the teacher has stopped, nothing more is asked. If this is
        cancelled, requests under way are given up, and replies that have arrived are written.
        """
        order: list[str] = []
        under_way: dict[str, asyncio.Task[Outcome]] = {}
        shard = _Shard(journal, known, set())
        try:
            async with self._issuing:
                for request in requests:
                    request_id = request.request_id
                    order.append(request_id)
                    if request_id in known.replies or request_id in under_way:
                        await asyncio.sleep(0)  # rendering must not keep the loop from replies that have landed
                        continue
                    await self._rendered.acquire()
                    under_way[request_id] = asyncio.create_task(self._answer(request, shard))
            if under_way:
                await asyncio.wait(under_way.values())
        except asyncio.CancelledError:
            for task in under_way.values():
                if task not in shard.writing:
                    task.cancel()
            raise
        finally:
            if under_way:
                await asyncio.wait(under_way.values())
        return [known.replies[i] if i in known.replies else under_way[i].result() for i in order]

    async def _answer(self, request: Request, shard: _Shard) -> Outcome:
        try:
            try:
                reply = await self._paid(request, shard)
            finally:
                self._rendered.release()
            task = asyncio.current_task()
            assert task is not None
            shard.writing.add(task)
            await shard.journal.append(reply)
            self._on_reply(request, reply)
        except (TeacherStoppedError, BudgetSpentError) as error:
            self.stop(error)
            return error
        except TeacherError as error:
            return error
        except StorageError as error:
            # Without a ledger every further reply would be paid for and lost.
            stopped = TeacherStoppedError(f"replies cannot be kept: {error}")
            self.stop(stopped)
            return stopped
        except Exception as error:  # noqa: BLE001 - one request's unforeseen failure must not take the others along
            return TeacherUnavailableError(f"{type(error).__name__}: {error}")
        return reply

    async def _paid(self, request: Request, shard: _Shard) -> Reply:
        if self._stopped:
            raise self._stopped.with_traceback(None)  # else it would grow with every request
        if self._purse is None:
            return await self._attempts(request, shard)
        reserved = await self._wait(self._purse.reserve(request))
        reply = None
        try:
            reply = await self._attempts(request, shard)
        finally:
            self._purse.settle(reserved, reply)
        return reply

    async def _attempts(self, request: Request, shard: _Shard) -> Reply:
        tokens = self._meter.prompt_tokens(request) + self._meter.completion_tokens(request)
        failing_s, attempt = 0.0, 0
        while True:
            await self._wait(self._leave_to_go(tokens))
            began = time.monotonic()
            try:
                self._note(request, shard, attempt)
                return await self._attempt(request, tokens)
            except TeacherBusyError as error:
                pause_s = random.uniform(0, min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2**attempt))
                failing_s += time.monotonic() - began + pause_s
                attempt += 1
                if failing_s >= self._retry_for_s:
                    raise TeacherUnavailableError(
                        f"no answer in {attempt} attempts: {error}. The next run asks again"
                    ) from error
            finally:
                self.window.leave()
            await self._wait(asyncio.sleep(pause_s))

    async def _leave_to_go(self, tokens: int) -> None:
        await self.window.enter()
        try:
            await self._gate.enter(tokens)
        except BaseException:
            self.window.leave()
            raise

    def _note(self, request: Request, shard: _Shard, attempt: int) -> None:
        if attempt:
            self.retried += 1
            return
        if not self._teacher.reads_scene:  # what is computed here cannot have been charged
            shard.journal.sent(request.request_id)
        self.asked_again += request.request_id in shard.known.in_doubt

    async def _attempt(self, request: Request, tokens: int) -> Reply:
        sent_at = time.monotonic()
        try:
            reply = await self._teacher.ask(request)
        except TeacherBusyError as error:
            self._gate.settle(tokens, 0)
            if error.retry_after_s:
                self._gate.pause(error.retry_after_s)
            if error.overloaded:
                self.window.overloaded(sent_at)
            raise
        finally:
            limits = self._teacher.server_limits
            if limits is not None and limits is not self._limits:
                self._limits = limits
                self._gate.learn(limits)
        self.window.succeeded(sent_at, time.monotonic() - sent_at)
        if reply.usage:
            self._gate.settle(tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens)
        self._meter.observe(request, reply.usage)
        return reply

    async def _wait(self, awaited: Coroutine[Any, Any, T]) -> T:
        """Wait for something that `stop` cuts short."""
        wait = asyncio.timeout(None)
        self._waits.add(wait)
        try:
            async with wait:
                self._raise_if_stopped()
                return await awaited
        except TimeoutError:
            self._raise_if_stopped()
            raise
        finally:
            self._waits.discard(wait)
            awaited.close()

    def _raise_if_stopped(self) -> None:
        if self._stopped and not isinstance(self._stopped, BudgetSpentError):
            raise self._stopped.with_traceback(None)
