"""Small rules of English: articles, numbers, lists, capitals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_NUMBERS: Final = (
    *("no", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
_ORDINALS: Final = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")

_EVERYDAY_NAMES: Final = {
    "sports ball": "ball",
    "tv": "TV",
    "dining table": "table",
    "hair drier": "hair dryer",
    "cell phone": "phone",
    "skis": "pair of skis",
    "scissors": "pair of scissors",
}
"""COCO's category names where people say something else."""


def number_word(count: int) -> str:
    """A count in words up to twelve, in digits beyond.

    >>> number_word(2), number_word(13)
    ('two', '13')
    """
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def number_value(word: str) -> int | None:
    """The count that a word or digits stand for; None if the word is no number.

    >>> number_value("two"), number_value("13"), number_value("many")
    (2, 13, None)
    """
    if word.isdigit():
        return int(word)
    return _NUMBERS.index(word) if word in _NUMBERS[1:] else None


def ordinal(position: int) -> str:
    """The ordinal of a position that counts from one, up to ten.

    >>> ordinal(2)
    'second'
    """
    return _ORDINALS[position - 1]


def with_article(noun: str) -> str:
    """A noun behind its indefinite article.

    >>> with_article("umbrella"), with_article("surfer"), with_article("unicycle")
    ('an umbrella', 'a surfer', 'a unicycle')
    """
    vowel = noun[0].lower() in "aeiou" and not noun.lower().startswith(("uni", "use", "eu", "one"))
    return f"an {noun}" if vowel else f"a {noun}"


def everyday_name(category: str) -> str:
    """What people call an object of a COCO category.

    >>> everyday_name("dining table")
    'table'
    """
    return _EVERYDAY_NAMES.get(category, category)


def listing(parts: Sequence[str]) -> str:
    """Join parts with commas and a last "and".

    >>> listing(["a bench", "a dog", "a kite"])
    'a bench, a dog and a kite'
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def capitalised(text: str) -> str:
    """The text with its first letter in upper case.

    >>> capitalised("both arms")
    'Both arms'
    """
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """One sentence: capital first, single blanks, one closing mark.

    >>> sentence("the man  sits ")
    'The man sits.'
    """
    tidy = re.sub(r"\s+", " ", text).strip().replace(" ,", ",")
    return capitalised(tidy if tidy.endswith((".", "?", "!")) else f"{tidy}.")
