"""From a scene to the exchanges of one sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from kpray.pose import PoseCode, scene_codes
from kpray.schemas import KindName, QuestionAnswer, Scene
from kpray.teachers.geometric.conversation import conversation
from kpray.teachers.geometric.description import description
from kpray.teachers.geometric.known import Known, know
from kpray.teachers.geometric.reasoning import reasoning
from kpray.teachers.geometric.wording import Writer

_COMPOSERS: Final[Mapping[KindName, Callable[[Known, Writer], tuple[QuestionAnswer, ...]]]] = MappingProxyType(
    {"conversation": conversation, "detailed": description, "reasoning": reasoning}
)


def compose(kind: KindName, scene: Scene, *, seed: int) -> tuple[QuestionAnswer, ...]:
    """Write one sample's exchanges from what captions and pose codes support.

    Args:
        kind: ``conversation`` gives up to six exchanges; ``detailed`` one with an empty question;
            ``reasoning`` one.
        scene: The scene.
        seed: Another seed gives other words; the same gives the same on every machine.

    Returns:
        At least one exchange, also for a scene of which nothing is known.
    """
    return compose_from_codes(kind, scene, scene_codes(scene), seed=seed)


def compose_from_codes(
    kind: KindName, scene: Scene, codes: Iterable[PoseCode], *, seed: int
) -> tuple[QuestionAnswer, ...]:
    """`compose` with pose codes that are already at hand."""
    writer = Writer(f"{seed}/{scene.scene_id}/{kind}")
    return _COMPOSERS[kind](know(scene, codes, writer), writer)
