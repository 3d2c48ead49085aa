"""The kinds of pose: a table of how each is held, where it fits and with what.

Hand-written, with small random variation in every joint; nothing is taken from motion capture.
"""

from __future__ import annotations

from dataclasses import dataclass

from kpray.coco.synthetic.low_poses import LOW_POSES
from kpray.coco.synthetic.skeleton import Figure, SideName
from kpray.coco.synthetic.upright_poses import UPRIGHT_POSES

BED_HEIGHT_M = 0.5

FRONT = ((-28.0, 28.0),)
AROUND = ((-40.0, 40.0), (-40.0, 40.0), (150.0, 210.0), (50.0, 75.0), (-75.0, -50.0))
PROFILE = ((65.0, 95.0), (-95.0, -65.0))
THREE_QUARTER = ((30.0, 60.0), (-60.0, -30.0))
SIDEWAYS = ((76.0, 104.0), (-104.0, -76.0))

OUTDOORS = ("park", "beach", "street", "snow", "court")
INDOORS = ("living room", "bedroom", "gym")
ANYWHERE = OUTDOORS + INDOORS
GRASS = ("park", "beach", "gym")


@dataclass(frozen=True)
class PoseKind:
    """A kind of pose.

    Attributes:
        name: For example ``arms_raised``.
        posture: ``standing``, ``sitting``, ``crouching``, ``kneeling``, ``lying`` or ``airborne``.
        settings: Where it may happen.
        yaws_deg: Ranges of yaw, one is drawn.
        props: COCO categories of which one is drawn with the person; empty text for none.
        support: COCO categories that the person sits or lies on; empty text for the ground.
    """

    name: str
    posture: str
    settings: tuple[str, ...]
    yaws_deg: tuple[tuple[float, float], ...]
    props: tuple[str, ...] = ("",)
    support: tuple[str, ...] = ("",)

    def build(self, figure: Figure, side: SideName) -> None:
        """Pose a figure; the side is the one that leads (waves, points, kicks)."""
        (UPRIGHT_POSES | LOW_POSES)[self.name](figure, side)


POSE_KINDS: tuple[PoseKind, ...] = (
    PoseKind("standing", "standing", ANYWHERE, AROUND, ("", "backpack", "handbag", "surfboard")),
    PoseKind("arms_raised", "standing", ANYWHERE, AROUND),
    PoseKind("sitting", "sitting", ANYWHERE, AROUND, support=("chair", "bench", "couch")),
    PoseKind("pointing", "standing", ANYWHERE, FRONT, ("", "backpack")),
    PoseKind("walking", "standing", OUTDOORS, PROFILE + THREE_QUARTER, ("", "backpack", "handbag")),
    PoseKind("hands_on_hips", "standing", ANYWHERE, AROUND),
    PoseKind("swinging", "standing", ("court",), FRONT, ("tennis racket",)),
    PoseKind(
        "lying_on_back",
        "lying",
        ("park", "beach", "bedroom", "gym"),
        SIDEWAYS,
        support=("bed",),
    ),
    PoseKind("waving", "standing", ANYWHERE, FRONT),
    PoseKind("crouching", "crouching", ANYWHERE, THREE_QUARTER + PROFILE),
    PoseKind("carrying", "standing", ANYWHERE, FRONT + THREE_QUARTER, ("suitcase", "potted plant")),
    PoseKind("kicking", "standing", ("park", "beach", "street"), PROFILE + THREE_QUARTER, ("sports ball",)),
    PoseKind("arms_crossed", "standing", ANYWHERE, FRONT),
    PoseKind("kneeling", "kneeling", GRASS, THREE_QUARTER + PROFILE),
    PoseKind("holding_up", "standing", ("park", "street", "beach"), FRONT, ("umbrella",)),
    PoseKind("jumping", "airborne", (*OUTDOORS, "gym"), AROUND),
    PoseKind("bending_forward", "standing", ANYWHERE, PROFILE),
    PoseKind("reading", "sitting", ANYWHERE, FRONT + THREE_QUARTER, ("book",), ("chair", "bench", "couch")),
    PoseKind("skateboarding", "standing", ("street",), FRONT, ("skateboard",)),
    PoseKind("lunging", "standing", ("park", "gym", "beach"), PROFILE),
    PoseKind("throwing", "standing", ("park", "beach"), FRONT + THREE_QUARTER, ("frisbee", "sports ball")),
    PoseKind("sitting_on_ground", "sitting", GRASS, THREE_QUARTER + PROFILE),
    PoseKind("drinking", "standing", ANYWHERE, FRONT + THREE_QUARTER, ("cup", "bottle")),
    PoseKind("balancing", "standing", GRASS, FRONT),
    PoseKind("running", "airborne", ("park", "beach", "street", "court"), PROFILE),
    PoseKind("lying_on_side", "lying", ("park", "beach", "bedroom"), FRONT, support=("bed",)),
    PoseKind("telephoning", "standing", ("street", "park", "living room"), FRONT, ("cell phone",)),
    PoseKind("skiing", "standing", ("snow",), THREE_QUARTER + FRONT, ("skis",)),
    PoseKind("kneeling_on_one_knee", "kneeling", GRASS, THREE_QUARTER + PROFILE),
    PoseKind("stretching", "standing", (*GRASS, "court"), FRONT),
    PoseKind("squatting", "crouching", ("gym", "park"), PROFILE),
    PoseKind("sitting_cross_legged", "sitting", GRASS, FRONT),
    PoseKind("arms_out", "standing", ANYWHERE, FRONT),
)
