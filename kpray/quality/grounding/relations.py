"""Claims about a person and another person or an object: where they are, and what is held."""

from __future__ import annotations

import math
from typing import Final

from kpray.pose.vocabulary import PoseCode
from kpray.quality.grounding.cast import Cast, order_margin
from kpray.quality.grounding.claims import Claim, Thing
from kpray.quality.grounding.findings import Finding, any_of
from kpray.quality.grounding.people import Group
from kpray.quality.grounding.things import DISTINCT
from kpray.schemas import Box

OBJECT_SIDE_MARGIN: Final = 2.0
"""People say "left of the bench" of someone at its left end, so a contradiction by objects must be surer."""

FAR: Final = {"holding": (0.3, 0.1), "touching": (0.3, 0.15), "on": (0.3, 0.15), "beside": (1.5, 0.25)}
"""Gap in statures beyond which a relation to an object is excluded, and the tolerance of that."""

FREE_HAND: Final = (0.05, 0.05)
"""Gap in statures between a hand and a thing that it does not hold, and the tolerance of that."""

HANDS: Final = {"left": "in_left_hand", "right": "in_right_hand"}
_OTHER: Final = {"left": "right", "right": "left"}


def position_of_people(claim: Claim, person: int, who: Group, others: Group, cast: Cast) -> Finding | None:
    """Whether a person of one group is on the claimed side of someone in the other.

    Where each of two could be the one or the other, one of the two orders always holds, which says nothing.
    """
    found = []
    for other in others.people:
        if other == person:
            continue
        one = _order(claim.value, person, other, cast)
        exchangeable = other in who.people and person in others.people
        found.append(None if one and one.holds and exchangeable else one)
    decided = any_of(found)
    return decided if decided and (decided.holds or others.closed) else None


def _order(value: str, person: int, other: int, cast: Cast) -> Finding | None:
    margin = order_margin(cast.boxes[person], cast.boxes[other])
    return _by_side(value, margin, person, "order", 1.0)


def _by_side(value: str, margin: float, person: int, code: str, needed: float) -> Finding | None:
    """From a signed margin (positive is image-left) to a finding."""
    if abs(margin) < 1.0:
        return None
    seen = "image_left_of" if margin > 0 else "image_right_of"
    if seen != value and abs(margin) < needed:
        return None
    return Finding(seen == value, person, f"{code}={seen}", (), round(min(abs(margin), 99.0), 2))


def position_of_things(claim: Claim, person: int, things: tuple[int, ...], cast: Cast) -> Finding | None:
    """Whether a person is on the claimed side of one of the objects that a noun may mean.

    The code is `object_side`, which is said of the object, so its value is turned round.
    """
    found = []
    for thing in things:
        margin = order_margin(cast.boxes[person], cast.object_boxes[thing])
        one = _by_side(claim.value, margin, person, "object_side", OBJECT_SIDE_MARGIN)
        found.append(one and one._replace(code=_turned(one.code)))
    decided = any_of(found)
    return decided if decided and (decided.holds or _surely_marked(claim, things, cast)) else None


def _turned(code: str) -> str:
    name, _, value = code.partition("=")
    return f"{name}={'image_left_of' if value == 'image_right_of' else 'image_right_of'}"


def _surely_marked(claim: Claim, things: tuple[int, ...], cast: Cast) -> bool:
    """Whether an object of that kind which is not annotated is out of the question.

    Of many kinds annotators overlook some, but a text that says "the cup" where one is annotated means that one.
    """
    the_only = len(things) == 1 and isinstance(claim.other, Thing) and claim.other.text.lower().startswith("the ")
    return the_only or all(cast.scene.objects[thing].category in DISTINCT for thing in things)


def object_finding(claim: Claim, person: int, things: tuple[int, ...], cast: Cast) -> Finding | None:
    """Whether a person holds, touches, is on or beside one of the objects that a noun may mean."""
    if not things:
        return None
    codes = [code for code in cast.codes(person, "object") if code.object in things]
    supported = [code for code in codes if _supports(claim, code)]
    if supported:
        best = max(supported, key=lambda code: code.margin)
        return Finding(True, person, f"object={best.value}", best.keypoints, best.margin)
    if claim.side in HANDS and len(things) == 1:
        wrong = [code for code in codes if code.value == HANDS[_OTHER[claim.side]]]
        if wrong:
            return _in_other_hand(claim, person, things[0], wrong[0], cast)
    return _too_far(claim, person, things, cast) if _surely_marked(claim, things, cast) else None


def _supports(claim: Claim, code: PoseCode) -> bool:
    in_hand = code.value.startswith("in_")
    if claim.value == "holding":
        wanted = {"left": ("in_left_hand", "in_both_hands"), "right": ("in_right_hand", "in_both_hands")}
        return in_hand and (claim.side in ("", "one") or code.value in wanted.get(claim.side, ("in_both_hands",)))
    if claim.value == "touching":
        return in_hand or code.value == "on"
    return code.value == claim.value


def _in_other_hand(claim: Claim, person: int, thing: int, code: PoseCode, cast: Cast) -> Finding | None:
    """The other hand holds it, and the one that is named is seen away from it."""
    hand = cast.hands(person).get(claim.side)
    if hand is None:
        return None
    gap = _point_gap(hand, cast.object_boxes[thing]) / cast.stature(person)
    margin = min((gap - FREE_HAND[0]) / FREE_HAND[1], code.margin)
    return Finding(False, person, f"object={code.value}", code.keypoints, round(margin, 2)) if margin >= 1 else None


def _too_far(claim: Claim, person: int, things: tuple[int, ...], cast: Cast) -> Finding | None:
    """The person, or for holding both hands, are far from every such object."""
    threshold, tolerance = FAR[claim.value]
    stature = cast.stature(person)
    boxes = [cast.object_boxes[thing] for thing in things]
    gap, keypoints = min(_box_gap(cast.boxes[person], box) for box in boxes), tuple[int, ...]()
    hands = cast.hands(person)
    if claim.value == "holding" and len(hands) == 2:
        gap = max(gap, min(_point_gap(hand, box) for hand in hands.values() for box in boxes))
        keypoints = (9, 10)
    margin = (gap / stature - threshold) / tolerance
    if math.isnan(margin) or margin < 1:
        return None
    return Finding(False, person, "object=far", keypoints, round(min(margin, 99.0), 2))


def _box_gap(a: Box, b: Box) -> float:
    return math.hypot(max(a[0] - b[2], b[0] - a[2], 0.0), max(a[1] - b[3], b[1] - a[3], 0.0))


def _point_gap(point: complex, box: Box) -> float:
    return _box_gap((point.real, point.imag, point.real, point.imag), box)
