"""Stops a run whose replies are all useless, before more is paid for them."""

from __future__ import annotations

from typing import Final

from kpray.pipelines.recipe import Recipe
from kpray.pipelines.samples import Asked, to_samples
from kpray.quality.leaks import find_leak
from kpray.schemas import Rejected

TRIAL: Final = 50
"""So many first replies without a usable one stop the run."""

SHOWN: Final = 3
"""So many of them are shown."""

_SHOWN_CHARS: Final = 600


def fault_of(asked: Asked, recipe: Recipe) -> str | None:
    """Why a reply is useless, with its text, or None if it makes samples that give nothing away."""
    made = to_samples(asked, recipe)
    if isinstance(made, Rejected):
        return _describe(asked, made.reason, made.detail, made.seen)
    answers = [turn.value for sample in made for turn in sample.conversations if turn.role == "gpt"]
    leak = next((name for name in map(find_leak, answers) if name), None)
    return _describe(asked, leak, "it gives away what the teacher was shown", "\n".join(answers)) if leak else None


def verdict(faults: int, examples: list[str]) -> str:
    """The message with which a run is stopped."""
    shown = "\n\n".join(examples[:SHOWN])
    return (
        f"the first {faults} replies were all useless, so nothing more was asked; {SHOWN} of them:\n\n{shown}\n\n"
        "Look at the model, the sampling and `teacher.structured_output`. All replies are in the ledger"
    )


def _describe(asked: Asked, reason: str, detail: str, text: str) -> str:
    return f"[{asked.kind}, scene {asked.scene_id}] {reason}: {detail}\n{text[:_SHOWN_CHARS]}"
