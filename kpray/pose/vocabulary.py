"""The closed vocabulary of pose codes: every fact that kpray states about a pose is one of these.

A `PoseCode` is one fact that the keypoints decide with a margin. What they do not decide (a keypoint is
missing, or a measure lies too close to a threshold) has no code: kpray abstains.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

Side = Literal["left", "right", ""]


class PoseCode(msgspec.Struct, frozen=True):
    """One fact about one person, or about a person and another person or object.

    Attributes:
        name: A key of `VOCABULARY`.
        value: One of ``VOCABULARY[name]``.
        person: Index into ``Scene.people``; -1 for a fact about the whole scene.
        side: The person's own left or right, for codes about one arm or leg; else empty.
        other: Index into ``Scene.people`` of the second person, if there is one.
        object: Index into ``Scene.objects``, if the fact is about an object.
        keypoints: Indices (0..16) of the keypoints that were used; empty when only boxes were.
        measure: What was measured, in the unit that the name's threshold has.
        margin: Distance of the measure to the nearest threshold, in units of that threshold's tolerance;
            always >= 1, because closer measures abstain.
    """

    name: str
    value: str
    person: int
    side: Side
    other: int | None
    object: int | None
    keypoints: tuple[int, ...]
    measure: float
    margin: float


VOCABULARY: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        # One arm or leg (side is set).
        "elbow": ("sharply_bent", "bent", "slightly_bent", "straight"),
        "knee": ("sharply_bent", "bent", "slightly_bent", "straight"),
        "hip": ("sharply_flexed", "flexed", "slightly_flexed", "extended"),
        "arm": ("down", "slightly_out", "out_to_side", "raised"),  # upper arm against the torso
        "wrist_height": ("above_head", "above_shoulder", "between_shoulder_and_hip", "below_hip"),
        "hand_on_hip": ("yes",),
        "hand_near_face": ("yes",),
        "forearm": ("pointing_up", "level", "pointing_down"),
        "knee_height": ("above_hip", "level_with_hip", "below_hip"),
        "ankle_height": ("above_other_knee", "above_other_ankle"),  # a lifted foot
        # One person.
        "hands": ("together", "apart"),
        "arms_crossed": ("yes",),
        "legs_crossed": ("yes",),
        "feet": ("together", "shoulder_width", "wide"),
        "knees": ("together", "apart"),
        "torso": ("vertical", "tilted", "horizontal", "inverted"),
        "lean": ("image_left", "image_right"),
        "lean_direction": ("forward", "backward"),  # only where facing is known from the side
        "facing": ("camera", "away", "image_left", "image_right"),
        "head": ("turned_image_left", "turned_image_right", "tilted_image_left", "tilted_image_right"),
        "posture": ("standing", "sitting", "crouching", "kneeling", "lying"),
        # The scene (person is -1): the value is the number in digits, so any non-negative integer.
        "person_count": (),
        # Two people (other is set): the first is ... of the second, as seen in the image.
        "order": ("image_left_of", "image_right_of"),
        "overlap": ("overlapping", "separate"),
        "size": ("larger", "smaller", "similar"),
        "distance": ("close", "far"),
        "height": ("higher", "lower"),  # of the head, in the image
        # A person and an object (object is set).
        "object": ("in_left_hand", "in_right_hand", "in_both_hands", "on", "beside"),
        "object_side": ("image_left_of", "image_right_of"),  # the object is ... of the person
    }
)
"""Code names and their values."""
