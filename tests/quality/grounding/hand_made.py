"""Claims, codes and scenes made by hand."""

from __future__ import annotations

from typing import Any

from scenes import person, scene

from kpray.pose import PoseCode
from kpray.quality.grounding.claims import Claim, Mention
from kpray.schemas import Scene

THE_PERSON = Mention("the person", head="person")
HE = Mention("he")
EVERYBODY = Mention("people", quantity="all", head="person")
ON_THE_LEFT = Mention("the person on the left", head="person", place="image_left")
ON_THE_RIGHT = Mention("the person on the right", head="person", place="image_right")


def code(name: str, value: str, person: int = 0, side: Any = "", **changes: Any) -> PoseCode:
    """A pose code with a margin of 5 that the nose decided."""
    fields: dict[str, Any] = {"other": None, "object": None, "keypoints": (0,), "measure": 0.0, "margin": 5.0}
    return PoseCode(name, value, person, side, **{**fields, **changes})


def claim(name: str, value: str = "yes", who: Mention = THE_PERSON, **changes: Any) -> Claim:
    """A claim at no place in particular."""
    return Claim(0, 0, 0, name, value, who, **changes)


def people_at(*centres: float, width: float = 0.1, captions: tuple[str, ...] = (), **changes: Any) -> Scene:
    """People with boxes of one width, at these middles from left to right of the image."""
    people = tuple(person(i + 1, box_xyxy_norm=(x - width / 2, 0.1, x + width / 2, 0.9)) for i, x in enumerate(centres))
    return scene(people=people, captions=captions, **{"objects": (), **changes})
