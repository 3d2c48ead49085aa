"""What is true and what is false beyond doubt about the people of a scene, for the measurement of grounding.

Written without a look at how kpray decides claims: for each claim, which pose codes make anybody who sees the picture
call it true, and which make anybody call it false. Between the two lies what is not used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kpray.pose import PoseCode
from kpray.schemas import Scene

UPRIGHT_DEG: Final = 8.0
"""A torso tilted by less, seen from the side, leans nowhere."""

SLANTED_DEG: Final = 35.0
"""A torso tilted by more is not upright."""

FAR_HEIGHTS: Final = 1.5
"""Two boxes further apart than so many heights of the person do not touch and are not beside each other."""


@dataclass(frozen=True)
class Fact:
    """One claim about one person that the picture makes true or false.

    Attributes:
        flip: What was flipped: ``side``, ``person`` (somebody else's), ``attribute``, ``order``; empty where true.
        thing: Index into ``Scene.objects`` for claims about an object.
        other: Index into ``Scene.people`` for claims about two people.
    """

    name: str
    value: str
    side: str
    person: int
    true: bool
    flip: str = ""
    thing: int | None = None
    other: int | None = None


class Seen:
    """The codes of one person, to be asked for."""

    def __init__(self, codes: Sequence[PoseCode]) -> None:
        self.values: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.measures: dict[str, float] = {}
        for code in codes:
            self.values[code.name, code.side].add(code.value)
            self.measures[code.name] = code.measure

    def has(self, name: str, *values: str, side: str = "") -> bool:
        """Whether a code of that name has one of the values."""
        return bool(self.values[name, side].intersection(values))

    def tilt_below(self, degrees: float) -> bool:
        """Whether the torso is known, from the side, to be that close to vertical."""
        return self.has("facing", "image_left", "image_right") and abs(self.measures.get("torso", 90.0)) < degrees

    def tilt_above(self, degrees: float) -> bool:
        """Whether the torso is known to be further from vertical than that."""
        return abs(self.measures.get("torso", 0.0)) > degrees


LimbTest = Callable[[Seen, str], bool]
BodyTest = Callable[[Seen], bool]


def _limb(name: str, *values: str) -> LimbTest:
    return lambda seen, side: seen.has(name, *values, side=side)


def _body(name: str, *values: str) -> BodyTest:
    return lambda seen: seen.has(name, *values)


def _hangs(seen: Seen, side: str) -> bool:
    down = seen.has("arm", "down", side=side) and seen.has("forearm", "pointing_down", side=side)
    return down or seen.has("wrist_height", "below_hip", side=side)


def _hangs_surely(seen: Seen, side: str) -> bool:
    return seen.has("arm", "down", side=side) and seen.has("wrist_height", "below_hip", side=side)


def _is_up(seen: Seen, side: str) -> bool:
    return seen.has("arm", "raised", side=side) or seen.has("wrist_height", "above_head", side=side)


def _hand_is_high(seen: Seen, side: str) -> bool:
    return seen.has("wrist_height", "above_head", "above_shoulder", side=side)


def _any_hand_elsewhere(seen: Seen) -> bool:
    away = ("above_head", "above_shoulder", "below_hip")
    return any(seen.has("wrist_height", *away, side=side) for side in ("left", "right"))


def _bent(name: str) -> LimbTest:
    return _limb(name, "bent", "sharply_bent")


LIMBS: Final[dict[tuple[str, str], tuple[LimbTest, LimbTest]]] = {
    ("arm", "raised"): (_is_up, _hangs),
    ("arm", "lowered"): (_hangs_surely, _is_up),
    ("arm", "out_to_side"): (_limb("arm", "out_to_side"), _limb("arm", "down")),
    ("elbow", "bent"): (_bent("elbow"), _limb("elbow", "straight")),
    ("elbow", "straight"): (_limb("elbow", "straight"), _bent("elbow")),
    ("hand_on_hip", "yes"): (_limb("hand_on_hip", "yes"), _hand_is_high),
    ("hand_above_head", "yes"): (
        _limb("wrist_height", "above_head"),
        _limb("wrist_height", "between_shoulder_and_hip", "below_hip"),
    ),
    ("hand_near_face", "yes"): (_limb("hand_near_face", "yes"), _limb("wrist_height", "below_hip")),
    ("knee", "bent"): (_bent("knee"), _limb("knee", "straight")),
    ("knee", "straight"): (_limb("knee", "straight"), _bent("knee")),
}
"""For each claim about a limb: what makes it true, and what makes it false."""


def _posture(value: str, *others: str) -> tuple[BodyTest, BodyTest]:
    return _body("posture", value), _body("posture", *others)


BODIES: Final[dict[tuple[str, str], tuple[BodyTest, BodyTest]]] = {
    ("hands", "together"): (_body("hands", "together"), _body("hands", "apart")),
    ("hands", "apart"): (_body("hands", "apart"), _body("hands", "together")),
    ("arms_crossed", "yes"): (_body("arms_crossed", "yes"), _any_hand_elsewhere),
    ("legs", "apart"): (_body("feet", "wide"), _body("feet", "together")),
    ("legs", "together"): (_body("feet", "together"), _body("feet", "wide")),
    ("legs", "crossed"): (
        _body("legs_crossed", "yes"),
        lambda seen: seen.has("feet", "wide") and seen.has("knees", "apart") and not seen.has("legs_crossed", "yes"),
    ),
    ("posture", "standing"): _posture("standing", "sitting", "lying", "kneeling", "crouching"),
    ("posture", "sitting"): _posture("sitting", "standing", "lying", "kneeling"),
    ("posture", "crouching"): _posture("crouching", "standing", "lying"),
    ("posture", "kneeling"): _posture("kneeling", "standing", "sitting", "lying"),
    ("posture", "lying"): _posture("lying", "standing", "sitting", "kneeling", "crouching"),
    ("lean", "any"): (_body("torso", "tilted"), lambda seen: seen.tilt_below(UPRIGHT_DEG)),
    ("lean", "forward"): (
        _body("lean_direction", "forward"),
        lambda seen: seen.has("lean_direction", "backward") or seen.tilt_below(UPRIGHT_DEG),
    ),
    ("lean", "backward"): (
        _body("lean_direction", "backward"),
        lambda seen: seen.has("lean_direction", "forward") or seen.tilt_below(UPRIGHT_DEG),
    ),
    ("lean", "image_left"): (_body("lean", "image_left"), _body("lean", "image_right")),
    ("lean", "image_right"): (_body("lean", "image_right"), _body("lean", "image_left")),
    ("lean", "upright"): (_body("torso", "vertical"), lambda seen: seen.tilt_above(SLANTED_DEG)),
    ("facing", "camera"): (_body("facing", "camera"), _body("facing", "away")),
    ("facing", "away"): (_body("facing", "away"), _body("facing", "camera")),
    ("facing", "image_left"): (_body("facing", "image_left"), _body("facing", "image_right")),
    ("facing", "image_right"): (_body("facing", "image_right"), _body("facing", "image_left")),
}
"""For each claim about a whole person: what makes it true, and what makes it false."""


def scene_facts(scene: Scene, codes: Sequence[PoseCode]) -> list[Fact]:
    """Everything that the rules here decide about the people of a scene."""
    by_person: dict[int, list[PoseCode]] = defaultdict(list)
    for code in codes:
        by_person[code.person].append(code)
    facts = [fact for i in range(len(scene.people)) for fact in _person_facts(i, Seen(by_person[i]))]
    facts += _object_facts(scene, codes)
    facts += _order_facts(codes)
    return _with_person_flips(facts)


def _person_facts(person: int, seen: Seen) -> Iterator[Fact]:
    for (name, value), (supports, denies) in LIMBS.items():
        true = {side: supports(seen, side) for side in ("left", "right")}
        false = {side: denies(seen, side) and not true[side] for side in ("left", "right")}
        for side, opposite in (("left", "right"), ("right", "left")):
            if true[side] or false[side]:
                flip = "" if true[side] else "side" if true[opposite] else "attribute"
                yield Fact(name, value, side, person, true[side], flip)
        if all(true.values()) or any(false.values()):
            yield Fact(name, value, "both", person, all(true.values()), "" if all(true.values()) else "attribute")
        if any(true.values()) or all(false.values()):
            yield Fact(name, value, "one", person, any(true.values()), "" if any(true.values()) else "attribute")
    for (name, value), (holds, fails) in BODIES.items():
        if holds(seen) != fails(seen):
            yield Fact(name, value, "", person, holds(seen), "" if holds(seen) else "attribute")


def _order_facts(codes: Sequence[PoseCode]) -> Iterator[Fact]:
    for code in codes:
        if code.name == "order" and code.other is not None:
            back = _opposite(code.value)
            yield Fact("position", code.value, "", code.person, True, other=code.other)
            yield Fact("position", back, "", code.person, False, "order", other=code.other)
            yield Fact("position", back, "", code.other, True, other=code.person)
            yield Fact("position", code.value, "", code.other, False, "order", other=code.person)
        if code.name == "object_side":  # the object's side of the person
            yield Fact("position", _opposite(code.value), "", code.person, True, thing=code.object)
            yield Fact("position", code.value, "", code.person, False, "order", thing=code.object)


def _opposite(value: str) -> str:
    return "image_right_of" if value == "image_left_of" else "image_left_of"


def _object_facts(scene: Scene, codes: Sequence[PoseCode]) -> Iterator[Fact]:
    hands = {"in_left_hand": "left", "in_right_hand": "right"}
    for code in codes:
        if code.name != "object":
            continue
        if code.value in ("beside", "on"):
            yield Fact("object", code.value, "", code.person, True, thing=code.object)
        else:
            yield Fact("object", "holding", "", code.person, True, thing=code.object)
            yield Fact("object", "touching", "", code.person, True, thing=code.object)
        if side := hands.get(code.value):
            yield Fact("object", "holding", side, code.person, True, thing=code.object)
            wrong = "right" if side == "left" else "left"
            if _gap(scene, code.object, code.person, wrist=wrong) > 0.15:
                yield Fact("object", "holding", wrong, code.person, False, "side", thing=code.object)
    for thing in range(len(scene.objects)):
        for person in range(len(scene.people)):
            if _gap(scene, thing, person) > FAR_HEIGHTS:
                for value in ("holding", "touching", "beside", "on"):
                    yield Fact("object", value, "", person, False, "attribute", thing=thing)


def _gap(scene: Scene, thing: int | None, person: int, wrist: str = "") -> float:
    """From an object's box to a person's box or wrist, in heights of that person's box; -1 for an unknown wrist."""
    assert thing is not None
    sizes = (scene.width, scene.height, scene.width, scene.height)
    a = [v * s for v, s in zip(scene.objects[thing].box_xyxy_norm, sizes, strict=True)]
    b = [v * s for v, s in zip(scene.people[person].box_xyxy_norm, sizes, strict=True)]
    height = max(b[3] - b[1], b[2] - b[0])
    if wrist:
        x, y, v = scene.people[person].keypoints_xyv_norm[9 if wrist == "left" else 10]
        if v == 0:
            return -1.0
        b = [x * scene.width, y * scene.height] * 2
    return max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3], 0.0) / height


def _with_person_flips(facts: Sequence[Fact]) -> list[Fact]:
    """Call a false fact a flip of the person where it is true of somebody else."""
    true_of = defaultdict(set)
    for fact in facts:
        if fact.true and fact.name != "position":
            true_of[_claim_of(fact)].add(fact.person)
    return [
        replace(fact, flip="person") if fact.flip == "attribute" and true_of[_claim_of(fact)] else fact
        for fact in facts
    ]


def _claim_of(fact: Fact) -> tuple[str, str, str, int | None]:
    return fact.name, fact.value, fact.side, fact.thing
