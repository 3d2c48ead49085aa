"""What batch mode tells while it works, and at the end."""

from __future__ import annotations

from collections import Counter

import msgspec

from kpray.pipelines.batch_fill.results import Collected


class PartProgress(msgspec.Struct, frozen=True):
    """One part that is under way.

    Attributes:
        name: Its number.
        batch_id: The server's; empty before there is a batch.
        status: The server's (see `kpray.teachers.openai_batch.BatchState`), or ``waiting`` before there is a batch.
        done: Requests answered.
        failed: Requests that ended with an error.
        total: Requests in all.
    """

    name: str
    batch_id: str
    status: str
    done: int
    failed: int
    total: int

    def __str__(self) -> str:
        failed = f", {self.failed:,} failed" if self.failed else ""
        batch = f" ({self.batch_id})" if self.batch_id else ""
        return f"batch {self.name}{batch}: {self.status}, {self.done:,} of {self.total:,} done{failed}"


class BatchProgress(msgspec.Struct, frozen=True):
    """Where things are.

    Attributes:
        parts: Those under way, in order.
        replies: New in the ledger since the start.
        usd: What they cost; None where the price is not known.
        note: What is being waited for besides the batches, in words; empty when nothing.
    """

    parts: tuple[PartProgress, ...]
    replies: int
    usd: float | None
    note: str = ""

    def lines(self) -> list[str]:
        """For a person, a line each."""
        return [*map(str, self.parts), *([self.note] if self.note else [])]


class BatchReport(msgspec.Struct):
    """What one call of `fill_by_batch` did.

    Attributes:
        submitted: Batches that it created.
        adopted: Batches that an earlier process had created without writing it down, or whose answer was lost.
        replies: New in the ledger.
        errors: How many of them say that the server will not answer the request.
        prompt_tokens: Of the new replies, as far as the server counted.
        completion_tokens: Likewise.
        usd: What they cost; None where the price is not known.
        not_answered: Requests that a batch ended without answering, by reason; they were asked again.
        unknown_lines: Results that nobody asked for, left out.
        repeated_lines: Results that came more than once, left out.
        unreadable_lines: Lines that are no results, left out.
        budget_spent: Whether requests are left that the budget has no room for.
    """

    submitted: int = 0
    adopted: int = 0
    replies: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None
    not_answered: dict[str, int] = msgspec.field(default_factory=dict)
    unknown_lines: int = 0
    repeated_lines: int = 0
    unreadable_lines: int = 0
    budget_spent: bool = False

    def add(self, collected: Collected) -> None:
        """Count what one batch came to."""
        self.replies += collected.replies
        self.errors += collected.errors
        self.prompt_tokens += collected.prompt_tokens
        self.completion_tokens += collected.completion_tokens
        if self.usd is not None:
            self.usd += collected.usd
        self.not_answered = dict(Counter(self.not_answered) + collected.failures)
        self.unknown_lines += collected.unknown
        self.repeated_lines += collected.repeated
        self.unreadable_lines += collected.unreadable
