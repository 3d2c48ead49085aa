"""Who can be named so that nobody doubts who is meant, for the measurement of grounding."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from kpray.pose import PoseCode
from kpray.schemas import Scene

Gender = str
"""``he``, ``she``, or ``they`` where the captions do not say."""

SMALLEST: Final = 0.15
"""People whose box is lower than this share of the picture are not spoken of, and nobody is named by place where there
are any: one reader would count them and another not."""

MOST_PEOPLE: Final = 6

_MALE = re.compile(r"\b(man|men|boy|boys|guy|guys|gentleman|male)\b")
_FEMALE = re.compile(r"\b(woman|women|girl|girls|lady|ladies|female)\b")
_SEVERAL = re.compile(
    r"\b(people|men|women|boys|girls|guys|ladies|children|kids|friends|players|players|group|crowd|couple|family|team"
    r"|two|three|four|five|several|others|other|another|they|audience|spectators|fans|persons|crew|\w+ers)\b"
    r"|\b(man|woman|boy|girl|person|child|lady|guy|baby)\b.*\b(man|woman|boy|girl|person|child|lady|guy|baby)\b"
)
_NUMBER: Final = re.compile(
    r"\b(two|three|four|2|3|4)( \w+)? (people|persons|men|women|guys|girls|boys|kids|children|ladies|adults|friends"
    r"|players|skiers|surfers|snowboarders|skateboarders|riders|teams)\b"
    r"|\b(couple)\b|\b(a man and a woman|a woman and a man|a man and woman|a mother and|a father and)\b"
)
_VALUE: Final = {"two": 2, "2": 2, "three": 3, "3": 3, "four": 4, "4": 4}
_MORE: Final = re.compile(
    r"\b(crowd|audience|spectators|fans|others|other people|group|several|many|onlookers|watch\w*)\b"
)
_ROLES: Final = (
    "skier",
    "snowboarder",
    "surfer",
    "skateboarder",
    "tennis player",
    "baseball player",
    "batter",
    "pitcher",
    "cyclist",
    "motorcyclist",
    "child",
)


@dataclass(frozen=True)
class Named:
    """A way to name one person: a kind of `people` in the phrase files, and what fills its slots.

    Attributes:
        kind: ``lone``, ``side``, ``ordinal``, ``middle`` or ``holder``.
        person: Index into ``Scene.people``.
        place: ``left`` or ``right``, where the kind has it.
        ordinal: From that side, counting from 1.
        thing: Category of what is held, for ``holder``.
    """

    kind: str
    person: int
    place: str = ""
    ordinal: int = 0
    thing: str = ""


def nouns_of(scene: Scene, *, lone: bool) -> list[tuple[str, Gender]]:
    """Nouns that fit any person of the scene, each with its pronoun; man and woman only where the captions agree."""
    text = " ".join(scene.captions).lower()
    male, female = bool(_MALE.search(text)), bool(_FEMALE.search(text))
    gender = "he" if male and not female else "she" if female and not male else "they"
    found = [("person", "they"), ("individual", "they")]
    if lone and gender != "they":
        word = {"he": "man", "she": "woman"}[gender]
        found += [(word, gender)] * 4
    if lone:
        said = Counter(role for role in _ROLES for caption in scene.captions if role in caption.lower())
        found += [(role, gender) for role, times in said.items() if times >= 2] * 2
    return found


def is_alone(scene: Scene, complete: bool) -> bool:
    """Whether there is one person, and (where annotations may be missing) no caption speaks of others."""
    if len(scene.people) != 1 or "crowd" in scene.flags:
        return False
    return complete or not any(_SEVERAL.search(caption.lower()) for caption in scene.captions)


def captions_agree(scene: Scene) -> bool:
    """Whether captions say how many people there are, all the same, and as many are annotated; 2 to 4 people.

    At least two captions must say it, and none may speak of more.
    """
    texts = [caption.lower() for caption in scene.captions]
    said = [_VALUE.get(found.group(1), 2) for text in texts if (found := _NUMBER.search(text))]
    more = any(_MORE.search(text) for text in texts)
    return len(said) >= 2 and set(said) == {len(scene.people)} and not more and "crowd" not in scene.flags


def names_of(scene: Scene, codes: Sequence[PoseCode], complete: bool) -> list[Named]:
    """All ways to name single people of a scene without a doubt.

    Args:
        scene: One image's annotations.
        codes: Of the scene.
        complete: Whether everybody in the picture is annotated.
    """
    heights = [person.box_xyxy_norm[3] - person.box_xyxy_norm[1] for person in scene.people]
    if is_alone(scene, complete):
        found = [Named("lone", 0)]
    elif complete and 2 <= len(scene.people) <= MOST_PEOPLE and "crowd" not in scene.flags:
        found = _by_thing(scene, codes)
        if min(heights) >= SMALLEST:
            found += _by_place(_from_left(scene, codes))
    else:
        found = []
    return [named for named in found if heights[named.person] >= SMALLEST]


def _from_left(scene: Scene, codes: Sequence[PoseCode]) -> list[int]:
    """Everybody, from the left of the picture; empty where the order of any two neighbours is in doubt."""
    middles = [person.box_xyxy_norm[0] + person.box_xyxy_norm[2] for person in scene.people]
    ordered = sorted(range(len(middles)), key=lambda i: middles[i])
    sure = {frozenset((code.person, code.other)) for code in codes if code.name == "order"}
    certain = all(frozenset(pair) in sure for pair in pairwise(ordered))
    return ordered if certain else []


def _by_place(ordered: Sequence[int]) -> list[Named]:
    if not ordered:
        return []
    found = [Named("side", ordered[0], "left"), Named("side", ordered[-1], "right")]
    if len(ordered) == 3:
        found.append(Named("middle", ordered[1]))
    if len(ordered) > 2:
        count = len(ordered)
        found += [Named("ordinal", person, "left", i + 1) for i, person in enumerate(ordered) if 0 < i < 4]
        found += [Named("ordinal", ordered[count - 1 - i], "right", i + 1) for i in range(1, min(count, 4))]
    return found


def _by_thing(scene: Scene, codes: Sequence[PoseCode]) -> list[Named]:
    categories = Counter(thing.category for thing in scene.objects)
    held = [(c.person, scene.objects[c.object].category) for c in codes if c.object is not None and _in_hand(c)]
    return [Named("holder", person, thing=thing) for person, thing in held if categories[thing] == 1]


def _in_hand(code: PoseCode) -> bool:
    return code.name == "object" and code.value.startswith("in_")
