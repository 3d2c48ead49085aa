"""Claims about how many people there are."""

from __future__ import annotations

from typing import Final

from kpray.quality.grounding.cast import Cast
from kpray.quality.grounding.claims import Claim, Mention
from kpray.quality.grounding.findings import Finding
from kpray.quality.grounding.people import ANYBODY, ONLOOKERS, is_narrowed

MARGIN: Final = 99.0
"""Numbers have no tolerance; the same as the code `person_count` has."""

WIDE_EXCESS: Final = 2
"""So many more must be claimed where a text mentions people without counting all ("two men walk by"), because one
of them may not be annotated, and where no caption was read that could tell of such people."""


def count_finding(claim: Claim, cast: Cast) -> Finding | None:
    """Whether there are as many people as a text says.

    More than are annotated contradicts, unless a caption speaks of more than are annotated too. Fewer contradicts
    only if the text counts everybody: "two men" leaves room for women, and "two people play" for those who watch.
    """
    if not cast.complete or claim.negated:
        return None
    claimed, there = int(claim.value), cast.people
    if claimed == there or (claim.at_least and claimed < there):
        return _finding(there, holds=True)
    if claimed > there:
        return _finding(there, holds=False) if _surely_too_many(claim, claimed, cast) else None
    counts_all = not claim.at_least and _means_everybody(claim.who)
    return _finding(there, holds=False) if counts_all and claimed not in cast.captions.numbers else None


def _surely_too_many(claim: Claim, claimed: int, cast: Cast) -> bool:
    if claim.who.place == "background" or claim.who.head in ONLOOKERS:
        return False
    excess = 1 if cast.scene.captions and not claim.at_least else WIDE_EXCESS
    return claimed - cast.people >= excess and cast.captions.most <= cast.people


def _means_everybody(who: Mention) -> bool:
    return who.quantity in ("all", "none") and who.head in ANYBODY and not is_narrowed(who)


def _finding(there: int, *, holds: bool) -> Finding:
    return Finding(holds, None, f"person_count={there}", (), MARGIN)
