"""All checks on one sample: what it gives away, its form, and whether the keypoints contradict it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from kpray.pose import PoseCode
from kpray.quality.form import form_faults
from kpray.quality.grounding.ground import ground
from kpray.quality.leaks import leak_faults
from kpray.schemas import Fault, GroundedClaim, KindName, Scene, Turn

VERSION: Final = 1
"""Raised when the checks judge differently, so that a dataset is not finished under other rules than it was begun."""


GRAVEST_FIRST: Final = ("leak", "grounding", "form")
"""Of a sample with several faults, the first of these is the one to name."""


class Checked(msgspec.Struct, frozen=True):
    """What the checks found in one sample.

    Attributes:
        faults: In the order of the text.
        claims: What it says that pose codes could decide, in the order of the text; empty without a scene.
    """

    faults: tuple[Fault, ...] = ()
    claims: tuple[GroundedClaim, ...] = ()


def check(
    turns: Sequence[Turn],
    *,
    kind: KindName | None,
    scene: Scene | None,
    codes: Sequence[PoseCode] | None = None,
    spacy_model: str | None = None,
) -> Checked:
    """Run all checks.

    Args:
        turns: Of one sample, as LLaVA's format has them.
        kind: Of the sample; None where nobody knows, which leaves out what depends on it.
        scene: What it is about; None leaves the grounding out.
        codes: Of the scene, where they are known already.
        spacy_model: See `kpray.quality.grounding.ground.ground`.
    """
    claims = ground([turn.value for turn in turns], scene, codes, spacy_model=spacy_model) if scene else ()
    contradicted = [_contradiction(turns, claim) for claim in claims if claim.verdict == "contradicted"]
    faults = [*leak_faults(turns), *form_faults(turns, kind=kind), *contradicted]
    faults.sort(key=lambda fault: (fault.turn, fault.start, fault.end))
    return Checked(tuple(faults), claims)


def _contradiction(turns: Sequence[Turn], claim: GroundedClaim) -> Fault:
    words = turns[claim.turn].value[claim.start : claim.end]
    shown = claim.code.replace("=", " is ").replace("_", " ")
    return Fault(
        check="grounding",
        reason="contradicted",
        turn=claim.turn,
        start=claim.start,
        end=claim.end,
        detail=f'it says "{words}", and the keypoints show otherwise ({shown})',
    )
