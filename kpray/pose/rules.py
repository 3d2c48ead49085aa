"""Every rule's thresholds as data: what is measured, where the words change, and how sure one must be.

Units: ``deg``; ``stature`` (share of the person's standing height, see `kpray.pose.bodies`); ``ratio``.
Sources: "posescript" are the posecode bins of PoseScript (Delmas et al., ECCV 2022: 45, 75, 105, 135, 160
degrees, each +-5), of which we join neighbours; "ours" were chosen by looking at people of COCO val2017 (see
docs/pose_codes.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal


@dataclass(frozen=True)
class Rule:
    """One measure cut into words.

    Attributes:
        name: A key of `kpray.pose.vocabulary.VOCABULARY`.
        values: One more than thresholds, in rising order of the measure; None where no word fits.
        thresholds: Rising, in `unit`.
        tolerance: A measure closer than this to a threshold abstains; at least one standard deviation of the
            measure is kept in any case.
        unit: Of thresholds and tolerance.
        source: Where the thresholds come from.
    """

    name: str
    values: tuple[str | None, ...]
    thresholds: tuple[float, ...]
    tolerance: float
    unit: Literal["deg", "stature", "ratio"]
    source: Literal["posescript", "ours"]

    def __post_init__(self) -> None:
        """Refuse tables that cannot be binned."""
        if len(self.values) != len(self.thresholds) + 1 or list(self.thresholds) != sorted(self.thresholds):
            raise ValueError(f"{self.name}: expected rising thresholds and one more value than thresholds")


def _flag(name: str, value: str = "yes", key: str = "") -> tuple[str, Rule]:
    """A rule that is only a conjunction of conditions: its margin is the smallest of theirs."""
    return key or name, Rule(name, (value,), (), 1.0, "ratio", "ours")


_BENT: Final = ("sharply_bent", "bent", "slightly_bent", "straight")
_FLEXED: Final = ("sharply_flexed", "flexed", "slightly_flexed", "extended")

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "elbow": Rule("elbow", _BENT, (75, 135, 160), 5, "deg", "posescript"),
        "knee": Rule("knee", _BENT, (75, 135, 160), 5, "deg", "posescript"),
        "hip": Rule("hip", _FLEXED, (75, 135, 160), 5, "deg", "posescript"),
        "arm": Rule("arm", ("down", "slightly_out", "out_to_side", "raised"), (25, 60, 105), 5, "deg", "ours"),
        "wrist_height": Rule(
            "wrist_height",
            ("below_hip", "between_shoulder_and_hip", "above_shoulder", "above_head"),
            (0, 1, 2),
            0.1,
            "ratio",
            "ours",
        ),
        "forearm": Rule(
            "forearm",
            ("pointing_down", None, "level", None, "pointing_up"),
            (-60, -20, 20, 60),
            5,
            "deg",
            "ours",
        ),
        "knee_height": Rule(
            "knee_height",
            ("above_hip", None, "level_with_hip", None, "below_hip"),
            (-0.06, -0.04, 0.05, 0.1),
            0.01,
            "stature",
            "ours",
        ),
        "hands": Rule("hands", ("together", None, "apart"), (0.07, 0.25), 0.02, "stature", "ours"),
        "knees": Rule("knees", ("together", None, "apart"), (0.09, 0.24), 0.02, "stature", "ours"),
        "feet": Rule(
            "feet",
            ("together", None, "shoulder_width", None, "wide"),
            (0.08, 0.15, 0.28, 0.33),
            0.02,
            "stature",
            "ours",
        ),
        "torso": Rule(
            "torso",
            ("vertical", None, "tilted", None, "horizontal", None, "inverted"),
            (18, 25, 60, 70, 110, 120),
            4,
            "deg",
            "ours",
        ),
        "lean": Rule("lean", (None, "image_left", None, "image_right", None), (-70, -15, 15, 70), 5, "deg", "ours"),
        "lean_direction": Rule(
            "lean_direction", (None, "backward", None, "forward", None), (-60, -15, 18, 100), 5, "deg", "ours"
        ),
        "facing": Rule("facing", ("away", None, "camera"), (-0.09, 0.12), 0.02, "stature", "ours"),
        "profile": Rule("facing", ("image_left", None, "image_right"), (-0.2, 0.2), 0.1, "ratio", "ours"),
        "turned": Rule("head", ("turned_image_left", None, "turned_image_right"), (-0.45, 0.45), 0.1, "ratio", "ours"),
        "tilted": Rule(
            "head",
            (None, "tilted_image_left", None, "tilted_image_right", None),
            (-60, -15, 15, 60),
            4,
            "deg",
            "ours",
        ),
        **dict(
            [
                _flag("ankle_height", "above_other_knee", "ankle_above_knee"),
                _flag("ankle_height", "above_other_ankle", "ankle_above_ankle"),
                _flag("hand_on_hip"),
                _flag("hand_near_face"),
                _flag("arms_crossed"),
                _flag("legs_crossed"),
                *(_flag("posture", p, p) for p in ("standing", "sitting", "crouching", "kneeling", "lying")),
            ]
        ),
    }
)
"""Rules by key; the key is the code's name except where several rules share one name."""
