"""Findings: what the codes say of one claim about one person, and how findings of limbs and people combine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kpray.quality.grounding.claims import ClaimSide
from kpray.quality.grounding.people import Group


class Finding(NamedTuple):
    """That a claim holds, or that it does not; None stands for not known.

    Attributes:
        holds: Whether it holds.
        person: Whose code says so; None for the scene's.
        code: As in `kpray.schemas.GroundedClaim`.
        keypoints: Likewise.
        margin: Likewise.
        loose: Whether the claim might be denied all the same, see `kpray.quality.grounding.table`.
    """

    holds: bool
    person: int | None
    code: str
    keypoints: tuple[int, ...]
    margin: float
    loose: bool = False


def weakest(findings: Sequence[Finding]) -> Finding:
    """The finding with the smallest margin, on which a conjunction rests."""
    return min(findings, key=lambda finding: finding.margin)


def any_of(findings: Sequence[Finding | None]) -> Finding | None:
    """At least one holds: the surest that does; else, if all are known not to, the weakest of those."""
    known = [finding for finding in findings if finding]
    true = [finding for finding in known if finding.holds]
    if true:
        return max(true, key=lambda finding: finding.margin)
    return weakest(known) if known and len(known) == len(findings) else None


def all_of(findings: Sequence[Finding | None]) -> Finding | None:
    """All hold: the weakest, if all are known to; else the surest that does not."""
    known = [finding for finding in findings if finding]
    false = [finding for finding in known if not finding.holds]
    if false:
        return max(false, key=lambda finding: finding.margin)
    return weakest(known) if known and len(known) == len(findings) else None


def agreed(findings: Sequence[Finding | None]) -> Finding | None:
    """What all say alike: the weakest; None if one is not known or two differ."""
    known = [finding for finding in findings if finding]
    if not known or len(known) < len(findings) or len({finding.holds for finding in known}) > 1:
        return None
    return weakest(known)


def denied(finding: Finding | None) -> Finding | None:
    """The finding about the claim's negation; what holds only loosely does not contradict that."""
    if finding is None or finding.loose:
        return None
    return finding._replace(holds=not finding.holds)


def of_limbs(left: Finding | None, right: Finding | None, side: ClaimSide, *, negated: bool) -> Finding | None:
    """A claim about one or both limbs, from what is known of each.

    "Both arms are not raised" may mean neither or not both, so only two limbs that agree decide it.
    """
    if side in ("left", "right"):
        one = left if side == "left" else right
        return denied(one) if negated else one
    if side == "both":
        return denied(agreed((left, right))) if negated else all_of((left, right))
    one = any_of((left, right))
    return denied(one) if negated else one


def of_one(findings: Sequence[Finding | None], group: Group) -> Finding | None:
    """About one of the group, not known which: it holds if it holds for anyone."""
    return _only_if_closed(any_of(findings), group)


def of_all(findings: Sequence[Finding | None], group: Group, *, negated: bool) -> Finding | None:
    """About everybody in the group. Where not all are surely meant, only agreement decides."""
    if group.certain and not negated:
        return all_of(findings)
    return _only_if_closed(agreed(findings), group)


def of_some(findings: Sequence[Finding | None], group: Group, count: int) -> Finding | None:
    """About `count` of the group, not known which: contradicted only if it holds for nobody.

    A count is not held against the text, because "they" may carry that of the people who were spoken of before.
    """
    true = [finding for finding in findings if finding and finding.holds]
    if len(true) >= count:
        return weakest(sorted(true, key=lambda finding: -finding.margin)[:count])
    found = agreed(findings)
    return found if found and not found.holds and group.closed else None


def of_none(findings: Sequence[Finding | None], group: Group) -> Finding | None:
    """That it holds for nobody in the group."""
    found = any_of(findings) if group.certain else agreed(findings)
    return _only_if_closed(denied(found), group)


def _only_if_closed(finding: Finding | None, group: Group) -> Finding | None:
    return finding if finding and (finding.holds or group.closed) else None
