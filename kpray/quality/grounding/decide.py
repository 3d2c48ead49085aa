"""From claims to verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from kpray.pose.vocabulary import PoseCode
from kpray.quality.grounding.bodily import body_finding
from kpray.quality.grounding.cast import Cast
from kpray.quality.grounding.claims import Claim, Thing
from kpray.quality.grounding.counts import count_finding
from kpray.quality.grounding.entities import Meant, resolve
from kpray.quality.grounding.findings import Finding, denied, of_all, of_none, of_one, of_some
from kpray.quality.grounding.people import Group
from kpray.quality.grounding.relations import object_finding, position_of_people, position_of_things
from kpray.schemas import GroundedClaim, Scene


def decide(claims: Sequence[Claim], scene: Scene, codes: Sequence[PoseCode]) -> list[GroundedClaim]:
    """Say of each claim whether the pose codes support it, contradict it or leave it open.

    Args:
        claims: Of one conversation, all of them: mentions of the same people help each other.
        scene: What is annotated.
        codes: `kpray.pose.scene_codes` of it.

    Returns:
        One verdict for each claim, in their order. A claim is contradicted only if it is for everybody who could
        be meant, and nobody is likely to be missing from the annotations.
    """
    cast = Cast(scene, codes)
    meant = resolve(claims, cast)
    return [_grounded(claim, whom, _decide_one(claim, whom, cast)) for claim, whom in zip(claims, meant, strict=True)]


def _decide_one(claim: Claim, meant: Meant, cast: Cast) -> Finding | None:
    if claim.name == "person_count":
        return count_finding(claim, cast)
    findings = [_of_person(claim, person, meant, cast) for person in meant.who.people]
    return _combined(claim, findings, meant.who)


def _combined(claim: Claim, findings: list[Finding | None], group: Group) -> Finding | None:
    if claim.who.quantity == "all":
        return of_all(findings, group, negated=claim.negated)
    if claim.who.quantity == "some":
        return of_some(findings, group, claim.who.count or 1)
    if claim.who.quantity == "none":
        return None if claim.negated else of_none(findings, group)
    return of_one(findings, group)


def _of_person(claim: Claim, person: int, meant: Meant, cast: Cast) -> Finding | None:
    """What is known of the claim if this person is meant, with its negation taken into account."""
    if claim.name not in ("position", "object"):
        return body_finding(claim, person, cast)
    found = _relation(claim, person, meant, cast)
    return denied(found) if claim.negated else found


def _relation(claim: Claim, person: int, meant: Meant, cast: Cast) -> Finding | None:
    if isinstance(claim.other, Thing):
        things = cast.things(claim.other.head)
        finding = object_finding if claim.name == "object" else position_of_things
        return finding(claim, person, things, cast)
    if claim.name == "position" and meant.other:
        return position_of_people(claim, person, meant.who, meant.other, cast)
    return None


def _grounded(claim: Claim, meant: Meant, found: Finding | None) -> GroundedClaim:
    return GroundedClaim(
        turn=claim.turn,
        start=claim.start,
        end=claim.end,
        name=claim.name,
        value=claim.value,
        side=claim.side,
        negated=claim.negated,
        hedged=claim.hedged,
        verdict="unverifiable" if found is None else "supported" if found.holds else "contradicted",
        people=() if claim.name == "person_count" else meant.who.people,
        person=found.person if found else None,
        code=found.code if found else "",
        keypoints=found.keypoints if found else (),
        margin=found.margin if found else None,
    )
