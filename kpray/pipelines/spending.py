"""What a run has bought, counted from the ledger, which alone knows it for certain."""

from __future__ import annotations

from typing import Any

from kpray.config import GenerateConfig
from kpray.ledger.journal import RunSpending, spent
from kpray.lineage import fingerprint_value
from kpray.pipelines.forecast import project
from kpray.pipelines.shards import ShardFiles


def spending(config: GenerateConfig, run_id: str, *, unanswered: int, free: bool) -> dict[str, Any]:
    """The money part of `run.json`.

    Args:
        config: Of the run.
        run_id: Marks its replies.
        unanswered: Requests that have no reply yet, which the projection counts in.
        free: Whether the teacher cannot cost anything, so that there is nothing to count.

    Returns:
        ``replies`` this run and its pilots bought, over all sessions; ``spent_usd`` for them, None if a price is
        unknown; ``asked_again``, the most that may have been bought twice because a process was killed while they
        were under way; ``in_doubt``, those of them that have no reply still; ``projected_usd`` for the whole run;
        ``max_usd`` and ``remaining_usd`` of it.
    """
    if free:
        return {"spent_usd": 0.0}
    own = bought(config, run_id)
    usd = own.usd
    limit = config.max_usd
    return {
        "replies": own.replies,
        "spent_usd": usd,
        "asked_again": own.asked_again,
        "in_doubt": own.in_doubt,
        "projected_usd": None if usd is None else project(usd, own.replies, unanswered),
        "max_usd": limit,
        "remaining_usd": limit - usd if limit is not None and usd is not None else None,
    }


def bought(config: GenerateConfig, run_id: str) -> RunSpending:
    """What a run has bought so far, its pilots included, counted from the ledger."""
    return spent(ShardFiles.of(config).ledger, None, run_id, pilot_run(config.out))


def pilot_run(out: str) -> str:
    """Marks the replies of pilots for a run that has not begun yet."""
    return f"pilot-{fingerprint_value(out.rstrip('/'))}"
