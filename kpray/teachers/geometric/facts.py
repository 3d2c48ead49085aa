"""Pose codes arranged for looking things up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from kpray.pose.vocabulary import PoseCode, Side
from kpray.schemas import Scene

SIDES: Final[tuple[Side, Side]] = ("left", "right")


@dataclass
class PersonFacts:
    """What the codes say about one person.

    Attributes:
        whole: Value by code name, for codes about the whole person.
        sided: Value by code name and side, for codes about one arm or leg.
        objects: Index of the object by value (``in_left_hand``, ``on``, ...).
    """

    whole: dict[str, str] = field(default_factory=dict)
    sided: dict[str, dict[Side, str]] = field(default_factory=dict)
    objects: dict[str, list[int]] = field(default_factory=dict)

    def both(self, name: str) -> str | None:
        """The value that holds on both sides, if one does."""
        values = self.sided.get(name, {})
        return values["left"] if len(values) == 2 and values["left"] == values["right"] else None


@dataclass
class SceneFacts:
    """A scene with its codes.

    Attributes:
        scene: The scene.
        people: One entry per person of the scene.
        count: How many people there are, where a code says so.
        pairs: Value by code name, first and second person, for codes about two people.
    """

    scene: Scene
    people: list[PersonFacts]
    count: int | None = None
    pairs: dict[str, dict[tuple[int, int], str]] = field(default_factory=dict)

    @cached_property
    def category_counts(self) -> Mapping[str, int]:
        """How many objects of each category there are."""
        return Counter(o.category for o in self.scene.objects)

    def category(self, index: int) -> str:
        """Category of an object."""
        return self.scene.objects[index].category

    @cached_property
    def left_to_right(self) -> list[int | None]:
        """People by their place from image-left; None where two boxes' middles are too close to tell.

        Codes relate neighbours only, so that places come from the boxes themselves. Without a certain count
        there may be more people than boxes, and then nobody's place is known.
        """
        middles = [(p.box_xyxy_norm[0] + p.box_xyxy_norm[2]) / 2 for p in self.scene.people]
        places: list[int | None] = [None] * len(middles)
        if self.count != len(middles):
            return places
        for person, x in enumerate(middles):
            others = [other for i, other in enumerate(middles) if i != person]
            if all(abs(x - other) > _CLEARLY_BESIDE for other in others):
                places[sum(other < x for other in others)] = person
        return places

    @cached_property
    def most_prominent(self) -> int | None:
        """The person whose box is by far the largest of several; None if there is none."""
        areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (p.box_xyxy_norm for p in self.scene.people)]
        order = sorted(range(len(areas)), key=lambda i: -areas[i])
        far = len(areas) > 1 and areas[order[0]] > _PROMINENT * areas[order[1]]
        return order[0] if far else None


_PROMINENT: Final = 2.5
"""How many times the next largest box the most prominent person's is."""

_CLEARLY_BESIDE: Final = 0.03
"""Least horizontal distance of two boxes' middles, in image widths, from which their order is plain."""

_OPPOSITE: Final = {
    "image_left_of": "image_right_of",
    "image_right_of": "image_left_of",
    "larger": "smaller",
    "smaller": "larger",
    "higher": "lower",
    "lower": "higher",
}


def scene_facts(scene: Scene, codes: Iterable[PoseCode]) -> SceneFacts:
    """Arrange codes by person and by pair; a pair's code is entered for both of its directions."""
    facts = SceneFacts(scene, [PersonFacts() for _ in scene.people])
    for code in codes:
        if code.name == "person_count":
            facts.count = int(code.value)
        elif code.other is not None:
            table = facts.pairs.setdefault(code.name, {})
            table[code.person, code.other] = code.value
            table.setdefault((code.other, code.person), _OPPOSITE.get(code.value, code.value))
        elif code.object is not None:
            if code.name == "object":
                facts.people[code.person].objects.setdefault(code.value, []).append(code.object)
        elif code.side:
            facts.people[code.person].sided.setdefault(code.name, {})[code.side] = code.value
        else:
            facts.people[code.person].whole.setdefault(code.name, code.value)
    return facts
