"""Drawn pictures for the recipe, as the model's eyes get them: small arrays, painted once and kept."""

from __future__ import annotations

import itertools
import multiprocessing
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from kpray.coco.synthetic import as_scene, render, synthesize
from kpray.coco.synthetic.layout import lay_out
from kpray.coco.synthetic.shapes import Shape
from kpray.coco.synthetic.types import Drawing, SyntheticScene
from kpray.schemas import Scene
from kpray.training.tiny.model import IMAGE_PX

MEAN_RGB: Final = (123, 117, 104)
"""CLIP's mean colour in whole steps, around pictures that are not square, as LLaVA's processor has it."""

_PROCESSES: Final = 2
_T = TypeVar("_T")


class Drawn(NamedTuple):
    """Pictures with what the recipe is taught about them.

    Attributes:
        images: (N, 112, 112, 3) uint8, padded to squares.
        keypoints: (N, 17, 3) of the only person: x, y in fractions of the padded square, v.
        captions: (N, 5) sentences.
    """

    images: npt.NDArray[np.uint8]
    keypoints: npt.NDArray[np.float32]
    captions: npt.NDArray[np.str_]

    def part(self, which: slice) -> Drawn:
        """Some of them."""
        return Drawn(self.images[which], self.keypoints[which], self.captions[which])


def lone_scenes(seed: int) -> Iterator[int]:
    """Indices of the scenes of a series that show one person, found before anything is painted."""
    return (i for i in itertools.count() if len(lay_out(i, random.Random(f"{seed}:{i}")).actors) == 1)


def draw(*, count: int, seed: int, folder: Path) -> Drawn:
    """Paint the first scenes of a series with one person in them, or take them from the folder.

    Args:
        count: How many.
        seed: Of the series.
        folder: What was painted is kept here.
    """
    kept = folder / f"drawn-{seed}-{count}.npz"
    if kept.exists():
        with np.load(kept) as arrays:
            return Drawn(arrays["images"], arrays["keypoints"], arrays["captions"])
    images, keypoints, captions = zip(*_in_processes(_draw_one, count, seed), strict=True)
    drawn = Drawn(np.stack(images), np.stack(keypoints), np.array(captions))
    folder.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part.npz")
    np.savez(part, **drawn._asdict())
    part.replace(kept)
    return drawn


def _draw_one(which: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], tuple[str, ...]]:
    image, scene = _scene_of(which)
    return image, squared_keypoints(scene), scene.captions


def _scene_of(which: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], Scene]:
    seed, index = which
    synthetic = synthesize(index, seed)
    return shrink(render(smaller(synthetic))), as_scene(synthetic)


def draw_scenes(*, count: int, seed: int) -> tuple[npt.NDArray[np.uint8], list[Scene]]:
    """Pictures of the first scenes of a series with one person in them, and the scenes themselves."""
    images, scenes = zip(*_in_processes(_scene_of, count, seed), strict=True)
    return np.stack(images), list(scenes)


def _in_processes(draw_one: Callable[[tuple[int, int]], _T], count: int, seed: int) -> list[_T]:
    work = [(seed, index) for index in itertools.islice(lone_scenes(seed), count)]
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        return pool.map(draw_one, work, chunksize=32)


def smaller(scene: SyntheticScene) -> SyntheticScene:
    """The same drawing on a canvas of twice the size that is needed: a fraction of the pixels to paint."""
    k = 2 * IMAGE_PX / max(scene.width, scene.height)
    backdrop = replace(scene.drawing.backdrop, shapes=_scaled(scene.drawing.backdrop.shapes, k))
    shadows = tuple((x * k, y * k, rx * k, ry * k) for x, y, rx, ry in scene.drawing.shadows)
    drawing = Drawing(backdrop, shadows, _scaled(scene.drawing.shapes, k))
    return replace(scene, width=round(scene.width * k), height=round(scene.height * k), drawing=drawing)


def _scaled(shapes: tuple[Shape, ...], k: float) -> tuple[Shape, ...]:
    return tuple(shape._replace(polygon=tuple((x * k, y * k) for x, y in shape.polygon)) for shape in shapes)


def shrink(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """A picture as the processor makes it before colours are normalized."""
    side = max(picture.size)
    square = Image.new("RGB", (side, side), MEAN_RGB)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return np.array(square.resize((IMAGE_PX, IMAGE_PX), Image.Resampling.BICUBIC))


def squared_keypoints(scene: Scene) -> npt.NDArray[np.float32]:
    """(17, 3) keypoints of the largest person: x, y in fractions of the padded square, v."""
    largest = max(range(len(scene.people)), key=lambda i: scene.people[i].area_px)
    keypoints = scene.keypoints_px()[largest]
    side = max(scene.width, scene.height)
    keypoints[:, 0] += (side - scene.width) // 2
    keypoints[:, 1] += (side - scene.height) // 2
    keypoints[:, :2] /= side
    squared: npt.NDArray[np.float32] = keypoints.astype(np.float32)
    return squared
