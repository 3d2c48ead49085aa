"""The rows that a model answers in one pass: joined when they come, dropped when they are done.

Rows are padded on the left to one length. Each keeps its own mask and its own next position, so a row that joined
later, or has a longer prompt, is computed as it would be alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import DynamicCache

from kpray.serving.engines.prompts import Prompt, collate


class Batch:
    """Keys and values, masks and positions of all rows under way; to be used under `torch.inference_mode`."""

    def __init__(self, model: Any, *, pad_token: int) -> None:
        self._model = model
        self._pad_token = pad_token
        self._cache: DynamicCache | None = None
        self._mask = torch.empty(0)  # (B, L)
        self._positions = torch.empty(0)  # (..., B, 1): of the next token

    def join(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """Read prompts that have the same `Prompt.signature`; their rows come last.

        Returns:
            (len(prompts), V) logits of their first tokens.
        """
        inputs = collate(prompts, pad_token=self._pad_token, device=self._model.device, dtype=self._model.dtype)
        ids, mask = inputs.pop("input_ids"), inputs["attention_mask"]
        # Of generate's own steps: some families count positions in three dimensions.
        positions = self._model._prepare_position_ids_for_generation(ids, dict(inputs))
        cache = DynamicCache()
        ready = self._model.prepare_inputs_for_generation(
            ids, past_key_values=cache, position_ids=positions, is_first_iteration=True, use_cache=True, **inputs
        )
        logits = self._model(**ready, logits_to_keep=1).logits[:, -1]
        self._merge(cache, mask, positions[..., -1:] + 1)
        return logits

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Feed every row its last token; returns the (B, V) logits of the next."""
        self._mask = pad(self._mask, (0, 1), value=1)
        logits = self._model(
            input_ids=torch.tensor(tokens, device=self._model.device)[:, None],
            attention_mask=self._mask,
            position_ids=self._positions,
            past_key_values=self._cache,
            use_cache=True,
        ).logits[:, -1]
        self._positions = self._positions + 1
        return logits

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows, and the columns that none of these needs."""
        if not rows:
            self._cache = None
            return
        assert self._cache is not None
        index = torch.tensor(rows, device=self._mask.device)
        self._positions = self._positions.index_select(-2, index)
        mask = self._mask[index]
        unused = int(mask.any(dim=0).int().argmax())
        self._mask = mask[:, unused:]
        for layer in self._cache.layers:
            layer.keys = layer.keys[index, :, unused:]
            layer.values = layer.values[index, :, unused:]

    def _merge(self, cache: DynamicCache, mask: torch.Tensor, positions: torch.Tensor) -> None:
        if self._cache is None:
            self._cache, self._mask, self._positions = cache, mask, positions
            return
        width = max(self._mask.shape[1], mask.shape[1])
        for layer, new in zip(self._cache.layers, cache.layers, strict=True):
            layer.keys = _stacked(layer.keys, new.keys, width)
            layer.values = _stacked(layer.values, new.values, width)
        self._mask = torch.cat([pad(part, (width - part.shape[1], 0)) for part in (self._mask, mask)])
        self._positions = torch.cat([self._positions, positions], dim=-2)


def _stacked(old: torch.Tensor, new: torch.Tensor, width: int) -> torch.Tensor:
    """(B, H, L, D) tensors below each other, both padded on the left to `width`."""
    return torch.cat([pad(part, (0, 0, width - part.shape[2], 0)) for part in (old, new)])
