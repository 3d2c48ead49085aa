"""The ledger as a judge keeps it: a folder for each scene, ``ledger/<scene>..<scene>/``.

What is judged comes in no order, so there are no shards of scenes as in a run of `kpray generate`; the format is the
same, and what such a run or another judge has written about a scene is found too. One process writes a file of its own
in each folder, so that any number may write at once.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from kpray.errors import StorageError
from kpray.ledger.entries import gather
from kpray.ledger.files import folders, readable_lines
from kpray.ledger.journal import Journal, Known
from kpray.ledger.ranges import SceneRange, scene_order
from kpray.ledger.sweep import sweep

RUNS: Final = "judge-"
"""How the names of judges' runs begin."""

_OPEN: Final = 64
"""Scenes whose files stay open though nothing is asked about them: else each judgement would leave a file."""


def known_about(ledger: str, scene_ids: Iterable[str]) -> Known:
    """What a ledger holds about some scenes, in whatever folders.

    Raises:
        StorageError: A file cannot be read.
    """
    orders = sorted({scene_order(scene_id) for scene_id in scene_ids})
    concerned = [folder for folder in folders(ledger) if _holds_one_of(folder, orders)]
    entries = gather(chain.from_iterable(readable_lines(ledger, folder) for folder in concerned))
    replies = {request_id: entry.best.reply for request_id, entry in entries.items() if entry.best}
    return Known(replies, frozenset(request_id for request_id, entry in entries.items() if entry.in_doubt))


def _holds_one_of(folder: SceneRange, orders: list[str]) -> bool:
    at = bisect_left(orders, scene_order(folder.first))
    return at < len(orders) and orders[at] <= scene_order(folder.last)


def spent_by_judges(ledger: str, run: str = RUNS) -> float:
    """What judges have paid, in USD, as far as prices are known.

    Args:
        ledger: The ledger's folder; it need not exist.
        run: Only of runs whose names begin so.

    Raises:
        StorageError: A file cannot be read.
    """
    booked = chain.from_iterable(entry.paid for entry in sweep(ledger))
    return sum(one.reply.usd or 0.0 for one in booked if one.run.startswith(run))


class Books:
    """Where one process reads and writes judgements."""

    def __init__(self, ledger: str, *, run: str) -> None:
        """Open nothing yet.

        Args:
            ledger: The ledger's folder or address.
            run: Marks the lines, see `RUNS`.
        """
        self._ledger = ledger
        self._run = run
        self._journals: OrderedDict[str, Journal] = OrderedDict()  # the last used one is the last
        self._users: dict[str, int] = {}

    def known(self, scene_ids: Iterable[str]) -> Known:
        """See `known_about`."""
        return known_about(self._ledger, scene_ids)

    @contextlib.contextmanager
    def journal(self, scene_id: str) -> Iterator[Journal]:
        """The journal for a scene's replies."""
        journal = self._journals.setdefault(scene_id, Journal(self._ledger, SceneRange.of([scene_id]), run=self._run))
        self._journals.move_to_end(scene_id)
        self._users[scene_id] = self._users.get(scene_id, 0) + 1
        try:
            yield journal
        finally:
            self._users[scene_id] -= 1
            self._close_idle(_OPEN)

    def close(self) -> None:
        """Close all files that nobody uses."""
        self._close_idle(0)

    def _close_idle(self, most_open: int) -> None:
        idle = [scene_id for scene_id in self._journals if not self._users[scene_id]]
        for scene_id in idle[: max(0, len(idle) - most_open)]:
            del self._users[scene_id]
            with contextlib.suppress(StorageError):  # a reply that could not be written was told as such
                self._journals.pop(scene_id).close()
