"""Sentences about the scene as a whole and about what people are to each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from kpray.teachers.geometric.captions import Caption
from kpray.teachers.geometric.english import everyday_name, listing, number_word, sentence, with_article
from kpray.teachers.geometric.known import Known
from kpray.teachers.geometric.wording import Writer

_PLACES: Final = (" left", " right", " in the middle")
_REVERSED: Final = {"image_right_of": "image_left_of", "smaller": "larger", "lower": "higher"}
_PAIR_FORMS: Final = {
    "image_left_of": "pair.order",
    "larger": "pair.larger",
    "similar": "pair.similar",
    "overlapping": "pair.overlapping",
    "separate": "pair.separate",
    "close": "pair.close",
    "far": "pair.far",
    "higher": "pair.higher",
}


def count_sentence(known: Known, writer: Writer) -> str:
    """How many people there are."""
    if known.count == 0:
        return writer.form("count.none")
    if known.facts.count is None:
        people = "one person" if known.count == 1 else f"{number_word(known.count)} people"
        return sentence(writer.write("count.at_least", {"number": people}))
    if known.count == 1:
        return writer.form("count.one")
    return sentence(writer.write("count.many", {"number": number_word(known.count)}))


def scene_sentence(writer: Writer, caption: Caption, section: str) -> str:
    """A caption in other words around it; ``section`` is ``scene`` or, after other sentences, ``more``."""
    return sentence(writer.write(f"{section}.{'clause' if caption.clause else 'phrase'}", {"text": caption.text}))


def objects_sentence(known: Known, writer: Writer) -> str:
    """Things in the scene, or empty text if there are none."""
    counts = {c: n for c, n in known.facts.category_counts.items() if c not in _mentioned(known)}
    if not counts:
        return ""
    named = [_some(category, count) for category, count in Counter(counts).most_common(4)]
    form = writer.form("objects.many" if len(named) > 2 and writer.chance(0.5) else "objects")
    if len(named) > 1 or named[0].split()[0] not in ("a", "an"):
        form = form.replace(" is ", " are ")
    return sentence(form.format(objects=listing(named)))


def _mentioned(known: Known) -> set[str]:
    """Categories of what people hold, are on or are beside, and of what the activity names."""
    near = {known.facts.category(i) for p in known.facts.people for found in p.objects.values() for i in found}
    return near | {c for c in known.facts.category_counts if c.split()[-1] in known.activity.lower()}


def _some(category: str, count: int) -> str:
    name = everyday_name(category)
    if count == 1:
        return with_article(name)
    amount = number_word(count) if count <= 5 else "several"
    return f"{amount} {_plural(name)}"


_IRREGULAR: Final = {
    "sheep": "sheep",
    "broccoli": "pieces of broccoli",
    "knife": "knives",
    "person": "people",
    "mouse": "mice",
}


def _plural(name: str) -> str:
    if name in _IRREGULAR:
        return _IRREGULAR[name]
    if name.startswith("pair of"):
        return name.replace("pair", "pairs", 1)
    if name.endswith(("ch", "sh", "s", "x")):
        return f"{name}es"
    return f"{name}s"


def pair_sentence(known: Known, writer: Writer, name: str, pair: tuple[int, int]) -> str:
    """One relation of two people who can be told apart, or empty text if it is not known."""
    value = known.facts.pairs.get(name, {}).get(pair)
    if value is None:
        return ""
    a, b = pair
    if value in _REVERSED:
        a, b, value = b, a, _REVERSED[value]
    slots = {"a": known.referents[a].name, "b": known.referents[b].name}
    return sentence(writer.write(_PAIR_FORMS[value], slots))


def named_by_place(known: Known, pair: tuple[int, int]) -> bool:
    """Whether the two names already tell who is further left."""
    return all(known.referents[p].name.endswith(_PLACES) for p in pair)


def pairs(known: Known) -> Iterator[tuple[int, int]]:
    """Neighbours among those who can be told apart."""
    yield from pairwise(known.referents)


def common_posture(known: Known) -> str:
    """The posture of everybody, if all have the same and it is known of all; else empty."""
    postures = {p.whole.get("posture", "") for p in known.facts.people}
    whole = known.facts.count == len(known.facts.people) > 1
    return postures.pop() if whole and len(postures) == 1 else ""
