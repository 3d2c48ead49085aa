"""The thread that computes: between two steps, whoever is done leaves and whoever waits joins."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

import torch

from kpray.serving.engines.batch import Batch
from kpray.serving.engines.rows import Piece, Row
from kpray.serving.engines.sampling import next_tokens
from kpray.serving.errors import ApiError, overloaded

_LOG = logging.getLogger(__name__)

_PREFILL_TOKENS: Final = 8192
"""Prompt tokens read in one pass, so that answers under way do not stand still for long."""

_FAILURES: Final = 3
"""So many steps that failed one after the other mean that the model is broken, not a request."""


class Scheduler:
    """Answers rows in one batch that never stops to wait for its slowest.

    Args:
        batch: Where rows are computed.
        size: Rows at a time.
        wait_s: How long the first row of an empty batch waits for others that are being prepared.
        coming: How many are being prepared.
    """

    def __init__(self, batch: Batch, *, size: int, wait_s: float, coming: Callable[[], int]) -> None:
        self._batch, self._size, self._wait_s, self._coming = batch, size, wait_s, coming
        self._rows: list[Row] = []
        self._waiting: deque[Row] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="kpray-engine", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Rows that wait for a place."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Rows in the batch."""
        return len(self._rows)

    def submit(self, row: Row) -> None:
        """Put a row in the queue.

        Raises:
            ApiError: 503; it was closed.
        """
        with self._changed:
            if self._closed:
                raise overloaded("this copy of the model is shutting down")
            self._waiting.append(row)
            self._changed.notify()

    def close(self) -> None:
        """Finish the rows that are here, then end; waits for it."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def check(self) -> None:
        """Raise if nothing can be computed any more.

        Raises:
            RuntimeError: The thread ended, or step after step failed.
        """
        if not self._thread.is_alive() and not self._closed:
            raise RuntimeError("the thread that computes has ended")
        if self._failures >= _FAILURES:
            raise RuntimeError(f"the last {self._failures} steps of the model failed; see the log")

    def _run(self) -> None:
        while (newcomers := self._next()) is not None:
            try:
                with torch.inference_mode():
                    self._work(newcomers)
                self._failures = 0
            except Exception:  # noqa: BLE001 - whatever it was, the next rows need this thread
                _LOG.exception("a step of the model failed")
                self._failures += 1
                self._fail(newcomers)

    def _next(self) -> list[Row] | None:
        """Rows that join now; None when there is nothing more to do."""
        with self._changed:
            if not self._rows:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                self._gather()
            if self._closed and not self._rows and not self._waiting:
                return None
            return self._admitted()

    def _gather(self) -> None:
        until = time.monotonic() + self._wait_s
        while self._coming() and len(self._waiting) < self._size and (left := until - time.monotonic()) > 0:
            self._changed.wait(left)

    def _admitted(self) -> list[Row]:
        admitted: list[Row] = []
        tokens = 0
        while self._waiting and len(self._rows) + len(admitted) < self._size:
            tokens += self._waiting[0].prompt.length
            if admitted and tokens > _PREFILL_TOKENS:
                break
            row = self._waiting.popleft()
            if not row.done:
                admitted.append(row)
        return admitted

    def _work(self, newcomers: Sequence[Row]) -> None:
        self._leave()
        if self._rows:
            self._settle(self._rows, self._batch.step([row.token for row in self._rows]))
        for _, group in groupby(sorted(newcomers, key=_signature), key=_signature):
            rows = list(group)
            logits = self._batch.join([row.prompt for row in rows])
            self._rows += rows
            self._settle(rows, logits)
        self._leave()

    def _settle(self, rows: Sequence[Row], logits: torch.Tensor) -> None:
        pieces: dict[asyncio.AbstractEventLoop, list[tuple[Row, Piece]]] = {}
        for row, token in zip(rows, next_tokens(logits, [row.draw for row in rows]), strict=True):
            if (piece := row.take(token)) is not None:
                pieces.setdefault(row.loop, []).append((row, piece))
        for loop, of_loop in pieces.items():
            _hand_over(loop, of_loop)

    def _leave(self) -> None:
        staying = [index for index, row in enumerate(self._rows) if not row.done]
        if len(staying) < len(self._rows):
            self._batch.keep(staying)
            self._rows = [self._rows[index] for index in staying]

    def _fail(self, newcomers: Sequence[Row]) -> None:
        error = ApiError(503, "the model failed on this answer; try again", code="engine_failed", retry_after_s=1)
        for row in {*self._rows, *newcomers}:
            row.leave()
            _hand_over(row.loop, [(row, error)])
        self._rows = []
        self._batch.keep([])


def _signature(row: Row) -> str:
    return repr(row.prompt.signature)


def _hand_over(loop: asyncio.AbstractEventLoop, pieces: Sequence[tuple[Row, Piece]]) -> None:
    """Give all rows of a loop their pieces with one call: waking a loop is dear."""

    def deliver() -> None:
        for row, piece in pieces:
            row.put(piece)

    with contextlib.suppress(RuntimeError):  # that loop has ended, and with it whoever waited
        loop.call_soon_threadsafe(deliver)
