"""Learning rates as a function of the step, so that a resumed run needs no state for them."""

from __future__ import annotations

import math
from typing import Literal


def rate(
    step: int, *, steps: int, warmup: float, schedule: Literal["cosine", "linear", "constant"] = "cosine"
) -> float:
    """The share of the peak rate in a step; as transformers' schedules of these names.

    Args:
        step: From 0.
        steps: Of the whole run.
        warmup: Share of the steps (rounded up) in which it rises from 0.
        schedule: From the peak to 0; ``constant`` stays.

    >>> [round(rate(step, steps=5, warmup=0.2), 3) for step in range(5)]
    [0.0, 1.0, 0.854, 0.5, 0.146]
    >>> [rate(step, steps=4, warmup=0, schedule="linear") for step in range(4)]
    [1.0, 0.75, 0.5, 0.25]
    """
    rising = math.ceil(steps * warmup)
    if step < rising:
        return step / rising
    if schedule == "constant":
        return 1.0
    progress = (step - rising) / max(1, steps - rising)
    return max(0.0, 1.0 - progress) if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
