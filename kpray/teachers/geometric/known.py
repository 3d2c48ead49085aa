"""Everything that may be said about one scene, gathered once per sample."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kpray.pose.vocabulary import PoseCode
from kpray.schemas import Scene
from kpray.teachers.geometric.captions import Caption, mentions_people, usable
from kpray.teachers.geometric.facts import SceneFacts, scene_facts
from kpray.teachers.geometric.refer import Referent, refer_to_people
from kpray.teachers.geometric.statements import Statement, Topic, statements
from kpray.teachers.geometric.wording import Writer

_MOST_PEOPLE: Final = 5
"""How many people at most are told about one by one."""


@dataclass(frozen=True)
class Known:
    """What captions and codes support.

    Attributes:
        facts: The codes.
        captions: Those that were understood, the most agreed on first.
        referents: People who can be told apart, from image-left to image-right where that is known.
        statements: What to say about each of them.
        activity: What the lone person, or everybody, is doing; empty if the captions do not make it plain.
    """

    facts: SceneFacts
    captions: list[Caption]
    referents: dict[int, Referent]
    statements: dict[int, list[Statement]]
    activity: str

    @property
    def lone(self) -> Referent | None:
        """The only person of the scene, if there is just one."""
        return self.referents.get(0) if self.facts.count == 1 else None

    @property
    def count(self) -> int:
        """How many people there are; at least so many where no code decides."""
        return self.facts.count if self.facts.count is not None else len(self.facts.people)


def know(scene: Scene, codes: Iterable[PoseCode], writer: Writer) -> Known:
    """Gather what may be said."""
    facts = scene_facts(scene, codes)
    posture = facts.people[0].whole.get("posture", "") if facts.count == 1 and len(facts.people) == 1 else ""
    captions = usable(scene.captions, count=facts.count, posture=posture)
    referents = refer_to_people(facts, writer)
    activity = _activity(facts, captions)
    said = {p: _untold(statements(facts, p), who, activity if facts.count == 1 else "") for p, who in referents.items()}
    by_weight = sorted(said, key=lambda person: -sum(s.weight for s in said[person]))
    told = {person: who for person, who in referents.items() if person in by_weight[:_MOST_PEOPLE]}
    return Known(facts, captions, told, said, activity)


_MOVING: Final = re.compile(r"\b(walk|run|jog|jump|rid|ski|surf|skat|snowboard|kick|danc|climb|cross)\w*")


def _untold(said: list[Statement], who: Referent, activity: str) -> list[Statement]:
    """Without what the person's name tells, and without "standing" of somebody who is on the move."""
    named = {topic for topic, words in _TOLD_BY_NAME.items() if words.search(who.name)}
    moving = _MOVING.search(activity) is not None
    return [s for s in said if s.topic not in named and not (moving and s.key == "standing")]


_TOLD_BY_NAME: Final[dict[Topic, re.Pattern[str]]] = {
    "posture": re.compile(r"\b(standing|seated|crouching|kneeling|lying)\b"),
    "held": re.compile(r" with the "),
}


def _activity(facts: SceneFacts, captions: list[Caption]) -> str:
    """An activity that is certainly everybody's: of the only person, or of a subject that counts them all.

    "People walking" may be some of those in view, so an uncounted subject is nobody's in particular.
    """
    if facts.count is None:
        return ""
    fitting = (c.activity for c in captions if c.activity and _is_everybodys(c, facts.count))
    return next(fitting, "")


def _is_everybodys(caption: Caption, count: int) -> bool:
    if count == 1:
        return not caption.plural
    return caption.plural and caption.count == count and not mentions_people(caption.activity)
