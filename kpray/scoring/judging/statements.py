"""Statements of ratings in a line of text: lines and sentences that are made of nothing else.

A sentence becomes tokens: numbers, names of answers ("Assistant 1", "the second answer"), names of aspects, and words
and signs that only join them. One other word makes it prose, which states no rating.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from kpray.prompts import ParseFailure
from kpray.scoring.judging.ratings import SCALE, in_range

_WORDS: Final = {
    word: float(i) for i, word in enumerate(("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 2)
}
"""Numbers in words; not "one", which is more often a pronoun."""

_FIRST: Final = frozenset({"1", "A", "one", "first"})
_ANSWERER: Final = r"(?:ai[ ]assistant|assistant|answer|response|model|candidate|score|rating|reply)"

_TOKEN: Final = re.compile(
    rf"""[ \t]*(?:
        (?P<label>(?i:{_ANSWERER})[ #_-]*(?P<which>[12](?![0-9.]*[0-9]|[ ]*/|-[0-9])|[AB]\b|(?i:one|two)\b)(?:['’]s\b)?
          | (?i:the[ ])?(?P<ordinal>(?i:first|second))[ ](?i:{_ANSWERER})\b(?:['’]s\b)?)
      | (?P<range>[0-9.]+(?:[ ]*/[ ]*[0-9]+)?[ ]*(?:[-–—~]|\bto\b)[ ]*[0-9][0-9.]*)
      | (?P<number>[0-9]+(?:\.[0-9]+)?|(?i:{"|".join(_WORDS)})\b)(?![0-9%+])
        (?:[ ]*(?:/|\bout[ ]of\b)[ ]*(?P<scale>[0-9]+(?:\.0)?|ten\b)(?![0-9]))?(?![ ]*[:=])
      | (?P<aspect>(?i:helpfulness|relevance|accuracy|(?:levels?[ ]of[ ])?details?)\b)
      | (?P<name>(?i:scores?|ratings?|overall|final|total|verdict|points?|rate)\b)
      | (?P<joint>(?i:and|vs|versus|for|of|is|are|gets?|receives?|has|an?|the|my|i|would|will|give|evaluation|result
          |quality|earns?|deserves?|while|(?:assistant|answer|response|model)s?(?![ #_-]*[0-9]))\b\.?
          |[,;:=|&]|-(?![0-9])|[–—→])
      )""",
    re.VERBOSE,
)
"""One token. Letters name answers only as capitals: "a" is an article."""

_MARKS: Final = re.compile(
    r"[*`#\"“”‘()\[\]{}<>$]|['’](?!s\b)|^[ \t]*(?:[-•+>]|[0-9]+[.)](?=[ ]+[^\W\d]))[ \t]+|_(?!_)"
)
"""Markdown, brackets, quotes and bullets; they neither make nor unmake a rating. A list's number is one only before
a word: "1. 8" stays as it is, and is refused."""

_NEXT: Final = re.compile(r"(?<=\S)(?<!vs)[.!](?:[ \t]+|$)|;[ \t]+(?=[^\W\d])|[ \t]+[-–—][ \t]+(?=[^\W\d])")
"""Where one sentence ends and the next begins; a dash only before a word, as two numbers with a dash are a range."""

_COMMENT: Final = re.compile(r"(?<=[0-9])[ ]*\(([^()]*)\)")
_SPEAKS: Final = re.compile(rf"[0-9]|\b(?:first|second|{_ANSWERER}|{'|'.join(_WORDS)})\b", re.IGNORECASE)


class Statement(NamedTuple):
    """What one line or sentence says.

    Attributes:
        labels: Answers it names, counted from 1; as many as `scores`, unless one of the two is empty.
        scores: On the scale.
        named: Whether it says that these are ratings (a word such as "score", or a slash and the scale's end).
        aspect: Whether it is about one aspect and not about an answer as a whole.
    """

    labels: tuple[int, ...]
    scores: tuple[float, ...]
    named: bool
    aspect: bool


def read_line(line: str) -> Iterator[Statement]:
    """The statements in a line of text, in order; none where it is prose.

    >>> list(read_line("Assistant 2: **9/10** - it names both people."))
    [Statement(labels=(2,), scores=(9.0,), named=True, aspect=False)]
    >>> list(read_line("The 2 players in picture 1 stand."))
    []

    Raises:
        ParseFailure: A rating is given as a range, on another scale, or outside 1 to 10.
    """
    for sentence in _NEXT.split(_commentless(" ".join(line.split()))):
        tokens = _tokens(_MARKS.sub(" ", sentence).strip(" \t|.").replace("\u2212", "-"))
        statement = _statement(tokens) if tokens else None
        if statement is not None:
            yield statement


def _commentless(line: str) -> str:
    """A line without comments in brackets after a rating; what could name an answer or a rating is no comment."""
    return _COMMENT.sub(lambda found: found.group() if _SPEAKS.search(found[1]) else "", line)


def _tokens(sentence: str) -> list[re.Match[str]] | None:
    """All of a sentence as tokens; None where it is prose."""
    tokens, at = [], 0
    while at < len(sentence.rstrip()):
        token = _TOKEN.match(sentence, at)
        if token is None:
            return None
        tokens.append(token)
        at = token.end()
    return tokens


def _statement(tokens: Sequence[re.Match[str]]) -> Statement | None:
    labels = tuple(1 if (t["which"] or t["ordinal"]).casefold() in _FIRST_FOLDED else 2 for t in tokens if t["label"])
    aspect = any(t["aspect"] for t in tokens)
    numbers = [t for t in tokens if t["number"] or t["range"]]
    if not labels and not numbers:
        return None
    named = any(t["name"] or t["scale"] for t in tokens)
    if labels and numbers and (len(labels) != len(numbers) or len(set(labels)) < len(labels)) and not aspect:
        raise ParseFailure("wrong_count", f"found {len(numbers)} ratings for {len(labels)} named answers")
    return Statement(labels, () if aspect else tuple(map(_score, numbers)), named, aspect)


_FIRST_FOLDED: Final = frozenset(word.casefold() for word in _FIRST)


def _score(token: re.Match[str]) -> float:
    shown = token.group().strip()
    if token["range"]:
        raise ParseFailure("score_range", f"expected one rating, found the range {shown}")
    if token["scale"] and token["scale"].casefold() not in (SCALE, f"{SCALE}.0", "ten"):
        raise ParseFailure("other_scale", f"expected ratings out of 10, found {shown}")
    word = token["number"].casefold()
    return in_range(_WORDS[word] if word in _WORDS else float(word), shown)
