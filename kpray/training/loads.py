"""How much work a picture and a sample are, in rows and pairs of rows."""

from __future__ import annotations

import math
from typing import Any

import msgspec


class ImageLoad(msgspec.Struct, frozen=True):
    """What pictures are to the model; loads add up.

    Attributes:
        patches: Rows of the patch embedding.
        rows: Rows in the tower's layers; a class token is one of them.
        pairs: Pairs of rows that see each other.
        window_pairs: Likewise, where attention is windowed.
        projected: Rows of the projector.
        tokens: Places taken in the language model's sequence.
    """

    patches: int = 0
    rows: int = 0
    pairs: int = 0
    window_pairs: int = 0
    projected: int = 0
    tokens: int = 0

    def __add__(self, other: ImageLoad) -> ImageLoad:
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return ImageLoad(*(a + b for a, b in zip(mine, theirs, strict=True)))

    def __mul__(self, count: int) -> ImageLoad:
        return ImageLoad(*(value * count for value in msgspec.structs.astuple(self)))


class Load(msgspec.Struct, frozen=True):
    """What some samples are to the model; loads add up.

    Attributes:
        tokens: Places in the language model's sequences, those of pictures included, padding not.
        pairs: Sum over the samples of their length squared, whether they share a sequence or not.
        images: Of all their pictures.
    """

    tokens: int = 0
    pairs: int = 0
    images: ImageLoad = ImageLoad()

    def __add__(self, other: Load) -> Load:
        return Load(self.tokens + other.tokens, self.pairs + other.pairs, self.images + other.images)

    def __mul__(self, count: int) -> Load:
        return Load(self.tokens * count, self.pairs * count, self.images * count)


def image_load(config: Any, *, height: int, width: int) -> ImageLoad:
    """What one picture is to a model.

    Args:
        config: The model's configuration in transformers' form.
        height: Of the picture, in pixels.
        width: Likewise.
    """
    vision = config.vision_config
    if hasattr(vision, "spatial_merge_size"):
        return _dynamic(vision, height, width)
    if getattr(config, "image_grid_pinpoints", None):
        return _tiled(config, height, width)
    side = vision.image_size // vision.patch_size
    return _tiles(1, side, tokens=side * side)


def grid_load(vision: Any, *, frames: int, height: int, width: int) -> ImageLoad:
    """What a picture of Qwen's kind is, from its grid of patches (``image_grid_thw``)."""
    rows = frames * height * width
    merged = rows // vision.spatial_merge_size**2
    return ImageLoad(
        patches=rows,
        rows=rows,
        pairs=frames * (height * width) ** 2,
        window_pairs=_windows(vision, frames, height, width),
        projected=merged,
        tokens=merged,
    )


def _dynamic(vision: Any, height: int, width: int) -> ImageLoad:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    height, width = smart_resize(height, width, factor=vision.patch_size * vision.spatial_merge_size)
    return grid_load(vision, frames=1, height=height // vision.patch_size, width=width // vision.patch_size)


def _windows(vision: Any, frames: int, height: int, width: int) -> int:
    window = getattr(vision, "window_size", 0) // vision.patch_size
    if not window:
        return 0

    def parts(length: int) -> list[int]:
        return [min(window, length - start) for start in range(0, length, window)]

    return frames * sum((h * w) ** 2 for h in parts(height) for w in parts(width))


def _tiled(config: Any, height: int, width: int) -> ImageLoad:
    """LLaVA-NeXT: the whole picture, and its tiles without what pads them (as its processor counts)."""
    from transformers.image_processing_utils import select_best_resolution

    vision = config.vision_config
    side = vision.image_size // vision.patch_size
    best_height, best_width = select_best_resolution((height, width), config.image_grid_pinpoints)
    down, across = best_height // vision.image_size, best_width // vision.image_size
    rows, columns = side * down, side * across
    if width / height > columns / rows:
        rows -= 2 * ((rows - math.floor(round(height * columns / width, 7))) // 2)
    else:
        columns -= 2 * ((columns - math.floor(round(width * rows / height, 7))) // 2)
    return _tiles(1 + down * across, side, tokens=side * side + rows * columns + rows)


def _tiles(count: int, side: int, *, tokens: int) -> ImageLoad:
    rows = side * side + 1
    return ImageLoad(
        patches=count * side * side,
        rows=count * rows,
        pairs=count * rows**2,
        projected=count * side * side,
        tokens=tokens,
    )
