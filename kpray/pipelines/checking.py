"""Replies as checked samples, what is asked again about them, and what becomes of those that keep a fault."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from kpray.pipelines.recipe import Recipe
from kpray.pipelines.samples import SEEN_CHARS, Asked, to_samples
from kpray.pose import PoseCode, scenes_codes
from kpray.quality.checks import GRAVEST_FIRST, check
from kpray.schemas import Fault, Rejected, Request, Sample, Scene


class Judged(msgspec.Struct, frozen=True):
    """What one reply makes.

    Attributes:
        samples: Checked; some may have faults.
        rejected: Why it makes none, else None.
    """

    samples: tuple[Sample, ...] = ()
    rejected: Rejected | None = None

    @property
    def faults(self) -> list[Fault]:
        """Of all its samples."""
        return [fault for sample in self.samples for fault in sample.faults]


def judge_all(asked: Sequence[Asked], scenes: Sequence[Scene], recipe: Recipe) -> list[Judged]:
    """Parse and check some replies about these scenes."""
    needed = {stub.scene_id for stub in asked if stub.reply}
    concerned = [scene for scene in scenes if scene.scene_id in needed]
    codes = scenes_codes(concerned)
    known = {scene.scene_id: (scene, of_scene) for scene, of_scene in zip(concerned, codes, strict=True)}
    return [judge(stub, recipe, *known.get(stub.scene_id, (None, ()))) for stub in asked]


def judge(asked: Asked, recipe: Recipe, scene: Scene | None, codes: Sequence[PoseCode] = ()) -> Judged:
    """Parse and check one reply; without a scene its claims are not looked at."""
    made = to_samples(asked, recipe)
    if isinstance(made, Rejected):
        return Judged(rejected=made)
    return Judged(tuple(_checked(sample, recipe, scene, codes) for sample in made))


def _checked(sample: Sample, recipe: Recipe, scene: Scene | None, codes: Sequence[PoseCode]) -> Sample:
    model = recipe.spacy_model
    found = check(sample.conversations, kind=sample.kind, scene=scene, codes=codes, spacy_model=model)
    return msgspec.structs.replace(sample, claims=found.claims, faults=found.faults)


def repairs(
    asked: Sequence[Asked], judged: Sequence[Judged], scenes: Iterable[Scene], recipe: Recipe
) -> dict[int, Request]:
    """What is asked again, by its index among what was asked."""
    by_id = {scene.scene_id: scene for scene in scenes}
    return {
        i: recipe.repair(stub.kind, by_id[stub.scene_id], stub.reply, found.faults)
        for i, (stub, found) in enumerate(zip(asked, judged, strict=True))
        if stub.reply and found.faults
    }


def keep(judged: Judged, recipe: Recipe) -> tuple[list[Sample], list[Rejected]]:
    """Divide what a reply makes into what goes into the dataset and what does not."""
    if judged.rejected:
        return [], [judged.rejected]
    if recipe.check == "report":
        return list(judged.samples), []
    sound = [sample for sample in judged.samples if not sample.faults]
    return sound, [_rejected(sample) for sample in judged.samples if sample.faults]


def gravest(faults: Iterable[Fault]) -> Fault:
    """The one to name where only one is: of the gravest check, the first in the text."""
    return min(faults, key=lambda fault: GRAVEST_FIRST.index(fault.check))


def _rejected(sample: Sample) -> Rejected:
    details = dict.fromkeys(fault.detail for fault in sample.faults)
    if sample.lineage.repairs:
        details["it was asked for twice"] = None
    text = "\n".join(turn.value for turn in sample.conversations)
    return Rejected(
        scene_id=sample.scene_id,
        kind=sample.kind,
        request_id=sample.lineage.request_id,
        stage="check",
        reason=gravest(sample.faults).reason,
        detail="; ".join(details),
        seen=text[:SEEN_CHARS],
        conversations=sample.conversations,
        claims=sample.claims,
        faults=sample.faults,
    )
