"""Verdicts on statements, counted: shares with their intervals, and tables."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from grounding_statements import Statement

from kpray.schemas import GroundedClaim

VERDICTS: Final = ("supported", "contradicted", "unverifiable", "no claim")


@dataclass(frozen=True)
class Judged:
    """A statement and what grounding made of it.

    Attributes:
        statement: As drawn.
        verdict: ``contradicted`` if any claim is; else ``supported`` if any is; else ``unverifiable``; or ``no claim``.
        claims: All that were found.
    """

    statement: Statement
    verdict: str
    claims: tuple[GroundedClaim, ...]


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share.

    >>> tuple(round(x, 3) for x in wilson(0, 100))
    (0.0, 0.037)
    """
    if of == 0:
        return 0.0, 1.0
    share, factor = hits / of, 1 + z * z / of
    middle = (share + z * z / (2 * of)) / factor
    half = z / factor * float((share * (1 - share) / of + z * z / (4 * of * of)) ** 0.5)
    return max(0.0, middle - half), min(1.0, middle + half)


def share(hits: int, of: int) -> str:
    """A share with its interval, for a table."""
    low, high = wilson(hits, of)
    return f"{hits / of:.4f} [{low:.4f}, {high:.4f}]" if of else "–"


def over_wordings(judged: Sequence[Judged], resamples: int = 1_000) -> tuple[float, float]:
    """The middle 95 % of the share contradicted when wordings are drawn anew with replacement."""
    by_wording: dict[str, list[bool]] = defaultdict(list)
    for each in judged:
        by_wording[each.statement.wording].append(each.verdict == "contradicted")
    groups = [(sum(hits), len(hits)) for hits in by_wording.values()]
    rng = random.Random(0)
    shares = []
    for _ in range(resamples):
        drawn = rng.choices(groups, k=len(groups))
        shares.append(sum(hits for hits, _ in drawn) / sum(of for _, of in drawn))
    shares.sort()
    return shares[int(0.025 * resamples)], shares[int(0.975 * resamples) - 1]


def table(title: str, judged: Iterable[Judged], group: Callable[[Statement], str]) -> list[str]:
    """Rows by group, false statements and true ones apart."""
    found: dict[tuple[str, bool], Counter[str]] = defaultdict(Counter)
    for each in judged:
        found[group(each.statement), each.statement.true][each.verdict] += 1
    rows = [
        f"| {title} | statements | n | {' | '.join(VERDICTS)} | share contradicted |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (name, true), counts in sorted(found.items()):
        cells = " | ".join(str(counts[verdict]) for verdict in VERDICTS)
        rate = share(counts["contradicted"], counts.total())
        rows.append(f"| {name} | {'true' if true else 'false'} | {counts.total()} | {cells} | {rate} |")
    return rows


def summary(judged: Sequence[Judged]) -> dict[str, float]:
    """The two figures that the goals are set for, and how many false ones were found by a claim of another name."""
    false = [each for each in judged if not each.statement.true]
    true = [each for each in judged if each.statement.true]
    found = [each for each in false if each.verdict == "contradicted"]
    own = [each for each in found if any(_says_it(claim, each.statement) for claim in each.claims)]
    recall, accused = over_wordings(false), over_wordings(true)
    return {
        "false_statements": len(false),
        "true_statements": len(true),
        "wordings": len({each.statement.wording for each in judged}),
        "recall": len(found) / len(false),
        "recall_low": recall[0],
        "recall_high": recall[1],
        "recall_by_claim_of_that_name": len(own) / len(false),
        "false_accusations": sum(each.verdict == "contradicted" for each in true) / len(true),
        "false_accusations_low": accused[0],
        "false_accusations_high": accused[1],
        "true_supported": sum(each.verdict == "supported" for each in true) / len(true),
    }


def _says_it(claim: GroundedClaim, statement: Statement) -> bool:
    return claim.verdict == "contradicted" and claim.name == statement.fact.name
