"""Counts of a running job, gathered from all workers and shown on one line."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import msgspec
import ray

from kpray.pipelines.breaker import SHOWN, TRIAL, verdict
from kpray.pipelines.forecast import project
from kpray.schemas import Reply


class Tally(msgspec.Struct):
    """What one worker has done so far in this session.

    Attributes:
        replies: New replies.
        reused: Replies that were in the ledger already.
        retried: Attempts after the first.
        repairs: Requests for replies that had a fault.
        asked_again: Requests that had gone out before without an answer, from a process that was killed.
        prompt_tokens: Of the new replies, where the server counted.
        completion_tokens: Likewise.
        usd: Of the new replies, where the price is known.
        unpriced: New replies whose price is not known.
        usable: Whether a reply was of use.
        faults: What was wrong with the first replies while none was of use; a few are kept.
        faulty: How many those were.
    """

    replies: int = 0
    reused: int = 0
    retried: int = 0
    repairs: int = 0
    asked_again: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0
    usable: bool = False
    faulty: int = 0
    faults: list[str] = []

    def count(self, reply: Reply) -> None:
        """Add one new reply."""
        self.replies += 1
        if reply.usage:
            self.prompt_tokens += reply.usage.prompt_tokens
            self.completion_tokens += reply.usage.completion_tokens
        if reply.usd is None:
            self.unpriced += 1
        else:
            self.usd += reply.usd


_COUNTS = (
    "replies",
    "reused",
    "retried",
    "repairs",
    "asked_again",
    "prompt_tokens",
    "completion_tokens",
    "usd",
    "unpriced",
    "faulty",
)


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum over workers.

    >>> total([Tally(replies=2, usable=True), Tally(replies=3)]).replies
    5
    """
    whole = Tally()
    for tally in tallies:
        for name in _COUNTS:
            setattr(whole, name, getattr(whole, name) + getattr(tally, name))
        whole.usable = whole.usable or tally.usable
        whole.faults = [*whole.faults, *tally.faults][:SHOWN]
    return whole


class Orders(msgspec.Struct, frozen=True):
    """What the scoreboard tells a worker.

    Attributes:
        trial_over: Whether some worker has got a reply of use, so that nobody need look any more.
        stop: Why nothing more is to be asked, or None.
    """

    trial_over: bool
    stop: str | None


class Scoreboard:
    """The tallies of the whole cluster.

    Workers report all they have done, not what is new, so a scoreboard that was lost and restarted is soon
    complete again but for workers that are gone.
    """

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}

    def report(self, worker: str, tally: Tally) -> Orders:
        """Take a worker's tally and tell it what holds for all."""
        self._tallies[worker] = tally
        now = total(self._tallies.values())
        stop = verdict(now.faulty, now.faults) if not now.usable and now.faulty >= TRIAL else None
        return Orders(trial_over=now.usable, stop=stop)

    def tallies(self) -> dict[str, Tally]:
        """All tallies, by worker."""
        return self._tallies


class Reporter:
    """A worker's side of the scoreboard: counts, reports twice a second, and takes orders."""

    def __init__(self, scoreboard: Any, *, worker: str, on_stop: Callable[[str], None], every_s: float = 0.5) -> None:
        """Report to a `Scoreboard` actor; `on_stop` is called with the reason if the run is to end."""
        self._scoreboard = scoreboard
        self._worker = worker
        self._on_stop = on_stop
        self._every_s = every_s
        self._tally = Tally()
        self._sent_at = 0.0
        self._answer: Any = None
        self.on_trial = True

    def on_reply(self, reply: Reply, *, retried: int, asked_again: int) -> None:
        """Count a new reply; the other two are the engine's counts so far."""
        self._tally.count(reply)
        self._tally.retried, self._tally.asked_again = retried, asked_again
        if time.monotonic() - self._sent_at >= self._every_s:
            self.flush()

    def on_reused(self, count: int) -> None:
        """Count replies that did not have to be asked for."""
        self._tally.reused += count

    def on_repairs(self, count: int) -> None:
        """Count requests that were not planned, for replies that had a fault."""
        self._tally.repairs += count

    def on_verdict(self, fault: str | None) -> None:
        """Note whether one of the first replies was of use."""
        if fault is None:
            self._tally.usable, self.on_trial = True, False
            return
        self._tally.faulty += 1
        if len(self._tally.faults) < SHOWN:
            self._tally.faults = [*self._tally.faults, fault]
        if self._tally.faulty >= TRIAL:
            self._on_stop(verdict(self._tally.faulty, self._tally.faults))

    def flush(self) -> None:
        """Report, and take the orders that came with the last report."""
        self._take_orders()
        self._answer = self._scoreboard.report.remote(self._worker, self._tally)
        self._sent_at = time.monotonic()

    def _take_orders(self) -> None:
        if self._answer is None or not ray.wait([self._answer], timeout=0)[0]:
            return
        with contextlib.suppress(ray.exceptions.RayError):  # the scoreboard was lost: the next report tells it all
            orders: Orders = ray.get(self._answer)
            self.on_trial = self.on_trial and not orders.trial_over
            if orders.stop:
                self._on_stop(orders.stop)


class Money(msgspec.Struct, frozen=True):
    """What a run may cost and has cost before this session.

    Attributes:
        spent_usd: By earlier sessions.
        max_usd: For all sessions together, or None.
    """

    spent_usd: float = 0.0
    max_usd: float | None = None


class ProgressLine:
    """Shows the scoreboard on a stream, once a second on a terminal and every ten seconds in a log.

    Attributes:
        seen: The last tally of every worker that was seen, also of those that are gone.
    """

    def __init__(self, scoreboard: Any, *, requests: int, money: Money, stream: TextIO | None = None) -> None:
        """Prepare to show progress towards a number of requests."""
        self.seen: dict[str, Tally] = {}
        self._scoreboard = scoreboard
        self._requests = requests
        self._money = money
        self._stream = stream or sys.stderr
        self._started = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> ProgressLine:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def tally(self) -> Tally:
        """What all workers have done, as far as was seen."""
        return total(self.seen.values())

    def _run(self) -> None:
        terminal = self._stream.isatty()
        shown_at = time.monotonic()
        while not self._done.wait(1):
            self._look()
            if terminal or time.monotonic() - shown_at >= 10:
                shown_at = time.monotonic()
                self._show("\r\x1b[K" if terminal else "", "" if terminal else "\n")
        self._look()
        self._show("\r\x1b[K" if terminal else "", "\n")

    def _look(self) -> None:
        with contextlib.suppress(ray.exceptions.RayError, TimeoutError):
            self.seen |= ray.get(self._scoreboard.tallies.remote(), timeout=5)

    def _show(self, before: str, after: str) -> None:
        line = describe(
            self.tally, requests=self._requests, elapsed_s=time.monotonic() - self._started, money=self._money
        )
        self._stream.write(f"{before}{line}{after}")
        self._stream.flush()


def describe(tally: Tally, *, requests: int, elapsed_s: float, money: Money = Money()) -> str:  # noqa: B008 - frozen
    """One line: how far, how fast, how long still, and what it costs.

    >>> describe(Tally(replies=30, reused=20), requests=100, elapsed_s=15)
    '50/100 replies (20 from the ledger), 2.0/s, 0:25 left'
    >>> priced = Tally(replies=30, prompt_tokens=900, completion_tokens=300, usd=0.6)
    >>> describe(priced, requests=60, elapsed_s=15, money=Money(spent_usd=1.0, max_usd=5.0))
    '30/60 replies, 2.0/s, 900 + 300 tokens, $1.60 of $5.00 spent, $2.20 expected, 0:15 left'
    """
    done = tally.replies + tally.reused
    requests += tally.repairs
    rate = tally.replies / elapsed_s if elapsed_s > 0 else 0.0
    parts = [f"{done:,}/{requests:,} replies" + (f" ({tally.reused:,} from the ledger)" if tally.reused else "")]
    if tally.repairs:
        parts.append(f"{tally.repairs:,} for faults")
    parts.append(f"{rate:.1f}/s")
    if tally.prompt_tokens:
        parts.append(f"{tally.prompt_tokens:,} + {tally.completion_tokens:,} tokens")
    parts += _describe_money(tally, requests - done, money)
    if rate > 0 and done < requests:
        left_s = round((requests - done) / rate)
        parts.append(f"{left_s // 60}:{left_s % 60:02d} left")
    return ", ".join(parts)


def _describe_money(tally: Tally, left: int, money: Money) -> list[str]:
    priced = tally.replies - tally.unpriced
    if not priced or not tally.usd:
        return []
    spent = money.spent_usd + tally.usd
    limit = f" of ${money.max_usd:,.2f}" if money.max_usd is not None else ""
    whole = money.spent_usd + (project(tally.usd, priced, left) or 0.0)
    return [f"${spent:,.2f}{limit} spent", *([f"${whole:,.2f} expected"] if left > 0 else [])]
