"""Claims about one person's body, decided by the table."""

from __future__ import annotations

from collections.abc import Iterable

from kpray.pose.vocabulary import PoseCode, Side
from kpray.quality.grounding.cast import Cast
from kpray.quality.grounding.claims import Claim
from kpray.quality.grounding.findings import Finding, denied, of_limbs
from kpray.quality.grounding.table import LIMB_CLAIMS, TABLE, Condition, Row


def body_finding(claim: Claim, person: int, cast: Cast) -> Finding | None:
    """What is known of a claim about one person, with its negation taken into account."""
    row = TABLE[claim.name, claim.value]
    if claim.name not in LIMB_CLAIMS:
        found = _read(row, person, "", cast)
        return denied(found) if claim.negated else found
    left, right = _read(row, person, "left", cast), _read(row, person, "right", cast)
    return of_limbs(left, right, claim.side, negated=claim.negated)


def _read(row: Row, person: int, side: Side, cast: Cast) -> Finding | None:
    """Support or contradiction, if there is one of the two."""
    for_it = _best(row.supports, person, side, cast, holds=True)
    against = _best(row.contradicts, person, side, cast, holds=False)
    if for_it or not against:
        return None if against else for_it
    return None if _best(row.spares, person, side, cast, holds=True) else against


def _best(
    alternatives: Iterable[tuple[Condition, ...]], person: int, side: Side, cast: Cast, *, holds: bool
) -> Finding | None:
    """The alternative that is met with the largest margin, a firm one before a loose one."""
    best: Finding | None = None
    for conditions in alternatives:
        met = [_met(condition, person, side, cast) for condition in conditions]
        codes = [code for code in met if code]
        if len(codes) < len(conditions):
            continue
        margin = min(code.margin for code in codes)
        loose = any(condition.loose for condition in conditions)
        if best is None or (not loose, margin) > (not best.loose, best.margin):
            keypoints = tuple(sorted({k for code in codes for k in code.keypoints}))
            best = Finding(holds, person, " & ".join(map(code_text, codes)), keypoints, margin, loose)
    return best


def _met(condition: Condition, person: int, side: Side, cast: Cast) -> PoseCode | None:
    for code in cast.codes(person, condition.name):
        if (
            code.value == condition.value
            and code.margin >= condition.margin
            and condition.low < code.measure < condition.high
            and (not side or not code.side or code.side == side)
        ):
            return code
    return None


def code_text(code: PoseCode) -> str:
    """``left elbow=bent``, or without a side ``posture=sitting``."""
    return f"{code.side} {code.name}={code.value}" if code.side else f"{code.name}={code.value}"
