"""Claims about arms, hands, elbows, knees, legs and feet.

For each part the words that tell its state are gathered: the adjectives in front of its noun, the verb that it is the
object of, and what follows up to the end of its clause. Patterns are then looked for in these words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kpray.quality.grounding.claims import ClaimSide
from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item, unsure
from kpray.quality.grounding.extract.patterns import LIMBS, Pattern
from kpray.quality.grounding.extract.people import what_follows
from kpray.quality.grounding.extract.reading import Reading

_STATE_VERBS: Final = lex.words(
    """
    raise lift lower bend flex straighten extend stretch cross fold clasp spread hold keep put place rest bring
    lock reach drop tuck hang press outstretch elevate throw have let prop join set
    """
)
_BLOCKS: Final = lex.words(
    """
    ; : . ! ? ( ) but while whereas although though with because which who that — – as -- so when if than
    instead rather
    """
)
_PLURAL_ONLY: Final = frozenset({"hands", "arms_crossed", "legs"})
_PARTS: Final = frozenset({"ARM", "HAND", "ELBOW", "KNEE", "LEG", "FOOT"})
_GOALS: Final = lex.words(
    """
    on at to above over near by across against behind of from in beside below along alongside toward towards
    around under touch upon beneath past between
    """
)


@dataclass(slots=True)
class _Run:
    """The words that tell a part's state, rendered, and the item of each word."""

    line: str
    at: list[tuple[int, int]]  # (position in the line, item)

    def item(self, position: int) -> int:
        return max((index for start, index in self.at if start <= position), default=self.at[0][1])


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
            last = item if item.side in ("left", "right", "one") else None
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
    return before.kind == "word" and before.text in _GOALS


def _read_part(reading: Reading, index: int, item: Item) -> None:
    run = _gather(reading, index, item)
    who = _whose(reading, index, item)
    if not who or _is_elsewhere(reading, index):
        return
    found: set[str] = set()
    for pattern in LIMBS:
        if item.text not in pattern.parts or (pattern.name in found and pattern.name in ("arm", "legs", "hands")):
            continue
        if pattern.name in _PLURAL_ONLY and not _may_be_both(item, pattern):
            continue
        match = pattern.words.search(run.line)
        if match is None or (pattern.unless and pattern.unless.search(run.line)):
            continue
        found.add(pattern.name)
        _add(reading, pattern, index, item, who, run.item(match.start()), run.item(match.end() - 1))


def _may_be_both(item: Item, pattern: Pattern) -> bool:
    """As in "one hand" is not together; "one leg crossed over the other" is."""
    return (
        item.plural or item.side == "both" or (pattern.value in ("crossed",) and item.side in ("one", "left", "right"))
    )


def _add(
    reading: Reading, pattern: Pattern, index: int, item: Item, who: tuple[Item, ...], first: int, last: int
) -> None:
    if _is_anothers(reading.sentence.items[last], who):
        return
    none = item.det.startswith(("no", "neither", "none")) or (item.det.startswith("not"))
    side: ClaimSide = ""
    if pattern.name not in _PLURAL_ONLY:
        side = _side(item, who)
    at = max(first, last) if max(first, last) > index else index
    if first < index:
        at = first if reading.scopes[first].unreal else index
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
    return (unsure(reading.somebody(index)),) if _is_told(reading, index, item) else ()


def _is_told(reading: Reading, index: int, item: Item) -> bool:
    """Whether a sentence without people speaks of somebody ("Both arms are raised.") and not of everybody."""
    after = reading.sentence.items[index + 1].text if index + 1 < len(reading.sentence.items) else ""
    if index and reading.sentence.tokens[0].lower.endswith("ing"):
        return False
    return bool(item.det) and after in ("be", "rest", "hang") and bool(reading.discourse.known)


def _is_elsewhere(reading: Reading, index: int) -> bool:
    """As in "the arm on the left side of the image": a place of the image, not the person's side."""
    items = reading.sentence.items
    after = items[index + 1] if index + 1 < len(items) else None
    return after is not None and after.kind == "place" and items[index].side == "one"


def _gather(reading: Reading, index: int, item: Item) -> _Run:
    pieces: list[tuple[str, int]] = [(word, index) for word in item.words if word not in ("left", "right")]
    pieces = _verbs_before(reading, index) + pieces
    pieces += _words_after(reading, index)
    line, at = " ", []
    for word, number in pieces:
        at.append((len(line), number))
        line += word + " "
    return _Run(line, at or [(0, index)])


def _verbs_before(reading: Reading, index: int) -> list[tuple[str, int]]:
    """As in "raises", "holds up", "is crossing": the verb that has the part as its object."""
    items = reading.sentence.items
    here = index - 1
    particles: list[tuple[str, int]] = []
    while here >= 0 and items[here].text in ("up", "out", "down", "high", "wide", "apart", "straight"):
        particles.append((items[here].text, here))
        here -= 1
    if here >= 2 and items[here].text == "with":  # "reaches up with his left hand"
        return _reached(reading, here)
    if here >= 2 and items[here].text == "in" and items[here - 1].head == "bend":  # "a bend in his left elbow"
        return [("bend", here - 1)]
    if here >= 0 and items[here].kind == "word" and items[here].text in _STATE_VERBS:
        return [(items[here].text, here), *particles]
    return []


def _reached(reading: Reading, before: int) -> list[tuple[str, int]]:
    items = reading.sentence.items
    for here in range(before - 1, max(-1, before - 5), -1):
        if items[here].text == "reach":
            return [(items[index].text, index) for index in range(here, before)]
        if items[here].text not in ("up", "over", "above", "HEAD", "high", "upwards", "upward", "overhead"):
            break
    return []


def _words_after(reading: Reading, index: int) -> list[tuple[str, int]]:
    items = reading.sentence.items
    pieces: list[tuple[str, int]] = []
    of_owner = index + 2 < len(items) and items[index + 1].text == "of" and items[index + 2].kind == "person"
    if of_owner:
        index = what_follows(reading.sentence, index + 2).end
    for here in range(index + 1, min(index + 14, len(items))):
        item = items[here]
        higher = item.text == "than" and items[here - 1].text == "high"
        if (item.text in _BLOCKS and not higher) or _begins_another(reading, here):
            if _joins_part(items, here) and here == index + 1:
                return _words_after(reading, here + 1)
            break
        pieces += [(word, here) for word in _pieces(reading, here)]
    return pieces


def _joins_part(items: list[Item], here: int) -> bool:
    """As in "arms and legs": what follows is said of both."""
    return items[here].text == "and" and here + 1 < len(items) and items[here + 1].kind == "part"


def _pieces(reading: Reading, index: int) -> list[str]:
    """What an item is to the patterns; of "in a bent position" the words count."""
    item = reading.sentence.items[index]
    return [*item.words] if item.text.startswith("POSE_") and item.words else [_piece(reading, index)]


def _piece(reading: Reading, index: int) -> str:
    item = reading.sentence.items[index]
    if item.head in ("air", "sky", "ceiling"):
        return "T_AIR"
    if item.kind == "thing" and item.head in ("angle", "degree", "degrees", "bend"):
        return "T_ANGLE"
    if item.kind == "thing" and "either" in item.det:
        return "T_EITHER"
    if item.kind == "thing" and item.head in ("height", "level"):
        return "T_LEVEL"
    tokens = reading.sentence.tokens
    if item.text == "extend" and tokens[item.first - 1].lower in ("fully", "completely", "straight"):
        return "fully_extend"
    return item.text


def _begins_another(reading: Reading, here: int) -> bool:
    """Whether a new subject, or what the person does besides, begins at this item."""
    items = reading.sentence.items
    item, before = items[here], items[here - 1]
    after = items[here + 1] if here + 1 < len(items) else None
    if item.text in ("and", ",", "or"):
        if after is None or reading.sentence.tokens[after.first].lower.endswith(("s", "ing")):
            return True  # "keeps his arms raised and bends his knees": what the person does besides
        return not (after.text in _CONTINUES or (after.kind == "word" and after.text in _GOALS - {"in", "of", "from"}))
    if item.kind in ("person", "part", "thing", "side", "bare"):
        governed = before.kind == "word" and before.text not in (",", "and", "or")
        return not governed
    if item.kind == "word" and item.text in lex.VERBS and item.text not in _LINKS:
        return True
    return item.text in ("to",) and after is not None and after.kind == "word" and after.text in _ACTS


_LINKS: Final = _STATE_VERBS | lex.words(
    """
    be rest hang point stay remain come appear seem look touch form make show have meet cover support position stick sit
    turn do cross move
    """
)
_CONTINUES: Final = lex.words(
    """
    raise lift lower bend flex straighten extend stretch cross fold clasp spread straight outstretched hang rest
    overhead up out down apart together akimbo
    """
)
_ACTS: Final = lex.words("hit catch throw hold keep balance maintain reach help prepare serve swing block shield wave")
