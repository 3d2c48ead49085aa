"""From a text and a scene to grounded claims."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from kpray.pose.codes import scene_codes
from kpray.pose.vocabulary import PoseCode
from kpray.quality.grounding.decide import decide
from kpray.quality.grounding.extract import extract
from kpray.quality.grounding.text import SpacyAnalyzer
from kpray.schemas import GroundedClaim, Scene


def ground(
    texts: Sequence[str], scene: Scene, codes: Sequence[PoseCode] | None = None, *, spacy_model: str | None = None
) -> tuple[GroundedClaim, ...]:
    """Find what texts claim about the people of a scene, and hold it against their keypoints.

    Args:
        texts: Of one conversation in order; a claim's `turn` is an index into them.
        scene: What is annotated.
        codes: `kpray.pose.scene_codes` of the scene where they are known already.
        spacy_model: Name or path of an installed spaCy model that finds sentences and lemmas; None is kpray's own way.

    Returns:
        The claims in the order of the text, each with its verdict.
    """
    claims = extract(texts, analyzer=_spacy(spacy_model) if spacy_model else None)
    if not claims:
        return ()
    return tuple(decide(claims, scene, scene_codes(scene) if codes is None else codes))


@functools.lru_cache(maxsize=2)
def _spacy(model: str) -> SpacyAnalyzer:
    return SpacyAnalyzer(model)
