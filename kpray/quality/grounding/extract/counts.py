"""Claims about how many people there are."""

from __future__ import annotations

from typing import Final

import msgspec

from kpray.quality.grounding.claims import Claim, Mention
from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item
from kpray.quality.grounding.extract.reading import Reading

_VAGUE: Final = frozenset({"about", "around", "approximately", "roughly", "nearly", "almost", "or", "perhaps", "to"})
_MORE: Final = frozenset({"least", "than", "over", "additional", "other", "another"})
_FEWER: Final = frozenset({"most", "fewer", "less", "under"})
_EXACT: Final = frozenset({"only", "exactly", "just", "total", "altogether", "single", "lone"})


def find_counts(reading: Reading) -> None:
    """Add the claims about the number of people."""
    for index, item in enumerate(reading.sentence.items):
        if item.kind == "person" and not item.pronoun and item.mention is not None:
            _read_count(reading, index, item)
    _number_of_people(reading)


def _read_count(reading: Reading, index: int, item: Item) -> None:
    det = item.det.split()
    words = _before(reading, item)
    if item.mention is None or item.mention.other or item.mention.place or item.mention.ordinal:
        return
    if (
        (item.words and item.words[0] == "other")
        or words & _FEWER
        or words & _VAGUE
        or ("more" in det and "than" not in words)
    ):
        return
    if "no" in det and item.head == "person" and _is_whole(reading, index):
        _add(reading, index, item, 0, at_least=False)
        return
    if item.count is None or item.entity < 0:  # "the two are sitting" counts nobody
        return
    plain = _is_whole(reading, index)
    if item.count == 1:
        lone = bool((set(det) | words) & _EXACT) or _is_shown(reading, index)
        if plain and lone:
            _add(reading, index, item, 1, at_least=False)
        return
    definite = det[:1] in (["the"], ["these"], ["those"], ["his"], ["her"], ["their"], ["all"])
    taken = len(det) > 1 and det[0] in lex.NUMBERS and det[-1] in ("the", "them", "his", "her", "their", "these")
    at_least = item.at_least or bool(words & _MORE) or definite or taken or not plain
    number = item.count + (1 if words & {"than", "over"} else 0)
    _add(reading, index, item, number, at_least=at_least)


def _before(reading: Reading, item: Item) -> set[str]:
    """The two words before a phrase, and those within its determiners."""
    tokens = reading.sentence.tokens
    return {token.lower for token in tokens[max(0, item.first - 2) : item.first]} | set(item.det.split()) & _EXACT


def _is_whole(reading: Reading, index: int) -> bool:
    """Whether the phrase counts everybody in the image: nothing narrows it down."""
    items = reading.sentence.items
    item = items[index]
    if any(word not in ("single", "lone", "only", "different", "visible") for word in item.words):
        return False
    rest = items[index + 1 :]
    texts = [one.text for one in rest]
    while texts and texts[0] in (
        "be",
        "can",
        "appear",
        "see",
        "show",
        "visible",
        "present",
        "picture",
        "depict",
        "capture",
        "feature",
        "photograph",
        "in",
        "IMAGE",
        "of",
        "here",
        "total",
        "there",
        "view",
        "within",
        "it",
        "only",
        "alone",
        "exist",
    ):
        texts.pop(0)
    if texts[:3] == ["and", "P", "else"] or texts[:4] == [",", "and", "P", "else"]:
        texts = []
    tail_is_plain = not texts or texts[0] in (".", ";", ":", "!", "?", ",")
    return tail_is_plain and (_is_shown(reading, index) or len(texts) < len(rest))


def _is_shown(reading: Reading, index: int) -> bool:
    """As in "There are ...", "The image shows ...", "A picture of ...", or that many alone as an answer."""
    items = reading.sentence.items
    if index == 0:
        after = [one.text for one in items[1:4]]
        return (
            not after
            or after[0] == "."
            or bool({"IMAGE", "visible", "present", "here", "picture", "depict", "show", "feature"} & set(after))
            or ("see" in after or "appear" in after)
        )
    texts = [one.text for one in items[:index]]
    if "there" in texts or "IMAGE" in texts or "CAMERA" in texts:
        return items[index - 1].text in (
            "be",
            "not",
            *lex.IMAGE_VERBS,
            "of",
            "only",
            "exactly",
            "just",
            ",",
            "total",
            "at",
        )
    return any(text in texts for text in ("we", "you", "i", "one", "T", "scene")) and items[index - 1].text in (
        *lex.IMAGE_VERBS,
        "only",
        "just",
        "exactly",
    )


_PEOPLE: Final = frozenset({"people", "persons", "individuals", "humans", "men", "subjects"})
_NUMBER_IS: Final = frozenset({"is", "equals", "amounts"})


def _number_of_people(reading: Reading) -> None:
    """As in "The number of people in the image is four", "the people in the picture number four"."""
    tokens = reading.sentence.tokens
    lowers = [token.lower for token in tokens]
    if "number" not in lowers and "total" not in lowers:
        return
    start = lowers.index("number") if "number" in lowers else lowers.index("total")
    last = len(tokens) - 1 - (lowers[-1] == ".")
    number = read_number(lowers[last])
    counted = lowers[start + 1 : start + 2] == ["of"] and bool(_PEOPLE & set(lowers[start + 2 : start + 4]))
    told = bool(_PEOPLE & set(lowers[:start])) and lowers[0] == "the" and last - start <= 2
    if number is None or start == 0 or not ((counted and _NUMBER_IS & set(lowers[start:])) or told):
        return
    mention = Mention(text="people", quantity="all", head="person")
    reading.claims.append(
        Claim(reading.turn, tokens[start].start, tokens[last].end, "person_count", str(number), mention)
    )


def read_number(word: str) -> int | None:
    """A number in words or digits; None for anything else."""
    return lex.NUMBERS.get(word, int(word) if word.isdigit() and word.isascii() and len(word) < 4 else None)


def _add(reading: Reading, index: int, item: Item, number: int, *, at_least: bool) -> None:
    scope = reading.scopes[index]
    if scope.unreal or item.mention is None:
        return
    start, end = reading.sentence.span(index, index)
    who = msgspec.structs.replace(item.mention, quantity="all")
    reading.claims.append(
        Claim(
            turn=reading.turn,
            start=start,
            end=end,
            name="person_count",
            value=str(number),
            who=who,
            negated=scope.negated,
            hedged=scope.hedged,
            at_least=at_least,
        )
    )
