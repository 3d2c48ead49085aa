"""Claims about a person and another person or a thing: left or right of it, holding, touching, beside, on."""

from __future__ import annotations

from typing import Final

from kpray.quality.grounding.claims import ClaimSide
from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item
from kpray.quality.grounding.extract.objects import claim_object, is_known
from kpray.quality.grounding.extract.positions import find_position
from kpray.quality.grounding.extract.reading import Reading
from kpray.quality.grounding.extract.surroundings import find_beside, find_on, is_by

_HOLD: Final = lex.words("hold grip grasp carry clutch wield cradle brandish clasp grab seize snatch tote lug")
_SWING: Final = frozenset({"swing"})


def find_relations(reading: Reading) -> None:
    """Add the claims about people and what is around them."""
    for index, item in enumerate(reading.sentence.items):
        if item.kind == "beside_of":
            find_position(reading, index, item)
        elif item.text in _HOLD or item.text in _SWING:
            _hold(reading, index)
        elif item.text == "touch":
            _touch(reading, index)
        elif item.text in ("next", "beside", "alongside") or is_by(reading, index):
            find_beside(reading, index)
        elif item.text in ("on", "ride", "atop", "upon", "aboard", "astride"):
            find_on(reading, index, item)
        elif item.kind == "part" and item.text == "HAND":
            _hand(reading, index, item)


def _hold(reading: Reading, index: int) -> None:
    items = reading.sentence.items
    if index and items[index - 1].text == "be" and index + 1 < len(items) and not items[index + 1].is_phrase:
        _held(reading, index)
        return
    if items[index].text in _SWING and not _has_thing(items, index):
        return
    hand = _hand_before(items, index)
    who = _holder(reading, index, hand)
    hand = 1 if hand is None and _opens_with_hand(items) else hand
    for here in _objects(items, index):
        side = _side_of(items[hand]) if hand is not None else _hand_after(reading, here)
        claim_object(reading, "holding", who, here, (index, here), index, side)
        _near_face(reading, who, index, here)


_STOPS: Final = lex.words(
    """
    . , ; and while but with as ! ? or at in to near ( )
    """
)
_NEAR_FACE: Final = frozenset({"near", "to", "at", "against"})


def _near_face(reading: Reading, who: tuple[Item, ...], index: int, thing: int) -> None:
    """As in "holds a phone to his ear": so is the hand."""
    items = reading.sentence.items
    here = thing + 2 if thing + 1 < len(items) and items[thing + 1].text in ("up", "close") else thing + 1
    if here + 1 < len(items) and items[here].text in _NEAR_FACE and items[here + 1].text == "FACE":
        alone = not any(one.plural for one in who)
        if items[here + 1].head != "eye" and alone:
            reading.add("hand_near_face", "yes", who, (index, here + 1), at=index, side="one")


def _opens_with_hand(items: list[Item]) -> bool:
    """As in "In his right hand, the man holds a frisbee"."""
    return len(items) > 3 and items[0].text in ("in", "with") and items[1].text == "HAND" and items[2].text == ","


def _has_thing(items: list[Item], index: int) -> bool:
    return any(is_known(items[here]) for here in _objects(items, index))


def _objects(items: list[Item], index: int) -> list[int]:
    """The things that follow a verb: "a cup", "up a cup and a plate"."""
    here = index + 1
    while here < len(items) and items[here].text in ("up", "out", "on", "onto", "to", "down", "of"):
        here += 1
    found = []
    while here < len(items) and items[here].kind == "thing" and items[here].text == "T":
        if items[here].head not in lex.UNHELD:
            found.append(here)
        if here + 2 < len(items) and items[here + 1].text in ("and", ",") and items[here + 2].kind == "thing":
            here += 2
            after = items[here + 1].text if here + 1 < len(items) else ""
            if after in ("be", "stand", "sit"):
                break
        else:
            break
    return found


def _hand_before(items: list[Item], index: int) -> int | None:
    """As in "his left hand holds", "uses her right hand to hold"."""
    here = index - 1
    while here >= 0 and items[here].text in ("be", "to"):
        here -= 1
    if here >= 2 and items[here].kind == "person" and items[here - 1].text == "of":
        here -= 2
    return here if here >= 0 and items[here].kind == "part" and items[here].text in ("HAND", "ARM") else None


def _holder(reading: Reading, index: int, hand: int | None) -> tuple[Item, ...]:
    if hand is None:
        return reading.about(index)
    return _owners(reading, hand)


def _owners(reading: Reading, index: int) -> tuple[Item, ...]:
    item = reading.sentence.items[index]
    if item.owner is not None:
        return (item.owner,) if item.owner.mention else ()
    chosen = reading.subjects.near[index] or reading.subjects.finite[index]
    people = tuple(one for one in chosen if one.kind == "person" and one.mention)
    return people or tuple(one for one in reading.subjects.finite[index] if one.kind == "person" and one.mention)


def _hand_after(reading: Reading, index: int) -> ClaimSide:
    """As in "in his left hand", "with both hands" after the thing."""
    items = reading.sentence.items
    for here in range(index + 1, min(index + 6, len(items) - 1)):
        if items[here].text in ("in", "with") and items[here + 1].text in ("HAND", "ARM"):
            return _side_of(items[here + 1]) if _ends_there(items, here + 2) else "one"
        if items[here].text in (";", ",", "while", "but", "and"):
            break
    return "one"


def _ends_there(items: list[Item], here: int) -> bool:
    """Whether nothing tells where the hand is: "holds a bat with his left hand raised" may be the other hand's."""
    return here >= len(items) or items[here].kind == "place" or items[here].text in _STOPS


def _side_of(hand: Item) -> ClaimSide:
    if hand.side in ("left", "right", "both"):
        return hand.side  # type: ignore[return-value]
    return "both" if hand.plural and hand.side == "" else "one"


def _held(reading: Reading, index: int) -> None:
    """As in "The racket is held in her left hand", "is held by the man"."""
    items = reading.sentence.items
    subject = reading.subjects.finite[index]
    if not subject or subject[-1].kind != "thing" or index + 2 >= len(items):
        return
    thing = next((here for here in range(index) if items[here] is subject[-1]), None)
    agent = items[index + 2]
    if thing is None or items[thing].text != "T":
        return
    if agent.kind == "part" and agent.text == "HAND":
        claim_object(reading, "holding", _owners(reading, index + 2), thing, (thing, index + 2), index, _side_of(agent))
    elif agent.kind == "person" and items[index + 1].text == "by":
        claim_object(reading, "holding", (agent,), thing, (thing, index + 2), index, _hand_after(reading, index + 2))


def _touch(reading: Reading, index: int) -> None:
    items = reading.sentence.items
    if index + 2 < len(items) and items[index + 1].text == "by" and items[index + 2].kind == "person":
        subject = reading.subjects.finite[index]
        thing = next((here for here in range(index) if subject and items[here] is subject[-1]), None)
        if thing is not None and items[thing].text == "T":
            claim_object(reading, "touching", (items[index + 2],), thing, (thing, index + 2), index, "one")
        return
    hand = _hand_before(items, index)
    who = _holder(reading, index, hand)
    for here in _objects(items, index):
        side = _side_of(items[hand]) if hand is not None else _hand_after(reading, here)
        claim_object(reading, "touching", who, here, (index, here), index, side)


def _hand(reading: Reading, index: int, hand: Item) -> None:
    """As in "a cup in his left hand", "his hand rests on the table", "in her hand is a cup"."""
    items = reading.sentence.items
    if index >= 2 and items[index - 1].text in ("in", "with") and items[index - 2].text == "T":
        _thing_in_hand(reading, index, hand)
    elif index >= 3 and [one.text for one in items[index - 3 : index]] == ["T", "be", "in"]:
        claim_object(reading, "holding", _owners(reading, index), index - 3, (index - 3, index), index, _side_of(hand))
    elif index >= 1 and items[index - 1].text == "in" and (index == 1 or items[index - 2].text in (",", "and")):
        here = index + 1
        if here < len(items) and items[here].text == "of":
            here += 2
        if here + 1 < len(items) and items[here].text in ("be", "there") and items[here + 1].text == "T":
            claim_object(
                reading, "holding", _owners(reading, index), here + 1, (index - 1, here + 1), here, _side_of(hand)
            )
    else:
        _hand_on(reading, index, hand)


def _thing_in_hand(reading: Reading, index: int, hand: Item) -> None:
    """As in "with a cup in his hand", "has a cup in his hand"; a verb of holding has been read already."""
    items = reading.sentence.items
    thing = index - 2
    before = items[thing - 1].text if thing else ""
    there = items[index - 1].text == "in" and before in ("with", "have", "keep", "", ",", "and", "see", "be")
    if there and items[thing].head not in lex.UNHELD:
        claim_object(reading, "holding", _owners(reading, index), thing, (thing, index), index, _side_of(hand))


def _hand_on(reading: Reading, index: int, hand: Item) -> None:
    items = reading.sentence.items
    here = index + 1
    while here < len(items) and items[here].text in (
        "be",
        "rest",
        "place",
        "not",
        "lie",
        "lay",
        "press",
        "put",
        "hold",
        "up",
    ):
        here += 1
    if here + 1 < len(items) and items[here].text in ("on", "against", "upon") and items[here + 1].text == "T":
        claim_object(reading, "touching", _owners(reading, index), here + 1, (index, here + 1), here, _side_of(hand))
