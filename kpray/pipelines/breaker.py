"""Stops a run whose replies are all useless, before more is paid for them."""

from __future__ import annotations

from typing import Final

from kpray.pipelines.checking import gravest, judge
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.samples import Asked

TRIAL: Final = 50
"""So many first replies without a usable one stop the run."""

SHOWN: Final = 3
"""So many of them are shown."""

_SHOWN_CHARS: Final = 600


def fault_of(asked: Asked, recipe: Recipe) -> str | None:
    """Why a reply is useless, with its text, or None if it makes a sample that gives nothing away."""
    judged = judge(asked, recipe, scene=None)
    if judged.rejected:
        return _describe(asked, judged.rejected.reason, judged.rejected.detail, judged.rejected.seen)
    if recipe.check == "report" or not all(sample.faults for sample in judged.samples):
        return None
    fault = gravest(judged.faults)
    text = "\n".join(turn.value for sample in judged.samples for turn in sample.conversations)
    return _describe(asked, fault.reason, fault.detail, text)


def verdict(faults: int, examples: list[str]) -> str:
    """The message with which a run is stopped."""
    shown = "\n\n".join(examples[:SHOWN])
    return (
        f"the first {faults} replies were all useless, so nothing more was asked; {SHOWN} of them:\n\n{shown}\n\n"
        "Look at the model, the sampling and `teacher.structured_output`. All replies are in the ledger"
    )


def _describe(asked: Asked, reason: str, detail: str, text: str) -> str:
    return f"[{asked.kind}, scene {asked.scene_id}] {reason}: {detail}\n{text[:_SHOWN_CHARS]}"
