"""Claims: what a text says about people, in a closed vocabulary that pose codes can decide.

The extractor turns text into `Claim`s and knows no picture; the decision turns claims into verdicts and reads no text.
They meet in these types.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

ClaimSide = Literal["left", "right", "both", "one", ""]
"""The person's own side; ``one`` is at least one of the two ("a raised arm"), empty is no limb's claim."""

CLAIMS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        # The scene: the value is a number in digits.
        "person_count": (),
        # An arm or hand (side is set).
        "arm": ("raised", "lowered", "out_to_side"),
        "elbow": ("bent", "straight"),
        "hand_on_hip": ("yes",),
        "hand_above_head": ("yes",),
        "hand_near_face": ("yes",),
        # A leg (side is set).
        "knee": ("bent", "straight"),
        # One person.
        "hands": ("together", "apart"),
        "arms_crossed": ("yes",),
        "legs": ("apart", "together", "crossed"),
        "posture": ("standing", "sitting", "crouching", "kneeling", "lying"),
        "lean": ("any", "forward", "backward", "image_left", "image_right", "upright"),
        "facing": ("camera", "away", "image_left", "image_right"),
        # A person and another person or an object, as seen in the image: the first is ... of the other.
        "position": ("image_left_of", "image_right_of"),
        # A person and an object; side is the hand's, where the text names it.
        "object": ("holding", "touching", "beside", "on"),
    }
)
"""Claim names and their values."""


class Mention(msgspec.Struct, frozen=True, tag=True):
    """Words that mean one or more people, with whatever they say about who it is.

    Attributes:
        text: As written ("the second skier from the left").
        quantity: ``one``: one person ("the man", "she"). ``all``: everybody whom the words fit ("both men", "they",
            "the players"). ``some``: some of them, not said which ("two of them", "one of the players", "someone").
            ``none``: nobody ("nobody", "no player").
        count: How many are meant, where a number is said ("the two men"); else None.
        head: Lemma of the noun ("man", "skier", "person"); empty for a pronoun without one.
        words: Lemmas that narrow it down ("young", "red", "shirt"), in the order of the text.
        place: Where in the image, where that is said.
        ordinal: Counting from 1, where one is said ("the second").
        ordinal_from: From which side of the image it counts; empty where that is not said.
        objects: Lemmas of things that this person has, holds, wears or is at ("the man with the frisbee").
        other: Whether it means those not meant before ("the other man", "the others").
        certain: False where the extractor could not tell whom a pronoun means.
    """

    text: str
    quantity: Literal["one", "all", "some", "none"] = "one"
    count: int | None = None
    head: str = ""
    words: tuple[str, ...] = ()
    place: Literal["", "image_left", "image_right", "middle", "foreground", "background"] = ""
    ordinal: int | None = None
    ordinal_from: Literal["", "image_left", "image_right"] = ""
    objects: tuple[str, ...] = ()
    other: bool = False
    certain: bool = True


class Thing(msgspec.Struct, frozen=True, tag=True):
    """Words that mean an object: lemma of the noun ("frisbee", "tennis racket") and whether several are meant."""

    text: str
    head: str
    plural: bool = False


class Claim(msgspec.Struct, frozen=True):
    """One claim, as a text makes it.

    Attributes:
        turn: Index into the texts that were read.
        start: The words that make it, in characters of that text.
        end: Likewise, exclusive.
        name: A key of `CLAIMS`.
        value: One of ``CLAIMS[name]``; for ``person_count`` digits.
        who: Whom it is about; for ``person_count`` whom it counts.
        entity: Equal for all mentions of the same people in one conversation, so that what is learned about "the
            tall man" holds for a later "he"; -1 where that is not known.
        side: The person's own side.
        negated: Whether the text denies it.
        hedged: Whether the text only thinks so ("appears to", "likely").
        other: The second person or the object of ``position`` and ``object``; else None.
        at_least: For ``person_count``: the text allows for more ("several", "at least two", "two of the players").
    """

    turn: int
    start: int
    end: int
    name: str
    value: str
    who: Mention
    entity: int = -1
    side: ClaimSide = ""
    negated: bool = False
    hedged: bool = False
    other: Mention | Thing | None = None
    at_least: bool = False
