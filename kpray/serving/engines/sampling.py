"""The next token of every row, each drawn with its own settings and its own generator."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch


class Draw(msgspec.Struct, frozen=True):
    """How one row draws.

    Attributes:
        temperature: 0 takes the likeliest token.
        top_p: Only the likeliest tokens that have this probability together.
        generator: The row's own, on the CPU, so that the same seed draws the same on any device and in any company.
    """

    temperature: float
    top_p: float
    generator: torch.Generator


def draw_of(temperature: float, top_p: float, seed: int | None) -> Draw:
    """Settings with a generator; without a seed it is seeded by chance."""
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed & 0x7FFF_FFFF_FFFF_FFFF)  # torch refuses what does not fit
    return Draw(temperature, top_p, generator)


def next_tokens(logits: torch.Tensor, draws: Sequence[Draw]) -> list[int]:
    """One token for each row.

    Args:
        logits: (B, V).
        draws: B of them.
    """
    tokens = logits.argmax(dim=-1)
    drawn = [index for index, draw in enumerate(draws) if draw.temperature > 0]
    if drawn:
        tokens[drawn] = _drawn(logits[drawn].float(), [draws[index] for index in drawn])
    found: list[int] = tokens.tolist()
    return found


def _drawn(logits: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:
    """Tokens by inversion: one uniform number per row meets the cumulated probabilities, the likeliest first."""
    temperature = logits.new_tensor([draw.temperature for draw in draws])
    top_p = logits.new_tensor([draw.top_p for draw in draws])
    probabilities, tokens = (logits / temperature[:, None]).softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    up_to = probabilities.cumsum(dim=-1)
    kept = ((up_to - probabilities) < top_p[:, None]).sum(dim=-1)  # the one that crosses top_p is still among them
    last = (kept - 1).clamp(min=0)[:, None]
    uniform = torch.cat([torch.rand(1, generator=draw.generator) for draw in draws]).to(logits.device)
    place = (up_to <= uniform[:, None] * up_to.gather(1, last)).sum(dim=-1, keepdim=True)
    return tokens.gather(1, place.minimum(last))[:, 0]
