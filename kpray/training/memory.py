"""What a GPU must hold during training, in bytes.

Weights, gradients and optimizer states follow ZeRO (Rajbhandari et al. 2020, section 3; DeepSpeed 0.19 as installed):
with a 16-bit dtype 2 bytes a weight, 2 a gradient and 12 for the 32-bit copy and AdamW's two moments, each divided by
the number of workers from the stage on that partitions it.

Activations are counted as Korthikanti et al. 2022 ("Reducing Activation Recomputation in Large Transformer Models",
section 4) do for GPT, with the terms of the layers at hand, b bytes a number:

- gated (Llama, Qwen2): (6 b + 8) width + 4 b inner + 2 b kv_width bytes a token and layer; the 8 are the norms', which
  compute in 32 bits;
- not gated (CLIP): 8 b width + 3 b inner.

Both are what `torch.autograd` really keeps (tests/training/test_estimate.py). Attention is taken to keep no square of
scores (flash, or torch's sdpa); ``eager`` does, and its squares are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from kpray.training.loads import ImageLoad
from kpray.training.shape import ModelShape, PartShape

ALLOWANCE = 0.05
"""Share on top for what the allocator cannot use between its blocks; an assumption."""

CONTEXT = 1_500_000_000
"""Bytes for the CUDA context, NCCL and cuBLAS workspaces; an assumption."""

_MASTER, _MOMENTS, _FP32 = 4, 8, 4
_BUCKET, _LIVE, _SUB_GROUP = 500_000_000, 1_000_000_000, 1_000_000_000
"""DeepSpeed's defaults, in numbers: reduce_bucket_size, stage3_max_live_parameters, sub_group_size."""


class Batch(msgspec.Struct, frozen=True):
    """What one forward pass of one worker sees.

    Attributes:
        tokens: In all its sequences, at their longest.
        longest: Of one sequence.
        images: Of all its pictures.
    """

    tokens: int
    longest: int
    images: ImageLoad


class Memory(msgspec.Struct, frozen=True):
    """Bytes on each GPU, at the moment when each is most.

    Attributes:
        weights: In the model's dtype, as far as this GPU keeps them.
        gradients: Likewise.
        optimizer: 32-bit copies of the weights, and moments.
        gathered: Weights of other GPUs, held while layers compute (stage 3).
        buckets: In which gradients are collected before they are sent.
        activations: Kept from the forward pass for the backward pass.
        working: Of what is computed at the moment: one layer again, or logits and loss.
        step: 32-bit gradients and AdamW's temporaries while weights change; nothing of the two before is held then.
        host: Bytes that offloading puts into the CPU's memory, of all workers together.
    """

    weights: int
    gradients: int
    optimizer: int
    gathered: int
    buckets: int
    activations: int
    working: int
    step: int
    host: int

    @property
    def states(self) -> int:
        """Weights, gradients and optimizer states."""
        return self.weights + self.gradients + self.optimizer

    @property
    def allocated(self) -> int:
        """The most that tensors take at once; what ``torch.cuda.max_memory_allocated`` tells."""
        passing = self.gathered + self.activations + self.working
        return self.states + self.buckets + max(passing, self.step)

    @property
    def total(self) -> int:
        """With the allowance for the allocator and what lies outside of it."""
        return round(self.allocated * (1 + ALLOWANCE)) + CONTEXT


def memory_per_gpu(
    shape: ModelShape,
    batch: Batch,
    *,
    gpus: int,
    bytes_per_number: int,
    checkpointing: bool,
    eager: bool,
    fused_loss: bool,
    zero: Mapping[str, Any],
) -> Memory:
    """Estimate the memory that training takes.

    Args:
        shape: The model, with what of it learns.
        batch: One forward pass.
        gpus: Workers, one GPU each.
        bytes_per_number: Of the model's dtype.
        checkpointing: Whether layers keep only their input.
        eager: Whether attention keeps its scores.
        fused_loss: Whether logits are never whole in memory (liger).
        zero: DeepSpeed's ``zero_optimization`` group.
    """
    stage = int(zero.get("stage", 0))
    weights_out, states_out = _is_offloaded(zero, "offload_param"), _is_offloaded(zero, "offload_optimizer")
    kept = shape.parameters + shape.language.adapters
    weights = kept * bytes_per_number // (gpus if stage == 3 else 1)
    gradients = shape.learning * bytes_per_number // (gpus if stage >= 2 else 1)
    share = shape.learning // (gpus if stage >= 1 else 1)
    master = 0 if stage == 0 and bytes_per_number == _FP32 else _MASTER
    optimizer = share * (master + _MOMENTS)
    live = min(kept, int(zero.get("stage3_max_live_parameters", _LIVE))) * bytes_per_number if stage == 3 else 0
    activations, working = _activations(shape, batch, bytes_per_number, checkpointing, eager, fused_loss)
    changing = min(share, int(zero.get("sub_group_size", _SUB_GROUP))) if stage == 3 else share
    on_host = (weights if weights_out else 0) + (optimizer + _if(stage >= 2, gradients) if states_out else 0)
    return Memory(
        weights=_if(not weights_out, weights),
        gradients=_if(not (states_out and stage >= 2), gradients),
        optimizer=_if(not states_out, optimizer),
        gathered=live,
        buckets=_buckets(shape, stage, bytes_per_number, zero),
        activations=activations,
        working=working,
        step=_if(not states_out, 2 * _FP32 * changing),
        host=on_host * gpus,
    )


def _if(condition: bool, value: int) -> int:
    return value if condition else 0


def _is_offloaded(zero: Mapping[str, Any], group: str) -> bool:
    return bool((zero.get(group) or {}).get("device", "none") != "none")


def _buckets(shape: ModelShape, stage: int, bytes_per_number: int, zero: Mapping[str, Any]) -> int:
    if stage == 0:
        return 0
    size = min(shape.learning, int(zero.get("reduce_bucket_size", _BUCKET)))
    return size * bytes_per_number * (2 if stage < 3 and zero.get("overlap_comm") else 1)


def _activations(
    shape: ModelShape, batch: Batch, size: int, checkpointing: bool, eager: bool, fused_loss: bool
) -> tuple[int, int]:
    """What is kept for the backward pass, and the most that is computed at a time beside it."""
    language, vision, images = shape.language, shape.vision, batch.images
    scores = (_FP32 + size) * language.heads * batch.tokens * batch.longest if eager else 0
    layer = batch.tokens * _kept_by_layer(language, size, lora=shape.lora) + scores
    tower_layer = images.rows * _kept_by_layer(vision, size, lora=False)
    tower_rows = images.rows * vision.width * size
    tower = (vision.depth + 1) * tower_rows  # all layers' outputs: the model takes one of them by number
    if vision.learns and not checkpointing:
        tower += vision.depth * tower_layer
    projector = images.projected * (2 * language.width + vision.width) * size
    language_kept = batch.tokens * language.width * size * (language.depth + 2)
    if not checkpointing:
        language_kept += language.depth * layer
    logits = 0 if fused_loss else batch.tokens * shape.vocabulary * (size + 3 * _FP32)
    return tower + projector + language_kept, max(layer, tower_layer, logits)


def _kept_by_layer(part: PartShape, size: int, *, lora: bool) -> int:
    """Bytes a row that a layer keeps for its backward pass."""
    if not part.gated:
        return 8 * size * part.width + 3 * size * part.inner
    adapters = (size + 1) * (6 * part.width + part.inner) if lora else 0  # dropout's output and mask, seven products
    return (6 * size + 8) * part.width + 4 * size * part.inner + 2 * size * part.kv_width + adapters
