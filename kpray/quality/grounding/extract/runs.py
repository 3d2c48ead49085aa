"""The words that tell the state of a limb: in front of its noun, the verb it is the object of, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.following import what_follows
from kpray.quality.grounding.extract.items import Item
from kpray.quality.grounding.extract.reading import Reading

_STATE_VERBS: Final = lex.words(
    """
    raise lift lower bend flex straighten extend stretch cross fold clasp spread hold keep put place rest bring
    lock reach drop tuck hang press outstretch elevate throw have let prop join set hoist fling thrust plant perch
    crook cock angle point stick poke jut shoot swing wave heave toss leave send move push pull wrap link close open
    part separate interlace interlock clench steeple fan splay stack dangle droop swing double plant lay lie shift
    position spread straighten display show turn stow cup shield cover hide support cradle rub scratch stroke brush
    """
)
_BLOCKS: Final = lex.words(
    """
    ; : . ! ? ( ) but while whereas although though with because which who that — – as -- so when if than
    instead rather
    """
)
GOALS: Final = lex.words(
    """
    on at to above over near by across against behind of from in beside below along alongside toward towards
    around under touch upon beneath past between
    """
)


@dataclass(slots=True)
class Run:
    """The words that tell a part's state, rendered, and the item of each word."""

    line: str
    at: list[tuple[int, int]]  # (position in the line, item)

    def item(self, position: int) -> int:
        """Index of the item at a position of the line."""
        return max((index for start, index in self.at if start <= position), default=self.at[0][1])


def gather(reading: Reading, index: int, item: Item) -> Run:
    """The words that tell the state of the part at `index`."""
    words = [word for word in item.words if word not in ("left", "right")]
    if _FULLY & set(words):
        words = ["fully_extend" if word in _EXTENDING else word for word in words]
    pieces: list[tuple[str, int]] = [(word, index) for word in words]
    pieces = _verbs_before(reading, index) + pieces
    pieces += _words_after(reading, index)
    line, at = " ", []
    for word, number in pieces:
        at.append((len(line), number))
        line += word + " "
    return Run(line, at or [(0, index)])


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
    if here >= 0 and items[here].text == "be" and particles and here and items[here - 1].kind != "part":
        return particles
    if here >= 0 and items[here].kind == "word" and items[here].text in _STATE_VERBS:
        return [(items[here].text, here), *particles]
    return []


def _reached(reading: Reading, before: int) -> list[tuple[str, int]]:
    items = reading.sentence.items
    for here in range(before - 1, max(-1, before - 5), -1):
        if items[here].text in ("reach", "stretch", "point", "extend", "wave"):
            return [(items[index].text, index) for index in range(here, before)]
        if items[here].text not in (
            "up",
            "over",
            "above",
            "HEAD",
            "high",
            "upwards",
            "upward",
            "overhead",
            "out",
            "sideways",
            "to",
            "FLANK",
            "skyward",
            "into",
            "T",
            "laterally",
        ):
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
    if item.head in ("air", "sky", "ceiling", "heaven", "heavens"):
        return "T_AIR"
    if item.kind == "thing" and item.head in ("angle", "degree", "degrees", "bend"):
        return "T_ANGLE"
    if item.kind == "thing" and item.head in ("ground", "floor", "earth", "snow", "grass"):
        return "T_GROUND"
    if item.kind == "thing" and item.head == "wing":
        return "T_wing"
    if (
        item.kind in ("thing", "part")
        and item.head == "side"
        and item.det in ("either", "each", "both", "one", "the other")
    ):
        return "T_EITHER"
    if item.kind == "bare":
        return "BARE" if "other" in item.det else "ONE"
    if item.kind == "thing" and item.head in ("height", "level"):
        return "T_LEVEL"
    tokens = reading.sentence.tokens
    if item.text in _EXTENDING and {token.lower for token in tokens[max(0, item.first - 2) : item.last + 5]} & _FULLY:
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
        return not (after.text in _CONTINUES or (after.kind == "word" and after.text in GOALS - {"in", "of", "from"}))
    if item.kind in ("person", "part", "thing", "side", "bare"):
        governed = before.kind == "word" and before.text not in (",", "and", "or")
        return not governed
    if item.kind == "word" and item.text in lex.VERBS and item.text not in LINKS:
        return True
    return item.text in ("to",) and after is not None and after.kind == "word" and after.text in _ACTS


_EXTENDING: Final = frozenset({"extend", "outstretched", "outstretch", "stretch"})
_FULLY: Final = frozenset({"fully", "completely", "entirely", "straight", "full"})
LINKS: Final = _STATE_VERBS | lex.words(
    """
    be rest hang point stay remain come appear seem look touch form make show have meet cover support position stick sit
    turn do cross move go get rise hover float stand extend reach jut poke shoot dangle droop become lie settle lodge
    nestle sink seem start wrap hold grip clutch grasp
    """
)
_CONTINUES: Final = lex.words(
    """
    raise lift lower bend flex straighten extend stretch cross fold clasp spread straight outstretched hang rest
    overhead up out down apart together akimbo high crook lock flex aloft sideways limp slack wide close
    """
)
_ACTS: Final = lex.words("hit catch throw hold keep balance maintain reach help prepare serve swing block shield wave")
