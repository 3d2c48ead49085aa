"""Counts of a running job, gathered from all workers and shown on one line."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any, TextIO

import msgspec
import ray

from kpray.schemas import Reply


class Tally(msgspec.Struct):
    """What has been answered so far in this run.

    Attributes:
        replies: New replies.
        reused: Replies that were in the ledger already.
        prompt_tokens: Of the new replies, where the server counted.
        completion_tokens: Likewise.
    """

    replies: int = 0
    reused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def count(self, reply: Reply) -> None:
        """Add one new reply."""
        self.replies += 1
        if reply.usage:
            self.prompt_tokens += reply.usage.prompt_tokens
            self.completion_tokens += reply.usage.completion_tokens

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Scoreboard:
    """One tally for the whole cluster; losing it costs the display, nothing else."""

    def __init__(self) -> None:
        self._total = Tally()

    def add(self, tally: Tally) -> None:
        """Add a worker's news."""
        self._total.add(tally)

    def total(self) -> Tally:
        """What all workers have reported."""
        return self._total


class Reporter:
    """A worker's side of the scoreboard: gathers and sends a few times a second."""

    def __init__(self, scoreboard: Any, *, every_s: float = 0.5) -> None:
        """Report to a `Scoreboard` actor."""
        self._scoreboard = scoreboard
        self._every_s = every_s
        self._news = Tally()
        self._sent_at = 0.0

    def on_reply(self, reply: Reply) -> None:
        """Count a new reply."""
        self._news.count(reply)
        if time.monotonic() - self._sent_at >= self._every_s:
            self.flush()

    def on_reused(self, count: int) -> None:
        """Count replies that did not have to be asked for."""
        self._news.reused += count

    def flush(self) -> None:
        """Send what has not been sent."""
        self._scoreboard.add.remote(self._news)
        self._news = Tally()
        self._sent_at = time.monotonic()


class ProgressLine:
    """Shows the scoreboard on a stream, once a second on a terminal and every ten seconds in a log."""

    def __init__(self, scoreboard: Any, *, requests: int, stream: TextIO | None = None) -> None:
        """Prepare to show progress towards a number of requests."""
        self._scoreboard = scoreboard
        self._requests = requests
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

    def _run(self) -> None:
        terminal = self._stream.isatty()
        while not self._done.wait(1 if terminal else 10):
            self._show("\r\x1b[K" if terminal else "", "" if terminal else "\n")
        self._show("\r\x1b[K" if terminal else "", "\n")

    def _show(self, before: str, after: str) -> None:
        try:
            tally: Tally = ray.get(self._scoreboard.total.remote(), timeout=5)
        except (ray.exceptions.RayError, TimeoutError):
            return
        line = describe(tally, requests=self._requests, elapsed_s=time.monotonic() - self._started)
        self._stream.write(f"{before}{line}{after}")
        self._stream.flush()


def describe(tally: Tally, *, requests: int, elapsed_s: float) -> str:
    """One line: how far, how fast, how long still.

    >>> describe(Tally(replies=30, reused=20), requests=100, elapsed_s=15)
    '50/100 replies (20 from the ledger), 2.0/s, 0:25 left'
    """
    done = tally.replies + tally.reused
    rate = tally.replies / elapsed_s if elapsed_s > 0 else 0.0
    parts = [f"{done:,}/{requests:,} replies" + (f" ({tally.reused:,} from the ledger)" if tally.reused else "")]
    parts.append(f"{rate:.1f}/s")
    if tally.prompt_tokens:
        parts.append(f"{tally.prompt_tokens:,} + {tally.completion_tokens:,} tokens")
    if rate > 0 and done < requests:
        left_s = round((requests - done) / rate)
        parts.append(f"{left_s // 60}:{left_s % 60:02d} left")
    return ", ".join(parts)
