"""What a judge's reply says, once read, and the same written as a reply."""

from __future__ import annotations

import json
from typing import Final

import msgspec

from kpray.prompts import ParseFailure
from kpray.scoring.judging.prompt import ASPECT_NAMES
from kpray.scoring.types import HIGHEST, LOWEST, Aspects

SCALE: Final = "10"
"""The scale's end as judges write it after a slash."""


class Ratings(msgspec.Struct, frozen=True):
    """Ratings of all answers of an item.

    Attributes:
        scores: 1 to 10, in the order shown.
        explanation: In the judge's words; may be empty.
        aspects: In the order shown; empty unless the judge gave all four of every answer.
    """

    scores: tuple[float, ...]
    explanation: str = ""
    aspects: tuple[Aspects, ...] = ()


def in_range(number: float, shown: str) -> float:
    """The number, if it lies on the scale.

    Raises:
        ParseFailure: It does not.
    """
    if not LOWEST <= number <= HIGHEST:
        raise ParseFailure("out_of_range", f"expected ratings from 1 to 10, found {shown}")
    return float(number)


def write_ratings(ratings: Ratings, *, structured: bool) -> str:
    """The reply that `kpray.scoring.judging.parse.parse_ratings` reads as these ratings."""
    if not structured:
        numbers = " ".join(f"{score:g}" for score in ratings.scores)
        return f"{numbers}\n{ratings.explanation}" if ratings.explanation else numbers
    fields: dict[str, object] = {"explanation": ratings.explanation}
    for i, score in enumerate(ratings.scores):
        aspects = {name: getattr(ratings.aspects[i], name) for name in ASPECT_NAMES} if ratings.aspects else {}
        fields[f"answer_{i + 1}"] = aspects | {"overall": score}
    return json.dumps(fields, ensure_ascii=False)
