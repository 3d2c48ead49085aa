"""The results of a batch become replies in the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from kpray.ledger.entries import is_charged
from kpray.ledger.journal import SceneRange, read_ledger, write_replies
from kpray.pipelines.batch_fill.lines import read_line
from kpray.pipelines.batch_fill.parts import ShardIds
from kpray.pipelines.shards import ShardFiles
from kpray.schemas import Reply

if TYPE_CHECKING:
    from kpray.ledger.prices import ModelPrice


class Collected:
    """What the results of one part came to; a shard's replies are written as soon as they are all there.

    Attributes:
        replies: New in the ledger.
        errors: How many of them say that the server will not answer.
        prompt_tokens: Of the new replies, as far as the server counted.
        completion_tokens: Likewise.
        usd: Of the new replies, as far as the price is known.
        unpriced: How many of them were charged for, nobody knows how much.
        unknown: Lines with the id of no request of the part.
        repeated: Lines about a request that was answered already.
        unreadable: Lines that are no results.
        failures: Why requests have no reply, by how often.
        stops: Why no request can succeed any more, or None.
    """

    def __init__(
        self,
        shards: Iterable[ShardIds],
        files: ShardFiles,
        *,
        run: str,
        submitted_at: int,
        price: ModelPrice | None,
        on_reply: Callable[[Reply], None],
    ) -> None:
        """Begin to collect.

        Args:
            shards: The requests of the part.
            files: Of the run, for its ledger.
            run: Marks the replies.
            submitted_at: When the batch was created, in Unix seconds.
            price: Of the model, or None.
            on_reply: Called with every reply, once it is durable.
        """
        self._scenes: dict[int, SceneRange] = {}
        self._left: Counter[int] = Counter()
        self._waiting: dict[str, list[int]] = {}
        for entry in shards:
            self._scenes[entry.shard] = entry.scenes
            self._left[entry.shard] = len(entry.ids)
            for request_id in entry.ids:
                self._waiting.setdefault(request_id, []).append(entry.shard)
        self._arrived: dict[int, list[Reply]] = {}
        self._answered: set[str] = set()
        self._files = files
        self._run = run
        self._submitted_at = submitted_at
        self._price = price
        self._on_reply = on_reply
        self.replies = self.errors = self.unpriced = self.unknown = self.repeated = self.unreadable = 0
        self.prompt_tokens = self.completion_tokens = 0
        self.usd = 0.0
        self.failures: Counter[str] = Counter()
        self.stops: str | None = None

    def add(self, lines: Iterable[bytes]) -> None:
        """Read the lines of one file of results.

        Raises:
            StorageError: The ledger cannot be written.
        """
        for line in lines:
            outcome = read_line(line, submitted_at=self._submitted_at, price=self._price)
            if outcome is None:
                self.unreadable += 1
            elif outcome.request_id in self._answered:
                self.repeated += 1
            elif outcome.request_id not in self._waiting:
                self.unknown += 1
            elif outcome.reply is not None:
                self._take(outcome.reply)
            else:
                self.failures[outcome.why] += 1
                self.stops = self.stops or (outcome.why if outcome.stops else None)

    def finish(self) -> None:
        """Write what is left."""
        for shard in list(self._arrived):
            self._write(shard)

    @property
    def unanswered_shards(self) -> set[int]:
        """The shards that still miss replies to requests of the part."""
        return {shard for shards in self._waiting.values() for shard in shards}

    def _take(self, reply: Reply) -> None:
        self._answered.add(reply.request_id)
        for shard in self._waiting.pop(reply.request_id):
            self._arrived.setdefault(shard, []).append(reply)
            self._left[shard] -= 1
            if not self._left[shard]:
                self._write(shard)

    def _write(self, shard: int) -> None:
        scenes, arrived = self._scenes[shard], self._arrived.pop(shard)
        known = read_ledger(self._files.ledger, scenes).replies
        new = [reply for reply in arrived if known.get(reply.request_id) != reply]
        if new:  # else they were written before the process that collected them was killed
            write_replies(self._files.ledger, scenes, new, run=self._run)
        for reply in new:
            self._count(reply)
        for reply in arrived:
            self._on_reply(reply)

    def _count(self, reply: Reply) -> None:
        self.replies += 1
        self.errors += reply.finish_reason == "error"
        if reply.usage is not None:
            self.prompt_tokens += reply.usage.prompt_tokens
            self.completion_tokens += reply.usage.completion_tokens
        self.usd += reply.usd or 0.0
        self.unpriced += reply.usd is None and is_charged(reply)
