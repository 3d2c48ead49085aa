"""What every judge can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from kpray.schemas import Usage
from kpray.scoring.judging.verdicts import verdict_of
from kpray.scoring.types import JudgeFingerprint, JudgeItem, Verdict

Source = Literal["asked", "ledger", "computed", "none"]
"""Where a judgement is from: asked for now, paid for before (or by somebody else at this moment), computed here without
a server, or nowhere, as there is none."""


class Judgement(msgspec.Struct, frozen=True):
    """A verdict, and how it came about.

    Attributes:
        verdict: Unscored where there is none. Its reasons, besides those of `kpray.scoring`: ``budget_spent``,
            ``too_slow`` (not within the time given) and ``judge_failed`` (a fault of the embedded judge).
        source: Where it is from.
        asked: Requests that were sent for it now: two where the first reply could not be read.
        usd: What these cost; None where that is not known.
        usage: Their tokens, as the server counted.
        failure: Why there is no verdict, in a sentence; empty where there is a reply.
        retry_after_s: With `failure`: when it is worth another try; None where nobody knows.
    """

    verdict: Verdict
    source: Source
    asked: int = 0
    usd: float | None = 0.0
    usage: Usage = Usage()
    failure: str = ""
    retry_after_s: float | None = None


def none_of(
    item: JudgeItem, judge: JudgeFingerprint, reason: str, failure: str, *, retry_after_s: float | None = None
) -> Judgement:
    """The judgement of an item that nobody has judged.

    Args:
        item: Which.
        judge: Who was to.
        reason: Becomes ``Verdict.unscored``.
        failure: The same in a sentence.
        retry_after_s: See `Judgement`.
    """
    verdict = msgspec.structs.replace(verdict_of(item, None, judge), unscored=reason)
    return Judgement(verdict, "none", failure=failure, retry_after_s=retry_after_s)


class Judge(Protocol):
    """Judges items."""

    async def judgements(self, items: Sequence[JudgeItem], *, within_s: float | None = None) -> list[Judgement]:
        """Judge items, in their order; one that fails takes no other with it.

        Args:
            items: What to judge; equal ones are asked for once.
            within_s: How long to wait; what is not judged by then is ``too_slow``. What was sent by then goes on and
                is kept, so that asking again finds it. The same holds when this is cancelled.

        Raises:
            StorageError: The ledger cannot be read.
        """

    async def judge(self, items: Sequence[JudgeItem]) -> list[Verdict]:
        """The verdicts of `judgements`."""

    async def aclose(self) -> None:
        """Wait for what was sent, and release what is open."""
