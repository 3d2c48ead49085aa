"""Requests are cut into parts, one part at a time and straight to disk."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import IO, Final, NamedTuple

import msgspec

from kpray import storage
from kpray.config import BatchConfig
from kpray.errors import ConfigError
from kpray.ledger.journal import SceneRange
from kpray.ledger.tokens import TokenMeter
from kpray.pipelines.batch_fill.money import Reservations
from kpray.pipelines.batch_fill.parts import Part, PartFolder, ShardIds
from kpray.schemas import Request

_PARTS_IN_QUEUE: Final = 4
"""Where the account's enqueued tokens are limited, so many parts share them: one may end without the queue running
empty."""


class Limits:
    """How large a part may be; a server that refuses one makes them smaller."""

    def __init__(self, settings: BatchConfig) -> None:
        """Begin with what the configuration says."""
        self.requests = settings.max_requests
        self.bytes = settings.max_bytes
        self.queue_tokens = settings.max_enqueued_tokens
        self.tokens = None if self.queue_tokens is None else max(1, self.queue_tokens // _PARTS_IN_QUEUE)

    def lower_tokens(self, tokens: int) -> None:
        """Make no part that is expected to take more tokens than this."""
        self.tokens = max(1, tokens)

    def require_possible(self, request: Request, size: int, tokens: int) -> None:
        """Refuse a request that no part can hold.

        Raises:
            ConfigError: With what to change.
        """
        name = f"the {request.kind} request about scene {request.scene_id}"
        if size > self.bytes:
            raise ConfigError(
                f"{name} takes {size:,} bytes, and `teacher.batch.max_bytes` is {self.bytes:,}: raise it, or lower "
                "`max_context_chars`"
            )
        if self.queue_tokens is not None and tokens > self.queue_tokens:
            raise ConfigError(
                f"{name} takes about {tokens:,} prompt tokens, and `teacher.batch.max_enqueued_tokens` is "
                f"{self.queue_tokens:,}: raise it, or lower `max_context_chars`"
            )


class Waiting(NamedTuple):
    """A request that is in no part yet."""

    shard: int
    scenes: SceneRange
    request: Request


class Fitting(NamedTuple):
    """A request that fits into the part that is being cut."""

    waiting: Waiting
    line: bytes
    tokens: int
    usd: float


class MissingRequests:
    """The requests of some shards that have no reply and are in no part; one shard is looked at a time."""

    def __init__(self, shards: Iterable[int], missing: Callable[[int], tuple[SceneRange, list[Request]]]) -> None:
        """Begin with the first shard.

        Args:
            shards: Their numbers.
            missing: Looks at one.
        """
        self._shards = iter(shards)
        self._missing = missing
        self._shard: int | None = None
        self._scenes = SceneRange("", "")
        self._requests: list[Request] = []

    def peek(self) -> Waiting | None:
        """The next request, or None if there is no more."""
        while not self._requests:
            self._shard = next(self._shards, None)
            if self._shard is None:
                return None
            self._scenes, requests = self._missing(self._shard)
            self._requests = requests[::-1]
        assert self._shard is not None
        return Waiting(self._shard, self._scenes, self._requests[-1])

    def take(self) -> None:
        """Pass on to the one after."""
        self._requests.pop()

    def left(self) -> set[int]:
        """The shards that requests are left of; afterwards there are none."""
        begun = {self._shard} if self._requests and self._shard is not None else set()
        return begun | set(self._shards)


class _Growing:
    """A part while it is being cut."""

    def __init__(self) -> None:
        self.bytes = 0
        self.tokens = 0
        self.usd = 0.0
        self.ids: list[ShardIds] = []
        self.sent: set[str] = set()

    @property
    def requests(self) -> int:
        return len(self.sent)

    def add(self, waiting: Waiting, line: bytes, tokens: int, usd: float) -> None:
        self.sent.add(waiting.request.request_id)
        self.bytes += len(line)
        self.tokens += tokens
        self.usd += usd
        if not self.ids or self.ids[-1].shard != waiting.shard:
            self.ids.append(ShardIds(waiting.shard, waiting.scenes, []))
        self.ids[-1].ids.append(waiting.request.request_id)


class Cutter:
    """Cuts parts, none larger than what the budget has left, and reserves what each may cost.

    Attributes:
        budget_full: Whether the request that is next did not fit into the budget.
    """

    def __init__(
        self,
        folder: PartFolder,
        limits: Limits,
        meter: TokenMeter,
        money: Reservations,
        *,
        encode: Callable[[Request], bytes],
        worst_usd: Callable[[Request], float] | None,
        blank: Part,
        on_request: Callable[[Request], None],
    ) -> None:
        """Keep what is needed.

        Args:
            folder: Where parts are written.
            limits: Of one part.
            meter: Estimates tokens.
            money: Keeps the budget.
            encode: Makes a request's line.
            worst_usd: The most that a request may cost; None where the price is not known.
            blank: A part with what all parts have in common.
            on_request: Called with every request that is in a part now.
        """
        self._folder = folder
        self._limits = limits
        self._meter = meter
        self._encode = encode
        self._worst_usd = worst_usd
        self._money = money
        self._blank = blank
        self._on_request = on_request
        self.budget_full = False

    def cut(self, source: MissingRequests) -> Part | None:
        """The next part, on disk; None if there is no request left or the budget has no room for the next one.

        Raises:
            ConfigError: A request is too large for any part.
        """
        self.budget_full = False
        name, growing = self._folder.next_name(), _Growing()
        first = self._fitting(source, growing)
        if first is None:
            return None
        with storage.open_atomic(self._folder.requests_file(name)) as stream:
            self._grow(source, growing, first, stream)
        self._folder.write_ids(name, growing.ids)
        part = msgspec.structs.replace(
            self._blank,
            name=name,
            nonce=uuid.uuid4().hex,
            requests=growing.requests,
            bytes=growing.bytes,
            tokens=growing.tokens,
            usd=growing.usd if self._worst_usd else None,
            shards=tuple(entry.shard for entry in growing.ids),
        )
        if not self._money.hold(part):
            raise AssertionError("the part was cut to fit into the budget")
        return self._folder.save(part)

    def _grow(self, source: MissingRequests, growing: _Growing, first: Fitting, stream: IO[bytes]) -> None:
        fitting: Fitting | None = first
        while fitting is not None:
            stream.write(fitting.line)
            growing.add(*fitting)
            self._on_request(fitting.waiting.request)
            source.take()
            fitting = self._fitting(source, growing)

    def _fitting(self, source: MissingRequests, growing: _Growing) -> Fitting | None:
        """The next request if it fits into the part; what it may cost is reserved then."""
        waiting = source.peek()
        if waiting is not None and waiting.request.request_id in growing.sent:
            return Fitting(waiting, b"", 0, 0.0)  # scenes that are alike share a request; a batch takes no id twice
        if waiting is None or growing.requests == self._limits.requests:
            return None
        line, tokens = self._encode(waiting.request), self._meter.prompt_tokens(waiting.request)
        self._limits.require_possible(waiting.request, len(line), tokens)
        too_many_tokens = self._limits.tokens is not None and growing.tokens + tokens > self._limits.tokens
        if growing.requests and (growing.bytes + len(line) > self._limits.bytes or too_many_tokens):
            return None
        usd = self._worst_usd(waiting.request) if self._worst_usd else 0.0
        if self._money.free is not None and growing.usd + usd > self._money.free:
            self.budget_full = True
            return None
        return Fitting(waiting, line, tokens, usd)
