"""From facts about one person to statements: what goes together is said together.

A `Statement` names a section of ``forms/person.txt``. Facts of both arms or legs with the same value become
one statement (``_both``); an arm's direction and its elbow become one; what another statement implies is
left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from kpray.pose.vocabulary import Side
from kpray.teachers.geometric.english import everyday_name, with_article
from kpray.teachers.geometric.facts import SIDES, PersonFacts, SceneFacts

Topic = Literal["posture", "trunk", "facing", "head", "arms", "legs", "held", "near"]

_WORN: Final = frozenset({"tie", "backpack", "handbag"})
"""Usually on the body, so that "beside" or "on" would be the wrong word."""

_SEATS: Final = frozenset({"chair", "couch", "bed", "bench", "toilet"})
_FOOTING: Final = frozenset({"skateboard", "surfboard", "snowboard", "skis"})
_MOUNTS: Final = frozenset({"horse", "elephant", "bicycle", "motorcycle"})
_RIDDEN: Final = _SEATS | _FOOTING | _MOUNTS


@dataclass(frozen=True)
class Statement:
    """One thing to say about one person.

    Attributes:
        key: Section of ``forms/person.txt``.
        topic: What it is about, for ordering and for questions.
        slots: Words for the form's own slots.
        weight: How telling it is; the most telling are said when there is room for few.
    """

    key: str
    topic: Topic
    slots: dict[str, str] = field(default_factory=dict)
    weight: int = 1


def statements(facts: SceneFacts, person: int) -> list[Statement]:
    """Everything to say about a person, in the order posture, trunk, facing, head, arms, legs, held, near."""
    of = facts.people[person]
    found = [*_posture(facts, of), *_trunk(of), *_facing(of), *_arms(of), *_legs(of), *_held(facts, of)]
    return _joined_joints(found)


def _posture(facts: SceneFacts, of: PersonFacts) -> Iterator[Statement]:
    posture = of.whole.get("posture", "")
    below = next((facts.category(i) for i in of.objects.get("on", []) if facts.category(i) in _RIDDEN), None)
    if below is None:
        if posture:
            yield Statement(posture, "posture", weight=5)
        return
    slots = {"object": _a(below)}
    if posture == "sitting" and below in _SEATS | _MOUNTS:
        yield Statement("sitting_on", "posture", slots, 6)
    elif posture == "standing" and below in _FOOTING:
        yield Statement("standing_on", "posture", slots, 6)
    else:
        if posture:
            yield Statement(posture, "posture", weight=5)
        yield Statement("on_seat" if below in _SEATS else "on", "posture", slots, 5)


def _trunk(of: PersonFacts) -> Iterator[Statement]:
    torso, lean = of.whole.get("torso"), of.whole.get("lean")
    direction = of.whole.get("lean_direction")
    if direction:
        yield Statement(f"lean_{direction}", "trunk", weight=4)
    elif lean and torso != "vertical":
        yield Statement("lean_image", "trunk", {"picture_side": _picture_side(lean)}, 4)
    elif torso == "vertical" and of.whole.get("posture") not in ("lying", "crouching"):
        yield Statement("upright", "trunk", weight=2)
    elif torso and torso != "vertical" and not (torso == "horizontal" and of.whole.get("posture") == "lying"):
        yield Statement(torso, "trunk", weight=4)


def _facing(of: PersonFacts) -> Iterator[Statement]:
    facing, head = of.whole.get("facing", ""), of.whole.get("head", "")
    if facing.startswith("image_"):
        yield Statement("facing_image", "facing", {"picture_side": _picture_side(facing)}, 3)
    elif facing:
        yield Statement(f"facing_{facing}", "facing", weight=3)
    turn, _, side = head.partition("_")
    if turn and side != facing:
        yield Statement(f"head_{turn}", "head", {"picture_side": _picture_side(side)}, 2)


def _picture_side(value: str) -> str:
    return value.removeprefix("image_")


def _sided(key: str, topic: Topic, values: dict[Side, str], weights: dict[str, int]) -> Iterator[Statement]:
    """Statements for one code of arms or legs: one for both sides where they agree."""
    if len(values) == 2 and values["left"] == values["right"]:
        yield Statement(f"{key}_{values['left']}_both", topic, {}, weights.get(values["left"], 2))
        return
    for side in SIDES:
        if side in values:
            yield Statement(f"{key}_{values[side]}_one", topic, {"side": side}, weights.get(values[side], 2))


_ARM_WEIGHTS: Final = {
    **{"raised": 4, "raised_straight": 5, "raised_bent": 5, "out_to_side": 4, "out_to_side_straight": 5},
    **{"out_to_side_bent": 5, "slightly_out": 1, "down": 1, "hanging": 3, "tucked": 3},
    **{"above_head": 5, "above_shoulder": 4, "between_shoulder_and_hip": 1, "below_hip": 1},
    **{"sharply_bent": 3, "slightly_bent": 1, "straight": 2, "pointing_up": 3, "pointing_down": 1, "level": 2},
}

_LEG_WEIGHTS: Final = {
    **{"sharply_bent": 4, "bent": 4, "slightly_bent": 2, "straight": 2, "sharply_flexed": 2, "flexed": 2},
    **{"slightly_flexed": 1, "extended": 1, "above_hip": 5, "level_with_hip": 2},
    **{"above_other_knee": 5, "above_other_ankle": 4},
}


def _arms(of: PersonFacts) -> Iterator[Statement]:
    if "arms_crossed" in of.whole:
        yield Statement("arms_crossed", "arms", weight=5)
        return
    yield from _flags(of, "hand_on_hip", 5)
    yield from _flags(of, "hand_near_face", 4)
    explained = {*of.sided.get("hand_on_hip", {}), *of.sided.get("hand_near_face", {})}
    directions = {side: d for side in SIDES if side not in explained and (d := _direction(of, side))}
    wrists = of.sided.get("wrist_height", {})
    told = {s: d for s, d in directions.items() if d != "raised" or wrists.get(s) != "above_head"}
    yield from _sided("arm", "arms", told, _ARM_WEIGHTS)
    heights = {
        side: height
        for side, height in wrists.items()
        if side not in explained and not _height_is_implied(directions.get(side, ""), height)
    }
    yield from _sided("wrist_height", "arms", heights, _ARM_WEIGHTS)
    said = explained | {side for side, d in directions.items() if d not in _BARE_DIRECTIONS}
    elbows = {side: bend for side, bend in of.sided.get("elbow", {}).items() if side not in said}
    yield from _sided("elbow", "arms", elbows, _ARM_WEIGHTS)
    low = {side for side, height in wrists.items() if height == "below_hip"}
    forearms = {
        side: d
        for side, d in of.sided.get("forearm", {}).items()
        if side not in said and not (d == "pointing_down" and side in low)
    }
    yield from _sided("forearm", "arms", forearms, _ARM_WEIGHTS)
    if of.whole.get("hands") == "together":
        yield Statement("hands_together", "arms", weight=4)
    elif "hands" in of.whole and not (directions or wrists):  # where each hand is, tells that they are apart
        yield Statement("hands_apart", "arms")


def _flags(of: PersonFacts, name: str, weight: int) -> Iterator[Statement]:
    sides = of.sided.get(name, {})
    if len(sides) == 2:
        yield Statement(f"{name}_both", "arms", weight=weight)
    else:
        yield from (Statement(f"{name}_one", "arms", {"side": side}, weight) for side in sides)


_BARE_DIRECTIONS: Final = ("raised", "out_to_side", "slightly_out", "down")


def _direction(of: PersonFacts, side: Side) -> str:
    """Where the arm goes, joined with its elbow where there is a word for both; empty if not known."""
    arm = of.sided.get("arm", {}).get(side, "")
    elbow = of.sided.get("elbow", {}).get(side, "")
    bend = "bent" if elbow.endswith("bent") and elbow != "slightly_bent" else elbow
    if arm == "down" and bend:
        return {"bent": "tucked", "slightly_bent": "down"}.get(bend, "hanging")
    if arm in ("raised", "out_to_side") and bend in ("bent", "straight"):
        return f"{arm}_{bend}"
    return arm


def _height_is_implied(direction: str, height: str) -> bool:
    return (direction.partition("_")[0], height) in (
        ("hanging", "below_hip"),
        ("tucked", "between_shoulder_and_hip"),
        ("raised", "above_shoulder"),
    )


def _legs(of: PersonFacts) -> Iterator[Statement]:
    yield from _sided("knee", "legs", of.sided.get("knee", {}), _LEG_WEIGHTS)
    lifted = of.sided.get("ankle_height", {})
    if len(lifted) == 1:
        yield from _sided("ankle_height", "legs", lifted, _LEG_WEIGHTS)
    heights = {side: height for side, height in of.sided.get("knee_height", {}).items() if height != "below_hip"}
    yield from _sided("knee_height", "legs", heights, _LEG_WEIGHTS)
    if of.whole.get("posture") not in ("sitting", "crouching"):
        hips = {s: v for s, v in of.sided.get("hip", {}).items() if v != "extended" or not _upright_legs(of)}
        yield from _sided("hip", "legs", hips, _LEG_WEIGHTS)
    if "legs_crossed" in of.whole:
        yield Statement("legs_crossed", "legs", weight=5)
        return
    if "feet" in of.whole:
        yield Statement(f"feet_{of.whole['feet']}", "legs", {}, 3)
    if "knees" in of.whole:
        yield Statement(f"knees_{of.whole['knees']}", "legs", {}, 1)


def _upright_legs(of: PersonFacts) -> bool:
    """Whether thighs in line with the torso go without saying."""
    return of.whole.get("posture") == "standing" or of.whole.get("torso") == "vertical"


def _held(facts: SceneFacts, of: PersonFacts) -> Iterator[Statement]:
    both = [facts.category(i) for i in of.objects.get("in_both_hands", [])]
    for category in both[:1]:
        yield Statement("held_both", "held", {"object": _a(category)}, 5)
    for side in SIDES if not both else ():
        for index in of.objects.get(f"in_{side}_hand", [])[:1]:
            slots = {"object": _a(facts.category(index)), "side": str(side)}
            yield Statement("held_one", "held", slots, 5)
    near = [c for i in of.objects.get("beside", []) if (c := facts.category(i)) not in _WORN and c not in both]
    for category in near[:1]:
        yield Statement("beside", "near", {"object": _a(category)}, 2)


def _a(category: str) -> str:
    return with_article(everyday_name(category))


_JOINED: Final = {("elbow_bent_both", "knee_bent_both"): "elbows_and_knees_bent"} | {
    ("elbow_straight_both", "knee_straight_both"): "elbows_and_knees_straight"
}


def _joined_joints(found: list[Statement]) -> list[Statement]:
    """Elbows and knees that do the same in one statement."""
    keys = {s.key for s in found}
    for (elbows, knees), joined in _JOINED.items():
        if elbows in keys and knees in keys:
            rest = [s for s in found if s.key not in (elbows, knees)]
            return [*rest, Statement(joined, "legs", weight=4)]
    return found
