"""How many people a scene's captions speak of: a hint that somebody is not annotated."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

NUMBERS: Final = {
    word: number
    for number, word in enumerate(["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], start=2)
}
"""Number words that captions use; "one" and "a" are not counted as such."""

_PLURALS: Final = (
    r"people|persons|adults|men|women|guys|ladies|males|females|boys|girls|kids|children|babies|players|skiers|surfers"
    r"|snowboarders|skateboarders|riders|friends|teammates|teams"
)
_NUMBERED: Final = re.compile(rf"\b({'|'.join(NUMBERS)})(?: [\w-]+){{0,2}}? (?:{_PLURALS})\b")
_SEVERAL: Final = re.compile(rf"\b(?:{_PLURALS}|crowd|family|another (?:man|woman|person|player))\b|\bcouple\b(?! of)")
_KINDS: Final = tuple(
    re.compile(rf"\b(?:{words})\b")
    for words in (
        "man|gentleman|guy|male|dad|father|groom|husband",
        "woman|lady|female|mom|mother|bride|wife",
        "boy|girl|child|kid|toddler|baby|infant|son|daughter",
    )
)


class Captioned(NamedTuple):
    """What captions say about the number of people.

    Attributes:
        most: The largest number that any one caption speaks of: numbers added up, or kinds ("a man and a child").
        numbers: All numbers that are said in words.
    """

    most: int
    numbers: frozenset[int]


@lru_cache(maxsize=1024)
def captioned(captions: tuple[str, ...]) -> Captioned:
    """Count the people in captions.

    >>> captioned(("Two men and three women dance.", "People dancing."))
    Captioned(most=5, numbers=frozenset({2, 3, 5}))
    >>> captioned(("A mother holds her baby.",)).most
    2
    """
    most, numbers = 0, set[int]()
    for caption in captions:
        text = caption.lower()
        said = [NUMBERS[word] for word in _NUMBERED.findall(text)]
        kinds = sum(1 for kind in _KINDS if kind.search(text))
        several = 2 if _SEVERAL.search(text) else 0
        numbers |= {*said, sum(said)} - {0}
        most = max(most, sum(said), kinds, several)
    return Captioned(most, frozenset(numbers))
