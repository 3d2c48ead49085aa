"""Claims about a person and a thing."""

from __future__ import annotations

import msgspec

from kpray.quality.grounding.claims import ClaimSide
from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item
from kpray.quality.grounding.extract.reading import Reading, as_thing


def is_known(item: Item) -> bool:
    """Whether it is a thing that pictures show, and no slope, phone call or street."""
    return item.kind == "thing" and item.head.split()[-1] in lex.THINGS | lex.ANIMALS


def claim_object(
    reading: Reading,
    value: str,
    who: tuple[Item, ...],
    thing: int,
    span: tuple[int, int],
    at: int,
    side: ClaimSide = "",
) -> None:
    """Add an ``object`` claim: `thing` is the item of the thing, `at` the one whose scope decides."""
    item = reading.sentence.items[thing]
    people = tuple(_without(one, item) for one in who if one is not item)
    negated = item.det.startswith(("no", "neither")) and item.kind == "thing"
    if value == "holding" and any(one.plural for one in people) and side == "both":
        side = "one"
    reading.add(
        "object", value, people, span, at=at, side=side, other=as_thing(reading.sentence, item), negated=negated
    )


def _without(person: Item, thing: Item) -> Item:
    """The person, not told apart by the very thing that the claim is about."""
    mention = person.mention
    if mention is None or thing.head not in mention.objects:
        return person
    others = tuple(head for head in mention.objects if head != thing.head)
    mention = msgspec.structs.replace(mention, objects=others)
    return Item("person", "P", person.first, person.last, mention=mention, entity=person.entity, plural=person.plural)
