"""The end of a run, in words for a person and in fields for a program."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kpray import storage
from kpray.pipelines.run_folder import Manifest


def summary_fields(manifest: Manifest) -> dict[str, Any]:
    """What `--json` prints: status, counts, tokens, USD, seconds and where things are."""
    session = manifest.sessions[-1]
    return {
        "status": manifest.status,
        "out": manifest.config.out,
        **manifest.totals,
        "new_replies": session.new_replies,
        "spending": manifest.spending,
        "elapsed_s": session.elapsed_s,
    }


def summary_text(manifest: Manifest) -> str:
    """Kept, rejected by reason, tokens, time, and where things are."""
    totals, session = manifest.totals, manifest.sessions[-1]
    kept = sum(totals["samples"].values())
    lines = [
        f"read {manifest.reading['images']:,} images, left out {_by_name(_positive(manifest.reading['dropped']))}",
        f"kept {kept:,} samples ({_by_name(totals['samples'])}) from {totals['scenes']:,} scenes",
        f"rejected {sum(totals['rejected'].values()):,} ({_by_name(totals['rejected'])})",
        *_checks(totals),
        f"asked {totals['requests']:,} requests, {session.new_replies:,} of them now; "
        f"{totals['prompt_tokens']:,} + {totals['completion_tokens']:,} tokens; {usd_text(totals['usd'])}",
        f"took {session.elapsed_s:,.1f} s; status: {manifest.status}",
    ]
    lines += _unfinished(manifest)
    out = manifest.config.out
    names = ("llava.json", "samples", "rejected", "README.md")
    return "\n".join([*lines, *(f"  {storage.join(out, name)}" for name in names)])


def _checks(totals: dict[str, Any]) -> list[str]:
    lines = []
    if totals["duplicates"]:
        lines.append(f"taken out as near duplicates: {totals['duplicates']:,} samples")
    if totals["faults"]:
        again = f"; {totals['repairs']:,} asked for again, {totals['repaired']:,} of them mended"
        lines.append(f"replies with faults: {_by_name(totals['faults'])}{again if totals['repairs'] else ''}")
    verdicts = claim_verdicts(totals)
    if verdicts:
        lines.append(f"claims in what was kept: {_by_name(verdicts)}")
    return lines


def claim_verdicts(totals: dict[str, Any]) -> dict[str, int]:
    """How many claims the kept samples make, by verdict."""
    counts: Counter[str] = Counter()
    for verdicts in totals["claims"].values():
        counts.update(verdicts)
    return dict(sorted(counts.items()))


def _unfinished(manifest: Manifest) -> list[str]:
    totals, spending = manifest.totals, manifest.spending
    lines = []
    if spending.get("asked_again"):
        lines.append(f"{spending['asked_again']:,} requests went out twice, over all starts, as processes were killed")
    over_budget = totals["rejected"].get("budget_spent", 0)
    if over_budget:
        lines.append(
            f"the budget of {usd_text(spending['max_usd'])} is used up ({usd_text(spending['spent_usd'])} spent): "
            f"{over_budget:,} requests were not sent; give the same command with a larger --max-usd to go on"
        )
    unanswered = totals["unanswered"] - over_budget
    if unanswered:
        lines.append(f"{unanswered:,} requests got no answer; give the same command to ask them again")
    return lines


def usd_text(usd: float | None) -> str:
    """Dollars, or that the price is not known.

    >>> usd_text(None), usd_text(0.0), usd_text(1234.5)
    ('price unknown', '$0.00', '$1,234.50')
    """
    return "price unknown" if usd is None else f"${usd:,.2f}"


def _positive(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


def _by_name(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
