"""One plain training loop for all stages of the recipe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch

LossOf = Callable[[npt.NDArray[np.int64]], torch.Tensor]


class Plan(msgspec.Struct, frozen=True):
    """How long and how fast one stage learns.

    Attributes:
        steps: Batches.
        lr: Peak learning rate; it rises over the first twentieth and falls to 0 in a cosine.
        batch_size: Samples in a batch.
        seed: Of the order of the samples and of every draw.
        log_every: Steps between two lines; 0 prints nothing.
    """

    steps: int
    lr: float = 1e-3
    batch_size: int = 32
    seed: int = 0
    log_every: int = 100


def fit(loss_of: LossOf, groups: list[dict[str, Any]], samples: int, plan: Plan) -> float:
    """Train, in bfloat16 where it pays, and tell how it goes.

    Args:
        loss_of: The loss of the samples with these numbers.
        groups: For torch's AdamW, each with its peak ``lr``.
        samples: How many there are.
        plan: How long.

    Returns:
        Mean loss of the last tenth of the steps.
    """
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, plan.steps))
    weights = [weight for group in groups for weight in group["params"]]
    losses: list[float] = []
    started = time.process_time()
    for step, batch in zip(range(plan.steps), batches(samples, plan), strict=False):
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if plan.log_every and (step + 1) % plan.log_every == 0:
            recent = np.mean(losses[-plan.log_every :])
            print(
                f"  step {step + 1}/{plan.steps} loss {recent:.4f} cpu {time.process_time() - started:.0f} s",
                flush=True,
            )
    return float(np.mean(losses[-max(plan.steps // 10, 1) :]))


def batches(samples: int, plan: Plan) -> Iterator[npt.NDArray[np.int64]]:
    """Every sample once in a drawn order, then again in another, for ever."""
    order = np.random.default_rng(plan.seed)
    while True:
        shuffled = order.permutation(samples)
        yield from (shuffled[i : i + plan.batch_size] for i in range(0, samples - plan.batch_size + 1, plan.batch_size))


def _share(step: int, steps: int) -> float:
    rise = max(steps // 20, 1)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))
