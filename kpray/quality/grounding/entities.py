"""Mentions of a whole conversation: what one tells about the same people helps the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from kpray.quality.grounding.cast import Cast
from kpray.quality.grounding.claims import Claim, Mention
from kpray.quality.grounding.people import Group, who_could_be

FIRST: Final = 0
"""The entity that the extractor gives to whom a conversation speaks of first."""


class Meant(NamedTuple):
    """Whom a claim's mentions could mean.

    Attributes:
        who: Whom it is about.
        other: The second person of a position; None where there is none.
    """

    who: Group
    other: Group | None


def resolve(claims: Sequence[Claim], cast: Cast) -> list[Meant]:
    """Candidates for the mentions of all claims of one conversation, in the order of the claims."""
    cache: dict[tuple[Mention, bool], Group] = {}

    def group(mention: Mention, entity: int = -1) -> Group:
        key = mention, entity == FIRST
        if key not in cache:
            cache[key] = who_could_be(mention, cast, first=entity == FIRST)
        return cache[key]

    known = _by_entity([(claim.entity, claim.who, group(claim.who, claim.entity)) for claim in claims])
    pinned: dict[int, int] = {}
    found = []
    for claim in claims:
        own = group(claim.who, claim.entity)
        who = known.get(claim.entity, own) if _is_sure(claim.who) else own
        if claim.who.other:
            who = _without(who, [person for entity, person in pinned.items() if entity != claim.entity])
        elif claim.who.quantity == "one" and len(who.people) == 1:
            pinned[claim.entity] = who.people[0]
        other = group(claim.other) if isinstance(claim.other, Mention) else None
        found.append(Meant(who, _without(other, who.people) if other and len(who.people) == 1 else other))
    return found


def _by_entity(mentions: Sequence[tuple[int, Mention, Group]]) -> dict[int, Group]:
    """Who fits all mentions of one entity; everybody, and nothing to contradict, where nobody does.

    A bare pronoun tells nothing, and whether it could mean somebody who is not annotated is for the others to say.
    """
    known: dict[int, Group] = {}
    for entity, mention, group in mentions:
        if entity >= 0 and _is_sure(mention) and not _is_bare(mention):
            known[entity] = _both(known[entity], group) if entity in known else group
    return known


def _is_sure(mention: Mention) -> bool:
    return mention.quantity == "one" and mention.certain


def _is_bare(mention: Mention) -> bool:
    return not (mention.head or mention.words or mention.place or mention.ordinal or mention.objects or mention.other)


def _both(one: Group, two: Group) -> Group:
    shared = tuple(person for person in one.people if person in two.people)
    if shared:
        return Group(shared, one.closed and two.closed, one.certain and two.certain)
    return Group(tuple(sorted({*one.people, *two.people})), closed=False, certain=False)


def _without(group: Group, people: Sequence[int]) -> Group:
    rest = tuple(person for person in group.people if person not in people)
    return group._replace(people=rest) if rest else group
