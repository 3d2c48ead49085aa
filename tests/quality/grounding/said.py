"""Claims as short strings, for tests."""

from collections.abc import Sequence

from kpray.quality.grounding.claims import Claim, Thing
from kpray.quality.grounding.extract import extract


def short(claim: Claim) -> str:
    """For example ``not arm raised left``, ``~posture sitting``, ``object holding right: tennis racket``."""
    other = (
        f": {claim.other.head}" if isinstance(claim.other, Thing) else f": {claim.other.text}" if claim.other else ""
    )
    more = "+" if claim.at_least else ""
    words = " ".join(word for word in (claim.name, claim.value + more, claim.side) if word)
    return f"{'not ' if claim.negated else ''}{'~' if claim.hedged else ''}{words}{other}"


def said(*texts: str, questions: Sequence[bool] | None = None) -> set[str]:
    """What the turns of a conversation claim, without whom it is about."""
    return {short(claim) for claim in extract(texts, questions=questions)}


def said_of(*texts: str) -> set[tuple[str, str]]:
    """Likewise, with the words that say whom."""
    return {(claim.who.text, short(claim)) for claim in extract(texts)}
