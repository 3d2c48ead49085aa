"""Claims about what a person is beside or on."""

from __future__ import annotations

from typing import Final

from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item
from kpray.quality.grounding.extract.objects import claim_object, is_known
from kpray.quality.grounding.extract.positions import RESTING
from kpray.quality.grounding.extract.reading import Reading

_THROUGH: Final = frozenset({"not", "up", "down", "close", "top", "of", "to", "onto", "out", "still", "there"})


def is_by(reading: Reading, index: int) -> bool:
    """As in "stands by the car", which is beside it; "is held by" is something else."""
    items = reading.sentence.items
    return (
        items[index].text == "by"
        and index > 0
        and items[index - 1].text in ("stand", "sit", "kneel", "crouch", "be", "pose", "wait", "remain", "squat")
    )


def find_beside(reading: Reading, index: int) -> None:
    """Add the claim of a "next to" at an item."""
    items = reading.sentence.items
    thing = index + 2 if items[index].text == "next" else index + 1
    if items[index].text == "next" and (index + 1 >= len(items) or items[index + 1].text != "to"):
        return
    if thing >= len(items):
        return
    _around(reading, "beside", index, thing)


def _around(reading: Reading, value: str, index: int, thing: int) -> None:
    """A person at a thing, or (of "next to") a thing at a person."""
    items = reading.sentence.items
    reference = _bearer(items[thing])
    turned = _inverted_at(reading, index, thing)
    subjects = (turned,) if turned else _who_is_there(reading, index)
    for subject in subjects:
        if subject.kind == "person" and subject.mention and is_known(reference):
            claim_object(reading, value, (subject,), thing, (index, thing), index)
        elif value == "beside" and is_known(subject) and reference.kind == "person" and reference.mention:
            number = next(here for here, item in enumerate(items) if item is subject)
            claim_object(reading, value, (reference,), number, (number, thing), index)


def _bearer(item: Item) -> Item:
    """The person whose body, side, weight or place it is; else the item itself."""
    of_body = item.text in ("TORSO", "FLANK") or item.head in ("place", "spot", "position", "weight", "seat")
    return item.owner if of_body and item.owner is not None and item.owner.mention else item


def _inverted_at(reading: Reading, index: int, thing: int) -> Item | None:
    items = reading.sentence.items
    if index != 0 and items[index - 1].text not in (",",):
        return None
    here = thing + 1
    if here + 1 < len(items) and items[here].text in RESTING and items[here + 1].kind in ("person", "thing"):
        return items[here + 1]
    return None


def _who_is_there(reading: Reading, index: int) -> tuple[Item, ...]:
    items = reading.sentence.items
    here = index - 1
    while here >= 0 and items[here].kind == "word" and items[here].text in _THROUGH:
        here -= 1
    if here < 0:
        return ()
    before = items[here]
    if before.kind == "person":
        return (before,)
    if before.kind != "word" or before.text not in RESTING:
        return ()
    if here and items[here - 1].kind in ("part", "thing"):
        owner = _bearer(items[here - 1])
        if owner.kind == "person" and owner.mention:
            return (owner,)
        if items[here - 1].kind == "part":
            return ()
    people = reading.about(here)
    subject = reading.subjects.finite[here]
    return people or (subject if subject and subject[-1].kind == "thing" else ())


def find_on(reading: Reading, index: int, item: Item) -> None:
    """Add the claim of an "on" at an item."""
    items = reading.sentence.items
    thing = index + 1
    if item.text == "on" and thing + 1 < len(items) and "top" in (items[thing].text, items[thing].head):
        thing += 2
    if (
        thing >= len(items)
        or not is_known(items[thing])
        or items[thing].head in ("phone", "cell phone", "tv", "television")
    ):
        return
    if item.text == "ride":
        if items[thing].head in lex.MOUNTS:
            claim_object(reading, "on", reading.about(index), thing, (index, thing), index)
    elif index and items[index - 1].text == "ride" and items[thing].head not in lex.MOUNTS:
        return
    else:
        _around(reading, "on", index, thing)
