"""Qwen2-VL: images of any shape, and positions that count time, rows and columns (mRoPE)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from kpray.training.families.base import ImageTextFamily


class Qwen2VL(ImageTextFamily):
    """Qwen2-VL; it writes ChatML."""

    name: ClassVar = "Qwen2-VL"
    model_types: ClassVar = ("qwen2_vl",)
    parts: ClassVar = (
        ("visual.merger", "projector"),
        ("visual", "vision"),
        ("language_model", "language"),
        ("lm_head", "language"),
    )

    def extra_of(
        self, processor: Any, input_ids: npt.NDArray[np.int64], images: Mapping[str, Any]
    ) -> dict[str, npt.NDArray[Any]]:
        """Also ``position_ids`` (3, L); they take the model's place, which would not know where a sample begins."""
        extra = super().extra_of(processor, input_ids, images)
        grids = extra.get("image_grid_thw", np.empty((0, 3), dtype=np.int64))
        is_image = input_ids == processor.image_token_id
        return {**extra, "position_ids": mrope_positions(is_image, grids // self._merge(processor))}

    def _merge(self, processor: Any) -> npt.NDArray[np.int64]:
        size = processor.image_processor.merge_size
        return np.array([1, size, size])


def mrope_positions(is_image: npt.NDArray[np.bool_], grids_thw: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Positions of one sample: text counts on in all three, an image counts its rows and columns.

    An image starts where the text before it stopped, and text goes on after the image's longer side
    (``get_rope_index`` of transformers' Qwen2-VL, section 2.1 of https://arxiv.org/abs/2409.12191).

    Args:
        is_image: (L,) whether a token is an image's.
        grids_thw: (images, 3) time, rows and columns in tokens; the images' tokens lie in this order.

    Returns:
        (3, L) time, row, column.
    """
    blocks, start, at = [], 0, 0
    for grid in grids_thw:
        first = at + int(is_image[at:].argmax())
        text = np.arange(start, start + first - at)
        image = np.indices(tuple(grid)).reshape(3, -1) + start + len(text)
        blocks += [np.tile(text, (3, 1)), image]
        start, at = start + len(text) + int(grid[1:].max()), first + image.shape[1]
    return np.concatenate([*blocks, np.tile(np.arange(start, start + len(is_image) - at), (3, 1))], axis=1)
