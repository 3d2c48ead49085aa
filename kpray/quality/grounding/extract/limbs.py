"""Claims about arms, hands, elbows, knees, legs and feet.

For each part the words that tell its state are gathered: the adjectives in front of its noun, the verb that it is the
object of, and what follows up to the end of its clause. Patterns are then looked for in these words.
"""

from __future__ import annotations

from typing import Final

from kpray.quality.grounding.claims import ClaimSide
from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item
from kpray.quality.grounding.extract.patterns import LIMBS, Pattern
from kpray.quality.grounding.extract.reading import Reading
from kpray.quality.grounding.extract.runs import GOALS, LINKS, Run, gather

_PLURAL_ONLY: Final = frozenset({"hands", "arms_crossed", "legs"})
_PARTS: Final = frozenset({"ARM", "HAND", "ELBOW", "KNEE", "LEG", "FOOT"})


def find_limbs(reading: Reading) -> None:
    """Add the claims about limbs."""
    _fill_ellipses(reading)
    for index, item in enumerate(reading.sentence.items):
        if item.kind == "part" and item.text in _PARTS and not _is_goal(reading, index):
            _read_part(reading, index, item)


def _fill_ellipses(reading: Reading) -> None:
    """As in "his left arm is raised and the right is straight", "one hand on his hip and the other at his face"."""
    last: Item | None = None
    for index, item in enumerate(reading.sentence.items):
        if item.kind == "part" and item.text in _PARTS:
            opened = (
                index and reading.sentence.items[index - 1].text == "of" and index == 1
            )  # "of his two arms, the left"
            last = item if item.side in ("left", "right", "one") or opened else None
        stands_alone = item.kind == "side" or (
            item.kind == "bare" and item.det in ("the other", "other", "his other", "her other")
        )
        if (
            last is not None
            and stands_alone
            and not _is_goal(reading, index)
            and reading.sentence.items[index - 1].text != "from"
        ):
            item.kind, item.text, item.plural = "part", last.text, False
            item.side = item.side or "one"
            item.owner = item.owner or last.owner


def _is_goal(reading: Reading, index: int) -> bool:
    """Whether a part is only where another is ("with his hand on his knee") or holds a thing ("a cup in his hand")."""
    items = reading.sentence.items
    before = items[index - 1] if index else None
    if before is None or (before.text == "in" and index > 1 and items[index - 2].head == "bend"):
        return False
    return before.kind == "word" and before.text in GOALS


def _read_part(reading: Reading, index: int, item: Item) -> None:
    run = gather(reading, index, item)
    who = _whose(reading, index, item)
    if not who or _is_elsewhere(reading, index):
        return
    found: set[str] = set()
    for pattern in LIMBS:
        if item.text not in pattern.parts or (pattern.name in found and pattern.name in ("arm", "legs", "hands")):
            continue
        if pattern.name in _PLURAL_ONLY and not _may_be_both(item, pattern, run):
            continue
        match = pattern.words.search(run.line)
        if match is None or (pattern.unless and pattern.unless.search(run.line)):
            continue
        found.add(pattern.name)
        _add(reading, pattern, index, item, who, run.item(match.start()), run.item(match.end() - 1))


def _may_be_both(item: Item, pattern: Pattern, run: Run) -> bool:
    """As in "one hand" is not together; "one leg crossed over the other" is."""
    return item.plural or item.side == "both" or pattern.value == "crossed" or " BARE " in run.line


def _add(
    reading: Reading, pattern: Pattern, index: int, item: Item, who: tuple[Item, ...], first: int, last: int
) -> None:
    if _is_anothers(reading.sentence.items[last], who):
        return
    none = item.det.startswith(("no", "neither", "none", "not"))
    side: ClaimSide = ""
    if pattern.name not in _PLURAL_ONLY:
        side = _side(item, who)
    at = max(first, last) if max(first, last) > index else index
    if first < index:
        at = first if reading.scopes[first].unreal or reading.scopes[first].negated else index
    reading.add(pattern.name, pattern.value, who, (min(index, first), max(index, last)), at=at, side=side, negated=none)


def _is_anothers(goal: Item, who: tuple[Item, ...]) -> bool:
    """As in "his hands on her hips": a claim about two people, which no pattern means."""
    if goal.kind != "part" or goal.owner is None:
        return False
    owner = goal.owner
    if owner.entity >= 0 and all(one.entity >= 0 for one in who):
        return all(one.entity != owner.entity for one in who)
    return any(_gender(owner) != _gender(one) for one in who)


def _gender(item: Item) -> str:
    return lex.PRONOUN_GENDER.get(item.pronoun, "any")


def _side(item: Item, who: tuple[Item, ...]) -> ClaimSide:
    if item.side in ("left", "right"):
        return item.side  # type: ignore[return-value]
    if item.side == "both":
        return "both"
    several = any(one.plural for one in who)
    return "both" if item.side == "" and item.plural and not several else "one"


def _whose(reading: Reading, index: int, item: Item) -> tuple[Item, ...]:
    """The people whose part it is; a guess where the text does not say it."""
    if item.owner is not None:
        return (item.owner,) if item.owner.kind == "person" and item.owner.mention else ()
    people = tuple(one for one in reading.subjects.near[index] if one.kind == "person" and one.mention)
    if not people:
        people = tuple(one for one in reading.subjects.finite[index] if one.kind == "person" and one.mention)
    if people:
        return people
    subject = reading.subjects.finite[index]
    if subject and subject[-1].owner is not None and subject[-1].owner.mention is not None:
        return (subject[-1].owner,)
    if subject and subject[-1].kind == "thing" and subject[-1].text not in ("IMAGE", "CAMERA"):
        return ()
    return (reading.somebody(index),) if _is_told(reading, index, item) else ()


def _is_told(reading: Reading, index: int, item: Item) -> bool:
    """Whether a sentence without people speaks of somebody ("Both arms are raised.") and not of everybody."""
    after = reading.sentence.items[index + 1].text if index + 1 < len(reading.sentence.items) else ""
    if index and reading.sentence.tokens[0].lower.endswith("ing"):
        return False
    return bool(item.det) and (after in LINKS or item.side == "both") and bool(reading.discourse.known)


def _is_elsewhere(reading: Reading, index: int) -> bool:
    """As in "the arm on the left side of the image": a place of the image, not the person's side."""
    items = reading.sentence.items
    after = items[index + 1] if index + 1 < len(items) else None
    return after is not None and after.kind == "place" and items[index].side == "one"
