"""Claims about who is to the left or right of whom, or of what, in the image."""

from __future__ import annotations

from typing import Final

from kpray.quality.grounding.claims import Mention, Thing
from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item
from kpray.quality.grounding.extract.objects import is_known
from kpray.quality.grounding.extract.reading import Reading, as_thing

RESTING: Final = lex.words(
    """
    be stand sit ride lie kneel perch crouch balance place position locate situate seat squat see find up rest
    recline pose appear show picture photograph remain stay wait capture depict set station park feature portray
    mount lean
    """
)


def find_position(reading: Reading, index: int, item: Item) -> None:
    """Add the claim of a "to the left of" at an item."""
    items = reading.sentence.items
    if index + 1 >= len(items):
        return
    reference = items[index + 1]
    if reference.kind not in ("person", "thing") or reference.text == "IMAGE":
        return
    subjects = _inverted(reading, index) or _located(reading, index)
    for subject in subjects:
        if subject is not reference:
            _place(reading, subject, reference, item.head, index)


def _place(reading: Reading, subject: Item, reference: Item, side: str, index: int) -> None:
    """One claim; where a thing is the subject, it is turned round."""
    if subject.kind == "thing":
        subject, reference = reference, subject
        side = "right" if side == "left" else "left"
    if subject.kind != "person" or subject.mention is None:
        return
    other = _other(reading, reference)
    if other is not None:
        reading.add("position", f"image_{side}_of", (subject,), (index, index + 1), at=index, other=other)


def _other(reading: Reading, item: Item) -> Mention | Thing | None:
    if item.kind == "person":
        return item.mention
    return as_thing(reading.sentence, item) if is_known(item) else None


def _inverted(reading: Reading, index: int) -> tuple[Item, ...]:
    """As in "To the left of the man is a woman": who comes after the verb."""
    items = reading.sentence.items
    opens = index == 0 or items[index - 1].text in (",", "and", ";", "while", "where", "that", ":")
    if not opens:
        return ()
    here = index + 2
    while (
        here + 1 < len(items) and items[here].text in ("in", "with", "wear", "hold") and items[here + 1].kind == "thing"
    ):
        here += 2
    while here < len(items) and (
        items[here].kind == "place" or items[here].text in (",", "there", "we", "you", "can", "see")
    ):
        here += 1
    seen = items[here - 1].text == "see"
    verb_seen = here < len(items) and items[here].kind == "word" and items[here].text in (*RESTING, *lex.IMAGE_VERBS)
    here += 1 if verb_seen else 0
    comma_seen = items[here - 1].text == ","
    if here < len(items) and (verb_seen or comma_seen or seen) and items[here].kind in ("person", "thing"):
        return (items[here],)
    return ()


def _located(reading: Reading, index: int) -> tuple[Item, ...]:
    items = reading.sentence.items
    before = items[index - 1] if index else None
    spot = (
        before is not None
        and before.kind == "thing"
        and before.head in ("spot", "place", "position", "location", "area", "space")
    )
    if before is not None and before.kind in ("person", "thing") and before.text != "IMAGE" and not spot:
        return (before,)
    chosen = reading.subjects.finite[index]
    if before is not None and before.kind == "word" and reading.sentence.tokens[before.first].lower.endswith("ing"):
        chosen = reading.subjects.near[index - 1]
    return tuple(_real(one) for one in chosen if one.kind in ("person", "thing"))


def _real(item: Item) -> Item:
    """The owner of a position or spot that is said to be somewhere."""
    return item.owner if item.kind == "thing" and item.owner is not None else item
