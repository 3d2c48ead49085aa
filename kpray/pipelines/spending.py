"""What a run has bought, counted from the ledger, which alone knows it for certain."""

from __future__ import annotations

from typing import Any

from kpray.config import GenerateConfig
from kpray.ledger.journal import spent
from kpray.pipelines.shards import ShardFiles


def spending(config: GenerateConfig, run_id: str, *, unanswered: int, free: bool) -> dict[str, Any]:
    """The money part of `run.json`.

    Args:
        config: Of the run.
        run_id: Marks its replies.
        unanswered: Requests that have no reply yet, which the projection counts in.
        free: Whether the teacher cannot cost anything, so that there is nothing to count.

    Returns:
        ``replies`` this run bought, over all sessions; ``spent_usd`` for them, None if a price is unknown;
        ``asked_again``, the most that may have been bought twice because a process was killed while they were
        under way; ``in_doubt``, those of them that have no reply still; ``projected_usd`` for the whole run;
        ``max_usd`` and ``remaining_usd`` of it.
    """
    if free:
        return {"spent_usd": 0.0}
    bought = spent(ShardFiles.of(config).ledger, None, run_id)
    usd = bought.usd
    mean = usd / bought.replies if usd is not None and bought.replies else None
    limit = config.max_usd
    return {
        "replies": bought.replies,
        "spent_usd": usd,
        "asked_again": bought.asked_again,
        "in_doubt": bought.in_doubt,
        "projected_usd": usd + mean * unanswered if usd is not None and mean is not None else None,
        "max_usd": limit,
        "remaining_usd": limit - usd if limit is not None and usd is not None else None,
    }
