"""The decision table: which pose codes support a claim about one person, and which contradict it.

A row lists alternatives. Each is one or more conditions joined by ``&``; a condition is ``name=value`` of
`kpray.pose.VOCABULARY`, with ``@2`` where the code's margin must be at least 2, and ``<0.6`` or ``>0.6`` where its
measure must lie there. ``~`` marks what supports a claim and yet does not contradict its denial: an elbow that is
slightly bent is bent, and may also be called not bent. In a claim about one limb, codes that have a side are those of
that limb; in a claim about the whole person they may be of either side.

Contradictions are stricter than the opposite of support, because people use the words loosely: an arm that hangs
with a bent elbow may still be called raised, a straight arm need not be at 180 degrees.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from kpray.pose.vocabulary import VOCABULARY


class Condition(NamedTuple):
    """One code that must be there.

    Attributes:
        name: Of the code.
        value: Of the code.
        margin: The smallest that will do.
        low: The measure must be above.
        high: The measure must be below.
        loose: Whether people might deny the claim all the same ("not bent" of a slightly bent elbow).
    """

    name: str
    value: str
    margin: float = 1.0
    low: float = -1e9
    high: float = 1e9
    loose: bool = False


class Row(NamedTuple):
    """What decides one claim; alternatives of conditions that must all hold.

    Attributes:
        supports: Any of them supports the claim.
        contradicts: Any of them contradicts it, unless one of `supports` or `spares` holds as well.
        spares: Codes with which the claim's words are used too, though they do not prove it.
    """

    supports: tuple[tuple[Condition, ...], ...]
    contradicts: tuple[tuple[Condition, ...], ...]
    spares: tuple[tuple[Condition, ...], ...] = ()


_CONDITION: Final = re.compile(r"(~?)(\w+)=(\w+?)(?:@([\d.]+))?(?:([<>])(-?[\d.]+))?")


def parse_condition(text: str) -> Condition:
    """Read ``name=value@margin<measure``.

    Raises:
        ValueError: The text has another form, or no pose code is called so.

    >>> parse_condition("wrist_height=above_shoulder@2<1.5")
    Condition(name='wrist_height', value='above_shoulder', margin=2.0, low=-1000000000.0, high=1.5, loose=False)
    """
    found = _CONDITION.fullmatch(text.strip())
    if not found:
        raise ValueError(f"expected name=value, name=value@2 or name=value<0.5; found {text!r}")
    loose, name, value, margin, sign, bound = found.groups()
    if value not in VOCABULARY.get(name, ()):
        raise ValueError(f"{text!r}: no pose code {name}={value}; see kpray/pose/vocabulary.py")
    low, high = (float(bound) if sign == ">" else -1e9), (float(bound) if sign == "<" else 1e9)
    return Condition(name, value, float(margin or 1), low, high, bool(loose))


def _alternatives(texts: str) -> tuple[tuple[Condition, ...], ...]:
    lines = [line.strip() for line in texts.replace("|", "\n").splitlines() if line.strip()]
    return tuple(tuple(parse_condition(part) for part in line.split("&")) for line in lines)


_UPRIGHT_FROM_SIDE: Final = "torso=vertical<8 & facing=image_left | torso=vertical<8 & facing=image_right"
"""A lean towards the camera by 30 degrees shortens a trunk too little to be seen."""

SOURCE: Final[Mapping[tuple[str, str], tuple[str, ...]]] = MappingProxyType(
    {
        ("arm", "raised"): (
            "arm=raised | wrist_height=above_head | ~wrist_height=above_shoulder",
            "wrist_height=below_hip | arm=down & wrist_height=between_shoulder_and_hip<0.8"
            " | arm=down & forearm=pointing_down | arm=down & elbow=straight"
            " | arm=slightly_out & wrist_height=between_shoulder_and_hip<0.6",
            "arm=out_to_side | forearm=pointing_up | hand_near_face=yes",
        ),
        ("arm", "lowered"): (
            "arm=down | ~wrist_height=below_hip",
            "arm=raised | wrist_height=above_head | wrist_height=above_shoulder>1.3 | arm=out_to_side@2",
        ),
        ("arm", "out_to_side"): (
            "arm=out_to_side",
            "arm=down | arm=raised>130 | hands=together | arms_crossed=yes",
            "forearm=level | forearm=pointing_up",
        ),
        ("elbow", "bent"): ("elbow=bent | elbow=sharply_bent | ~elbow=slightly_bent", "elbow=straight"),
        ("elbow", "straight"): ("elbow=straight", "elbow=sharply_bent | elbow=bent<125"),
        ("hand_on_hip", "yes"): (
            "hand_on_hip=yes",
            "elbow=straight | forearm=pointing_up | wrist_height=above_shoulder | wrist_height=above_head"
            " | wrist_height=below_hip@3 | wrist_height=between_shoulder_and_hip>0.75"
            " | hand_near_face=yes | hands=together | arms_crossed=yes | arm=raised",
        ),
        ("hand_above_head", "yes"): (
            "wrist_height=above_head",
            "wrist_height=below_hip | wrist_height=between_shoulder_and_hip | wrist_height=above_shoulder<1.3"
            " | hand_on_hip=yes | arms_crossed=yes",
        ),
        ("hand_near_face", "yes"): (
            "hand_near_face=yes",
            "wrist_height=below_hip | wrist_height=between_shoulder_and_hip<0.5 | wrist_height=above_head>3"
            " | elbow=straight | hand_on_hip=yes | arm=down & forearm=pointing_down",
        ),
        ("knee", "bent"): ("knee=bent | knee=sharply_bent | ~knee=slightly_bent", "knee=straight"),
        ("knee", "straight"): ("knee=straight", "knee=sharply_bent | knee=bent<125"),
        ("hands", "together"): ("hands=together", "hands=apart"),
        ("hands", "apart"): ("hands=apart", "hands=together"),
        ("arms_crossed", "yes"): (
            "arms_crossed=yes",
            "wrist_height=below_hip | wrist_height=above_shoulder | wrist_height=above_head | elbow=straight"
            " | hands=apart>0.35 | hand_on_hip=yes | arm=raised | arm=out_to_side",
        ),
        ("legs", "apart"): (
            "feet=wide | ~feet=shoulder_width | ~knees=apart",
            "feet=together | knees=together@2 | legs_crossed=yes",
        ),
        ("legs", "together"): ("feet=together | ~knees=together", "feet=wide | knees=apart"),
        ("legs", "crossed"): ("legs_crossed=yes", "feet=wide | posture=standing & feet=shoulder_width"),
        ("posture", "standing"): ("posture=standing", "posture=sitting | posture=kneeling@3 | posture=lying"),
        ("posture", "sitting"): ("posture=sitting", "posture=standing | posture=lying", "object=on"),
        ("posture", "crouching"): ("posture=crouching", "posture=standing | posture=lying"),
        ("posture", "kneeling"): ("posture=kneeling", "posture=standing | posture=lying | posture=sitting"),
        ("posture", "lying"): (
            "posture=lying",
            "posture=standing | posture=sitting | posture=kneeling | posture=crouching",
        ),
        ("lean", "any"): (
            "torso=tilted | ~torso=horizontal | ~lean=image_left | ~lean=image_right"
            " | ~lean_direction=forward | ~lean_direction=backward",
            _UPRIGHT_FROM_SIDE,
        ),
        ("lean", "forward"): ("lean_direction=forward", f"lean_direction=backward | {_UPRIGHT_FROM_SIDE}"),
        ("lean", "backward"): ("lean_direction=backward", f"lean_direction=forward | {_UPRIGHT_FROM_SIDE}"),
        ("lean", "image_left"): ("lean=image_left", "lean=image_right | torso=vertical<6"),
        ("lean", "image_right"): ("lean=image_right", "lean=image_left | torso=vertical<6"),
        ("lean", "upright"): ("torso=vertical", "torso=tilted>32 | torso=horizontal | torso=inverted"),
        ("facing", "camera"): ("facing=camera", "facing=away | facing=image_left@1.5 | facing=image_right@1.5"),
        ("facing", "away"): ("facing=away", "facing=camera"),
        ("facing", "image_left"): ("facing=image_left", "facing=image_right", "head=turned_image_left"),
        ("facing", "image_right"): ("facing=image_right", "facing=image_left", "head=turned_image_right"),
    }
)
"""Support, contradiction, and what spares from contradiction, by claim and value."""

TABLE: Final[Mapping[tuple[str, str], Row]] = MappingProxyType(
    {claim: Row(*(_alternatives(texts) for texts in columns)) for claim, columns in SOURCE.items()}
)
"""`SOURCE`, read."""

LIMB_CLAIMS: Final = frozenset({"arm", "elbow", "hand_on_hip", "hand_above_head", "hand_near_face", "knee"})
"""Claims about one arm or leg, for which the side counts."""
