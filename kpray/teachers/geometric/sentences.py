"""From statements about one person to sentences: pairing, linking, naming and pronouns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from kpray.teachers.geometric.english import sentence
from kpray.teachers.geometric.refer import Referent, Slots
from kpray.teachers.geometric.statements import Statement
from kpray.teachers.geometric.wording import Writer

Group = tuple[Statement, ...]

_TWO_FRAMES: Final = ("two.vp_vp", "two.vp_with", "two.ing_vp", "two.vp_ing", "two.vp_full", "two.full_full")
_CONTRAST_FRAMES: Final = ("contrast.full_full", "contrast.vp_full")
_THREE_FRAMES: Final = ("three.vp_vp_vp", "three.vp_with_with", "three.vp_vp_with")
_LETTERS: Final = "abc"


def tell(writer: Writer, who: Referent, said: Sequence[Statement], *, known: bool = False) -> list[str]:
    """Sentences that say these statements, in their order.

    Args:
        writer: Draws the forms.
        who: The person.
        said: What to say.
        known: Whether the text has just named the person, so that a pronoun will do.

    Returns:
        Whole sentences; the first names the person unless it is known.
    """
    sentences: list[str] = []
    topics_before: set[str] = set()
    for group in _grouped(writer, said):
        named = not known if not sentences else len(sentences) % 4 == 3 and who.short
        lead = _lead(writer, group, topics_before) if sentences else ""
        sentences.append(_realise(writer, who, group, named=named, lead=lead))
        topics_before.update(s.topic for s in group)
    return sentences


def tell_one(writer: Writer, who: Referent, statement: Statement, *, named: bool) -> str:
    """One sentence for one statement."""
    return _realise(writer, who, (statement,), named=named, lead="")


def phrase(writer: Writer, who: Referent, statement: Statement, shape: str, *, named: bool) -> str:
    """One statement in one shape, to stand in a form of one's own."""
    return writer.write(f"{statement.key}.{shape}", {**who.slots(named=named), **statement.slots})


def has_shape(writer: Writer, statement: Statement, shape: str) -> bool:
    """Whether the statement can take the shape."""
    return writer.has(f"{statement.key}.{shape}")


def contrasting(a: Statement, b: Statement) -> bool:
    """Whether two statements say different things of the left and the right."""
    stem = a.key.split("_", 1)[0]
    sides = a.slots.get("side"), b.slots.get("side")
    return (
        a.topic == b.topic and None not in sides and sides[0] != sides[1] and b.key.startswith(stem) and a.key != b.key
    )


def _grouped(writer: Writer, said: Sequence[Statement]) -> Iterator[Group]:
    """Neighbours that one sentence can carry: contrasts first, then at most three of fitting topics."""
    rest = list(said)
    while rest:
        size = 1
        if len(rest) > 1 and (contrasting(rest[0], rest[1]) or writer.chance(0.75)):
            size = 2
        contrast_inside = len(rest) > 2 and any(contrasting(a, b) for a, b in pairwise(rest[:3]))
        if size == 2 and len(rest) > 2 and not contrast_inside and writer.chance(0.3):
            size = 3
        if size == 2 and len(rest) > 2 and contrasting(rest[1], rest[2]) and not contrasting(rest[0], rest[1]):
            size = 1
        yield tuple(rest[:size])
        rest = rest[size:]


def _lead(writer: Writer, group: Group, topics_before: set[str]) -> str:
    topic = group[0].topic
    same_topic = all(s.topic == topic for s in group)
    if topic in ("arms", "legs") and same_topic and topic not in topics_before and writer.chance(0.35):
        return f"{writer.form(f'lead.{topic}')} "
    return f"{writer.form('lead.more')} " if writer.chance(0.12) else ""


def _realise(writer: Writer, who: Referent, group: Group, *, named: bool, lead: str) -> str:
    frame = _frame(writer, who, group, named=named, lead=bool(lead))
    slots = who.slots(named=named)
    for letter, statement in zip(_LETTERS, group, strict=False):
        slots |= _shapes(writer, who, statement, letter, frame, named=named)
    return sentence(lead + frame.format_map(slots))


def _shapes(writer: Writer, who: Referent, statement: Statement, letter: str, frame: str, *, named: bool) -> Slots:
    """Those shapes of a statement that the frame asks for."""
    found = {}
    for shape in ("vp", "ing", "with", "full"):
        slot = f"{letter}_{shape}"
        if f"{{{slot}}}" in frame:
            found[slot] = phrase(writer, who, statement, shape, named=named)
        if f"{{{slot}_next}}" in frame:
            found[f"{slot}_next"] = phrase(writer, who, statement, shape, named=False)
    return found


def _frame(writer: Writer, who: Referent, group: Group, *, named: bool, lead: bool) -> str:
    """A frame whose shapes the statements have and in which the name can stand."""
    if len(group) == 1:
        names: Sequence[str] = ("one.vp", "one.full")
    elif len(group) == 3:
        names = _THREE_FRAMES
    else:
        names = _CONTRAST_FRAMES if contrasting(*group) else _TWO_FRAMES
    fitting = [n for n in names if _fits(writer, who, group, n, named=named)]
    return writer.random.choice([form for n in fitting for form in _frames_of(writer, n, lead=lead)])


def _frames_of(writer: Writer, name: str, *, lead: bool) -> list[str]:
    """Frames of a name; behind a lead-in only those that start with the subject."""
    frames = list(writer.forms(name))
    starting = [f for f in frames if f.startswith(("{who}", "{a_full}"))]
    return (starting or frames) if lead else frames


def _fits(writer: Writer, who: Referent, group: Group, name: str, *, named: bool) -> bool:
    shapes = name.partition(".")[2].split("_")
    if shapes[0] == "full" and named and not who.short:
        return False
    return all(has_shape(writer, s, shape) for s, shape in zip(group, shapes, strict=True))
