"""Words behind a person's noun that only say who is meant: they go into the person's item, out of the sentence.

"The skier that we see on the left is sitting" then reads like "the skier is sitting".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item, Sentence
from kpray.quality.grounding.text import Token

_SEEN: Final = (
    "(?:see|show|picture|visible|locate|position|situate|place|find|feature|depict|photograph|capture|display|present"
    "|appear|portray|represent|view|catch|set|be)"
)
_REL: Final = "(?:(?:who|that|which) (?:can )?(?:be )?)?"
_LEAD: Final = rf"(?:, |\( )?{_REL}(?:{_SEEN} )?(?:here )?"
_CLOSE: Final = r"(?: \))?"
_WITHIN: Final = (
    r"(?: (?:of|in) (?:BARE|P|IMAGE|T_\w*(?:group|trio|row|line|pair|three|lineup|duo|set|threesome|lot)))?"
)
_COUNT: Final = (
    "(?:(?:, |\\( )?(?:(?:if|when|as) )?(?:(?:we|you|one|BARE) )?(?:(?:count|start|see|read|begin|look|go|view) )?)"
)
_IN_ORDER: Final = rf"(?:, |\( )?{_REL}(?:(?:come|rank|stand|appear|be|occupy) )?(?:(?:in|at|on) )?(?:ORD|RANK)"

_PLACE: Final = re.compile(rf"{_LEAD}(PLACE){_WITHIN}{_CLOSE}(?= )")
_MIDDLE: Final = re.compile(
    rf"{_LEAD}(?:(?:in|at|occupy|hold|take|from) )?(?:T_\w*(?:middle|central|center|centre|mid)\w*|amid|midst"
    rf"|between (?:BARE|P)(?: and (?:BARE|P))?"
    r"|(?:flank|surround|frame|sandwich)(?: on FLANK)? (?:by|between) (?:BARE|P)(?: on FLANK)?"
    rf"|with (?:P|BARE|T_\w+) (?:on|at|to) (?:either|FLANKS)){_WITHIN}{_CLOSE}(?= )"
)
_AMONG: Final = r"(?:(?:of|in) (?:BARE|P|IMAGE|T_\w*(?:group|trio|row|line|pair|lineup)) )?"
_ORDER: Final = re.compile(rf"(?:{_IN_ORDER} )?{_AMONG}{_COUNT}?FROM{_CLOSE}(?: ,)?(?= )")
_SIGHT: Final = re.compile(
    r"(?:(?:that|whom|which|who) )?(?:we|you|i|one) (?:can )?(?:see|notice|observe|find)(?: (?:here|in IMAGE))?"
    r"(?= (?!P |T_|ARM|HAND|that))"
    r"|(?:before|in front of|in FRONT of) (?:us|CAMERA|lens)(?= )"
    rf"|{_LEAD}(?:at|in) T_(?:heart|focus|center|centre) of IMAGE(?= )"
)
_SHOWN: Final = re.compile(
    rf"(?:(?:who|that|which) (?:can )?(?:be )?)?{_SEEN} (?:here|(?:in|within|on|from) IMAGE)(?= )"
    r"|(?:who|that|which) (?:can )?be (?:show|visible|present|picture|depict|see|photograph|feature)"
    r"(?= (?!from|with|in|on|at|by)\w)"
    r"|(?:of|in) T_(?:group|row|line|trio|pair|lineup)(?= )|of IMAGE(?= )"
)
_INSIDE: Final = re.compile(r"(?:in|within|on|from) IMAGE(?= )")
_HOLDER: Final = re.compile(
    r"(?:, )?(?:(?:who|that|which) )?(?:be )?(?:(?:see|show|picture|find) )?(?:who )?"
    r"(?:hold|carry|grip|grasp|clutch|bear|wield|brandish|keep|use|have|in|with|(?:in )?possession|in T_\w*possession)"
    r"(?: (?:hold|of|on|onto|to|up|T_hold))*"
    r" (T_\w+)(?: (?:in|at) (HAND))?(?= )|whose HAND (?:hold|grip|grasp|carry) (T_\w+)(?= )"
)
_OPENING: Final = re.compile(rf" (?:{_COUNT})?FROM , (?=P )")


def absorb(sentence: Sentence) -> None:
    """Take up what only identifies the people of a sentence."""
    items = sentence.items
    _take_opening(sentence)
    index = 0
    while index < len(items):
        item = items[index]
        if item.kind == "bare" and _becomes_person(items, index):
            item.kind, item.text, item.head = "person", "P", "person"
            item.plural = not item.det.endswith(("one", "other")) and item.rank is None and not _ordinal(item)
            if _ordinal(item):
                item.plural = False
        if item.kind == "person" and not item.pronoun:
            for _ in range(3):
                if not _take(items, index, sentence.tokens):
                    break
        index += 1


def _line(items: list[Item]) -> tuple[str, list[int]]:
    """What follows, so that the patterns here tell ordinals and places apart, and where each item ends."""
    names, ends, position = [], [], 1
    for item in items:
        name = _name(item)
        names.append(name)
        position += len(name) + 1
        ends.append(position - 1)
    return " ".join(names) + " ", ends


def _name(item: Item) -> str:
    ordinal = _ordinal(item)
    if item.kind == "from":
        return "FROM"
    if ordinal and item.kind == "bare":
        return "ORD"
    if item.kind == "thing" and ordinal and item.head in ("position", "place", "spot", "rank", "slot"):
        return "RANK"
    if item.kind == "place":
        return "PLACE"
    if item.kind == "part" and item.head == "side" and item.det in ("each", "either", "both"):
        return "FLANKS"
    if item.kind == "thing" and item.text != "IMAGE" and item.text != "CAMERA":
        return "_".join(("T", *(re.sub("[^a-z]", "", word) for word in (*item.words, item.head))))
    return item.text


def _ordinal(item: Item) -> int | None:
    return next((lex.ORDINALS[word] for word in item.det.split() if word in lex.ORDINALS), None)


def _becomes_person(items: list[Item], index: int) -> bool:
    """As in "the second from the left", "the two in the picture", "both on the right", "the middle one"."""
    if index > 1 and items[index - 1].text in ("than", "to") and items[index - 2].kind == "part":
        return False
    line, _ = _line(items[index + 1 : index + 9])
    if _ordinal(items[index]):
        return bool(_ORDER.match(line))
    if any(item.kind == "part" for item in items[:index]):
        return False
    return bool(re.match(r"(?:in|within) IMAGE |PLACE ", line))


def _identifies(item: Item, tokens: Sequence[Token]) -> bool:
    """Whether a phrase that begins so tells who is meant: no finite verb does."""
    verb = item.kind == "word" and item.text in lex.VERBS
    return (
        not verb
        or tokens[item.first].lower.endswith("ing")
        or tokens[item.first].lower in ("seen", "shown", "pictured")
    )


def _take(items: list[Item], index: int, tokens: Sequence[Token]) -> bool:
    """One group of such words behind the person at `index`; whether there was any."""
    person = items[index]
    line, ends = _line(items[index + 1 : index + 14])
    ordered = _ORDER.match(line)
    if ordered and "FROM" in ordered[0]:
        group = _matched(items, index, ordered, ends)
        person.rank = next((_ordinal(item) for item in group if _ordinal(item)), None) or _ordinal(person)
        person.rank_from = next(item.head for item in group if item.kind == "from")
        if person.rank is None:
            person.where, person.rank_from = person.rank_from, ""
        return _remove(items, index, len(group))
    placed = _PLACE.match(line)
    if placed and not placed[0].startswith("be "):
        group = _matched(items, index, placed, ends)
        person.where = person.where or next(item.head for item in group if item.kind == "place")
        return _remove(items, index, len(group))
    middle = _MIDDLE.match(line)
    if middle and not person.plural and not middle[0].startswith("be "):
        person.where = person.where or "middle"
        return _remove(items, index, len(_matched(items, index, middle, ends)))
    seen = _SIGHT.match(line) or (None if person.count else _SHOWN.match(line))
    if not seen and person.count is None and person.det.startswith(("the", "this", "that")):
        seen = _INSIDE.match(line)
    if seen and not seen[0].startswith(("be ", "appear ", "present ")):
        return _remove(items, index, len(_matched(items, index, seen, ends)))
    holder = _HOLDER.match(line)
    if holder:
        group = _matched(items, index, holder, ends)
        if not _identifies(group[0], tokens):
            return False
        of_person = bool(index) and items[index - 1].text == "of"
        _note_holder(items, index, group)
        after = items[index + 1 + len(group)].text if index + 1 + len(group) < len(items) else "?"
        asked = items[-1].text == "?" and after not in ("?", "in", ",", "and", "with", "on", "at")
        told = asked or of_person or "HAND" in (i.text for i in group[1:])
        if told and person.having and not any(item.kind == "part" and item.det for item in group):
            return _remove(items, index, len(group))
    return False


def _matched(items: list[Item], index: int, match: re.Match[str], ends: list[int]) -> list[Item]:
    count = sum(1 for end in ends if end <= match.end() + 1)
    return items[index + 1 : index + 1 + count]


def _remove(items: list[Item], index: int, count: int) -> bool:
    items[index].until = max(item.last for item in items[index + 1 : index + 1 + count])
    del items[index + 1 : index + 1 + count]
    return True


def _note_holder(items: list[Item], index: int, group: list[Item]) -> None:
    """The thing in somebody's hands tells who it is; what is said of it stays in the sentence."""
    person = items[index]
    thing = next((item for item in group if item.kind == "thing" and item.head in lex.THINGS), None)
    if thing is not None and group[0].text not in (",", "be", "have", "use", "keep"):
        person.having = (thing.head,)


def _take_opening(sentence: Sentence) -> None:
    """As in "From the left, the second skier", "counting from the left, the second skier"."""
    items = sentence.items
    for index, item in enumerate(items):
        if item.kind != "from" or index + 2 >= len(items):
            continue
        person = items[index + 2]
        if items[index + 1].text == "," and person.kind == "person" and _ordinal(person):
            person.rank_from = item.head
            start = (
                index - 1 if index and items[index - 1].text in ("count", "start", "begin", "see", "read") else index
            )
            del items[start : index + 2]
            return
