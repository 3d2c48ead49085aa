"""What statements can be made of: facts of real scenes, each with ways to name whom it is about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from grounding_facts import Fact, scene_facts
from grounding_people import MOST_PEOPLE, SMALLEST, Named, names_of

from kpray.pose import PoseCode
from kpray.schemas import Scene

HOLDABLE: Final = frozenset(
    {"umbrella", "frisbee", "sports ball", "baseball bat", "tennis racket", "bottle", "wine glass", "cup", "fork"}
    | {"knife", "spoon", "banana", "apple", "sandwich", "hot dog", "pizza", "donut", "remote", "cell phone", "book"}
    | {"toothbrush", "suitcase", "skateboard", "surfboard"}
)
NEIGHBOURS: Final = frozenset(
    {"bench", "chair", "couch", "bed", "bicycle", "motorcycle", "car", "truck", "bus", "horse", "elephant", "cow"}
    | {"dog", "dining table", "fire hydrant", "parking meter", "stop sign", "traffic light", "boat", "tv", "oven"}
    | {"refrigerator", "suitcase", "potted plant"}
)
UNDERFOOT: Final = frozenset(
    {"bench", "chair", "couch", "bed", "bicycle", "motorcycle", "horse", "elephant"}
    | {"skateboard", "surfboard", "snowboard"}
)
_PLAUSIBLE: Final = {
    "holding": HOLDABLE,
    "touching": HOLDABLE | NEIGHBOURS,
    "beside": NEIGHBOURS,
    "on": UNDERFOOT,
}
"""Things of which a wrong claim would not be absurd."""

SKIPPED: Final = frozenset({"scissors", "skis"})
"""Nouns without a singular."""


@dataclass(frozen=True)
class Draw:
    """What a statement can be made of: a fact, and the ways to name whom it is about."""

    scene: int
    fact: Fact
    names: tuple[Named, ...]
    others: tuple[Named, ...] = ()
    everybody: str = ""


def draws(scenes: Sequence[Scene], codes: Sequence[tuple[PoseCode, ...]], complete: Sequence[bool]) -> list[Draw]:
    """Every fact of every scene that can be said without a doubt about whom it is."""
    found = []
    for index, (scene, known, whole) in enumerate(zip(scenes, codes, complete, strict=True)):
        names = names_of(scene, known, whole)
        facts = scene_facts(scene, known) if names else []
        found += [draw for fact in facts if (draw := _draw(index, scene, fact, names)) is not None]
        if whole and len({named.person for named in names}) == len(scene.people) > 1:
            found += _everybody(index, len(scene.people), facts)
        if whole and (names or len(scene.people) > 1):
            found += _counts(index, scene)
    return found


def _draw(index: int, scene: Scene, fact: Fact, names: Sequence[Named]) -> Draw | None:
    mine = [named for named in names if named.person == fact.person]
    others: list[Named] = []
    if fact.thing is not None:
        category = scene.objects[fact.thing].category
        if category in SKIPPED or sum(o.category == category for o in scene.objects) > 1:
            return None
        if fact.name == "object" and not fact.true and category not in _PLAUSIBLE[fact.value]:
            return None
        mine = [named for named in mine if named.thing != category]
    if fact.other is not None:
        others = [named for named in names if named.person == fact.other]
        mine, others = _not_by_place_both(mine, others)
        if not others:
            return None
    return Draw(index, fact, tuple(mine), tuple(others)) if mine else None


def _not_by_place_both(mine: list[Named], others: list[Named]) -> tuple[list[Named], list[Named]]:
    """That the leftmost is left of the rightmost says nothing: one of the two is named by what is held."""
    held = [named for named in mine if named.kind == "holder"]
    return (held, others) if held else (mine, [named for named in others if named.kind == "holder"])


def _everybody(index: int, people: int, facts: Sequence[Fact]) -> list[Draw]:
    by_claim: dict[tuple[str, str, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.name not in ("object", "position") and fact.side != "one":
            by_claim[fact.name, fact.value, fact.side].append(fact)
    found = []
    for same in by_claim.values():
        true = [fact for fact in same if fact.true]
        if len(true) == people or len(true) < len(same):
            holds = len(true) == people
            fact = replace(same[0], true=holds, flip="" if holds else "person" if true else "attribute")
            found.append(Draw(index, fact, (), everybody="all"))
        if true or len(same) == people:
            fact = replace(same[0], true=not true, flip="person" if true else "")
            found.append(Draw(index, fact, (), everybody="none"))
    return found


def _counts(index: int, scene: Scene) -> list[Draw]:
    """The number of people, and numbers up to three off; only where nobody is so small that one may not count them."""
    lowest = min(person.box_xyxy_norm[3] - person.box_xyxy_norm[1] for person in scene.people)
    people = len(scene.people)
    if "crowd" in scene.flags or lowest < SMALLEST or people > MOST_PEOPLE:
        return []
    said = [people, *(n for n in range(people - 3, people + 4) if n > 0 and n != people)]
    facts = [Fact("person_count", str(n), "", -1, n == people, "" if n == people else "count") for n in said]
    return [Draw(index, fact, ()) for fact in facts]
