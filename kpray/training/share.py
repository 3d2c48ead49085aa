"""What one worker holds of the model, seen in the weights themselves; in the run's log for whoever asks."""

from __future__ import annotations

from typing import Any

import msgspec

from kpray import storage
from kpray.training.config import TrainConfig
from kpray.training.engine import Started
from kpray.training.metrics import log_folder


class Share(msgspec.Struct, frozen=True):
    """One worker's share of the model.

    Attributes:
        rank: Of the worker.
        world: How many workers there are.
        step: Steps that were done when it began.
        device: Where it computes.
        dtype: Of the weights in forward and backward.
        attention: The kernel, as transformers names it.
        weights: Elements of the whole model.
        held: Elements that this worker holds between steps.
        partitioned: Weights (tensors) of which it holds a part only.
        learning: Elements that learn, of the whole model.
    """

    rank: int
    world: int
    step: int
    device: str
    dtype: str
    attention: str
    weights: int
    held: int
    partitioned: int
    learning: int


def share_path(out: str, rank: int) -> str:
    """Where a worker's `Share` is."""
    return storage.join(log_folder(out), f"worker-{rank}.json")


def write_share(config: TrainConfig, started: Started, engine: Any) -> None:
    """Look at the engine's weights and write this worker's `Share`."""
    parameters = list(engine.module.parameters())
    whole = [int(getattr(p, "ds_numel", p.numel())) for p in parameters]
    held = [_held(p) for p in parameters]
    share = Share(
        rank=started.rank,
        world=started.world,
        step=started.step,
        device=str(engine.device),
        dtype=config.model.dtype,
        attention=str(getattr(engine.module.config, "_attn_implementation", None)),
        weights=sum(whole),
        held=sum(held),
        partitioned=sum(1 for all_of_it, own in zip(whole, held, strict=True) if own < all_of_it),
        learning=sum(size for p, size in zip(parameters, whole, strict=True) if p.requires_grad),
    )
    text = msgspec.json.format(msgspec.json.encode(share))
    storage.write_bytes(share_path(config.out, started.rank), text + b"\n")


def _held(parameter: Any) -> int:
    """Elements of a weight here: under ZeRO-3 the larger of what is gathered and of its own part."""
    part = getattr(parameter, "ds_tensor", None)
    return int(parameter.numel()) if part is None else max(int(parameter.numel()), int(part.numel()))
