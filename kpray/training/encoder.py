"""A record as the model takes it: its image opened, its family's encoding, and what both follow from."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from PIL import Image

from kpray import storage
from kpray.errors import StorageError
from kpray.lineage import fingerprint_file, fingerprint_value
from kpray.training.config import DataConfig
from kpray.training.records import image_folder
from kpray.training.types import IGNORED, CannotTrain, Encoded, Family, Record

if TYPE_CHECKING:
    import torch

ENCODING_VERSION: Final = 1
"""To be raised whenever kpray makes other tokens or labels of the same record, so that nothing stale is used."""

_MULTIPLE_OF: Final = 8
"""Rows are padded to a multiple of so many tokens: tensor cores want it, and kernels are made for fewer shapes."""


class Encoder(msgspec.Struct, frozen=True, eq=False):
    """Makes of records what the model takes; it can be sent to other processes.

    Attributes:
        family: Of the model.
        processor: Of the model, as transformers loads it.
        images: Folder that image paths are relative to; None where no record has an image.
    """

    family: Family
    processor: Any
    images: str | None

    def encode(self, record: Record) -> Encoded:
        """One record as tokens, labels and whatever else the family takes.

        Raises:
            CannotTrain: There is nothing to learn from it; its image is missing or cannot be read.
        """
        image = None if record.image is None else open_image(record.image, self.images)
        try:
            return self.family.encode(self.processor, record.turns, image)
        except ValueError as error:  # what processors raise for one odd text or image, such as one of a single pixel
            reason = "malformed" if image is None else "image_unreadable"
            raise CannotTrain(reason, f"the model's processor refuses it: {error}") from error

    def collate(self, rows: Sequence[Sequence[Encoded]]) -> dict[str, torch.Tensor]:
        """The model's keyword arguments for some rows (see `Family.collate`)."""
        tokenizer = getattr(self.processor, "tokenizer", self.processor)
        candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        pad_id = next(token for token in candidates if token is not None)
        return self.family.collate(rows, pad_id=pad_id, multiple_of=_MULTIPLE_OF)

    def fingerprint(self) -> str:
        """Hash of what decides tokens and labels besides the records (16 hex digits)."""
        with tempfile.TemporaryDirectory() as folder:
            self.family.adapted(self.processor).save_pretrained(folder)
            files = [
                (path.relative_to(folder).as_posix(), fingerprint_file(str(path)))
                for path in sorted(Path(folder).rglob("*"))
                if path.is_file()
            ]
        return fingerprint_value([ENCODING_VERSION, self.family.name, files])


def load_encoder(model: str, data: DataConfig) -> Encoder:
    """The encoder of a model and a dataset.

    Args:
        model: A folder or a hub's name.
        data: Says where images are.

    Raises:
        ConfigError: The model cannot be loaded, or no family knows it.
    """
    from kpray.training.families import family_of, load_processor
    from kpray.training.model import read_model_config

    family = family_of(read_model_config(model).model_type)
    return Encoder(family, load_processor(model), image_folder(data))


def open_image(path: str, folder: str | None) -> Image.Image:
    """An image, decoded.

    Args:
        path: Relative to `folder`.
        folder: A local path or URI.

    Raises:
        CannotTrain: It is missing, or cannot be read.
    """
    if folder is None:
        raise CannotTrain("image_missing", f"{path}: nothing says where images are; set `data.images`")
    place = storage.join(folder, path)
    try:
        image = Image.open(io.BytesIO(storage.read_bytes(place)))
        image.load()
    except StorageError as error:
        reason = "image_unreadable" if storage.exists(place) else "image_missing"
        raise CannotTrain(reason, str(error)) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # all that PIL raises
        raise CannotTrain("image_unreadable", f"{place} is no image that can be read: {error}") from error
    return image


def count_supervised(encoded: Encoded) -> int:
    """Tokens that carry loss; the first of a sample never does, as nothing before it foretells it."""
    return int(np.count_nonzero(encoded.labels[1:] != IGNORED))
