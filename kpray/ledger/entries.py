"""What a ledger knows of each request, put together from its lines."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kpray.ledger.lines import SCHEMA_VERSION, Line
from kpray.schemas import Reply


class Booked(msgspec.Struct, frozen=True, gc=False):
    """A reply and the run that it came in."""

    run: str
    reply: Reply


class Entry(msgspec.Struct):
    """One request, over all files.

    Attributes:
        request_id: Which.
        replies: All different replies to it.
        sent: Every time it was sent, as the run and the moment.
    """

    request_id: str
    replies: list[Booked] = []
    sent: set[tuple[str, str]] = set()

    def add(self, line: Line) -> None:
        """Take one more line into account; an equal reply, written a second time, changes nothing."""
        if line.reply is None:
            self.sent.add((line.run, line.at))
        elif all(known.reply != line.reply for known in self.replies):
            self.replies.append(Booked(line.run, line.reply))

    def merge(self, other: Entry) -> None:
        """Take another entry of the same request into account."""
        for booked in other.replies:
            self.add(Line(SCHEMA_VERSION, booked.run, reply=booked.reply))
        self.sent |= other.sent

    @property
    def best(self) -> Booked | None:
        """The reply that counts."""
        return min(self.replies, key=lambda booked: rank(booked.reply), default=None)

    @property
    def paid(self) -> list[Booked]:
        """All replies that were charged for, the one that counts first; more than one were bought again."""
        charged = [booked for booked in self.replies if is_charged(booked.reply)]
        return sorted(charged, key=lambda booked: rank(booked.reply))

    @property
    def kept(self) -> list[Booked]:
        """The replies that matter, the one that counts first: all that were charged for, or else one error."""
        return self.paid or ([self.best] if self.best else [])

    @property
    def in_doubt(self) -> bool:
        """Whether it was sent and nothing came back: it may have been charged."""
        return bool(self.sent) and not self.replies

    @property
    def lines(self) -> list[Line]:
        """The fewest lines that say the same: a single sending that was answered says nothing more."""
        replies = [Line(SCHEMA_VERSION, booked.run, reply=booked.reply) for booked in self.kept]
        if self.replies and len(self.sent) == 1:
            return replies
        sent = [Line(SCHEMA_VERSION, run, sent=self.request_id, at=at) for run, at in sorted(self.sent)]
        return replies + sent


def rank(reply: Reply) -> tuple[bool, str]:
    """Of several replies to one request the one with the lowest rank counts: an answer before an error, then age."""
    return (reply.finish_reason == "error", reply.created_at)


def is_charged(reply: Reply) -> bool:
    """Whether a server asks money for it; for a request that it refuses as wrong it does not."""
    return reply.finish_reason != "error"


def gather(lines: Iterable[Line]) -> dict[str, Entry]:
    """Entries by request id."""
    entries: dict[str, Entry] = {}
    for line in lines:
        request_id = line.request_id
        entry = entries.get(request_id)
        if entry is None:
            entry = entries[request_id] = Entry(request_id)
        entry.add(line)
    return entries
