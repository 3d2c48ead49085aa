"""A family and a processor without weights, downloads or transformers: a token a word, and some for an image."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from ray import cloudpickle

from kpray.errors import ConfigError
from kpray.schemas import Turn
from kpray.training.config import PartName
from kpray.training.encoder import Encoder
from kpray.training.types import IGNORED, CannotTrain, Encoded

IMAGE_TOKEN = 1
PATCH_PX = 16


class ToyTokenizer:
    pad_token_id = None
    eos_token_id = 2


class ToyProcessor:
    """As transformers' are, as far as kpray asks; kills its process once where the file `fatal` is."""

    def __init__(self, wording: str = "USER: ASSISTANT:", fatal: Path | None = None) -> None:
        self.wording = wording
        self.fatal = fatal
        self.tokenizer = ToyTokenizer()

    def save_pretrained(self, folder: str) -> None:
        (Path(folder) / "processor.json").write_text(json.dumps({"wording": self.wording}))


class ToyFamily:
    """A token a word, supervised in what gpt says; an image of w x h px has w/16 * h/16 tokens."""

    name = "toy"
    model_types = ("toy",)

    def adapted(self, processor: ToyProcessor) -> ToyProcessor:
        return processor

    def encode(self, processor: ToyProcessor, turns: Sequence[Turn], image: Image | None) -> Encoded:
        if processor.fatal and processor.fatal.exists():
            processor.fatal.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if not processor.wording:
            raise ConfigError("toy needs a chat template")
        ids, labels, extra = [0], [IGNORED], {}
        if image is not None:
            if 1 in image.size:
                raise ValueError("ambiguous shape")
            pixels = np.asarray(image.convert("RGB"), dtype=np.float32).transpose(2, 0, 1)[None] / 255
            patches = (image.width // PATCH_PX) * (image.height // PATCH_PX)
            ids, labels = ids + [IMAGE_TOKEN] * patches, labels + [IGNORED] * patches
            extra = {"pixel_means": pixels.mean(axis=(2, 3))}
        for turn in turns:
            if turn.value == "Explode.":
                raise CannotTrain("malformed", "it exploded")
            words = [len(word) + 10 for word in turn.value.split()]
            ids += words
            labels += words if turn.role == "gpt" else [IGNORED] * len(words)
        return Encoded(np.array(ids), np.array(labels), extra)

    def collate(
        self, rows: Sequence[Sequence[Encoded]], *, pad_id: int, multiple_of: int = 1
    ) -> dict[str, torch.Tensor]:
        longest = max(sum(len(one.input_ids) for one in row) for row in rows)
        width = -(-longest // multiple_of) * multiple_of
        batch = {"input_ids": torch.full((len(rows), width), pad_id), "labels": torch.full((len(rows), width), IGNORED)}
        for i, row in enumerate(rows):
            ids, labels = (np.concatenate([getattr(one, key) for one in row]) for key in batch)
            batch["input_ids"][i, : len(ids)], batch["labels"][i, : len(ids)] = map(torch.from_numpy, (ids, labels))
        images = [one.extra["pixel_means"] for row in rows for one in row if one.extra]
        return batch | ({"pixel_means": torch.from_numpy(np.concatenate(images))} if images else {})

    def part_of(self, parameter: str) -> PartName:
        return "language"


# Ray's workers cannot import the modules of tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def toy_encoder(images: Path | str | None, **settings: Any) -> Encoder:
    return Encoder(ToyFamily(), ToyProcessor(**settings), None if images is None else str(images))
