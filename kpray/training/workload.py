"""What a run has to get through: how many samples, how long, with which pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from kpray import storage
from kpray.errors import ConfigError, InputError
from kpray.training.config import DataConfig
from kpray.training.loads import ImageLoad, Load, image_load
from kpray.training.records import read_records
from kpray.training.types import Record

PICTURE_HEIGHT, PICTURE_WIDTH = 480, 640
"""In pixels: the most frequent size in COCO; it counts for models that take pictures as large as they are."""

_TOKENS_PER_CHARACTER = 0.27
_TOKENS_AROUND = 45
"""Of English prose with Llama's tokenizer, and of LLaVA's system sentence with the roles; both roughly."""


class Workload(msgspec.Struct, frozen=True):
    """A dataset as far as time and memory go.

    Attributes:
        samples: How many.
        tokens: Of all of them, image tokens included.
        pairs: Sum of their lengths squared.
        longest: Longest sample, in tokens.
        pictures: How many pictures they have.
        picture: What a typical picture is to the model.
        source: Where the figures are from, for a person.
    """

    samples: int
    tokens: int
    pairs: int
    longest: int
    pictures: int
    picture: ImageLoad
    source: str

    @property
    def load(self) -> Load:
        """All samples once."""
        return Load(self.tokens, self.pairs, self.picture * self.pictures)


def workload_of(lengths: Iterable[int], *, pictures: int, picture: ImageLoad, source: str) -> Workload:
    """A dataset from the lengths of its samples, in tokens.

    Raises:
        InputError: There are none.
    """
    array = np.fromiter(lengths, dtype=np.int64)
    if not len(array):
        raise InputError(f"{source}: no samples, so there is nothing to plan")
    return Workload(
        len(array), int(array.sum()), int((array**2).sum()), int(array.max()), pictures, picture, source=source
    )


def typical_picture(config: Any) -> ImageLoad:
    """What a picture of COCO's most frequent size is to a model."""
    return image_load(config, height=PICTURE_HEIGHT, width=PICTURE_WIDTH)


def given_workload(config: Any, *, samples: int, tokens_per_sample: int, max_length: int) -> Workload:
    """A dataset of which only two numbers are known; each sample has a picture.

    Raises:
        ConfigError: A sample would be longer than the longest sequence, or shorter than its picture.
    """
    picture = typical_picture(config)
    if not picture.tokens < tokens_per_sample <= max_length:
        raise ConfigError(
            f"`--tokens-per-sample` counts image tokens ({picture.tokens} of this model) and is at most "
            f"`data.max_length` ({max_length}); found {tokens_per_sample}"
        )
    tokens = samples * tokens_per_sample
    return Workload(samples, tokens, tokens * tokens_per_sample, max_length, samples, picture, source="as given")


def read_workload(config: Any, data: DataConfig) -> Workload:
    """A dataset's lengths: counted where a run has prepared it, else from how many characters it has.

    Raises:
        InputError: There is no dataset, or it is empty.
    """
    if storage.exists(storage.join(data.path, "prepared", "prepared.json")):
        return _prepared(config, data.path)
    picture = typical_picture(config)
    records = [record for record in read_records(data) if isinstance(record, Record)]
    lengths = [_rough_tokens(record, picture) for record in records]
    pictures = sum(record.image is not None for record in records)
    source = f"{data.path}, lengths estimated from characters"
    return workload_of((n for n in lengths if n <= data.max_length), pictures=pictures, picture=picture, source=source)


def _prepared(config: Any, run: str) -> Workload:
    from kpray.training.prepared import PreparedData

    manifest = storage.read_bytes(storage.join(run, "prepared", "prepared.json"))
    prepared = msgspec.structs.replace(msgspec.json.decode(manifest, type=PreparedData), out=run)
    tokens, _ = prepared.lengths()
    return workload_of(
        tokens.tolist(), pictures=len(tokens), picture=typical_picture(config), source=f"{run}, as it was prepared"
    )


def _rough_tokens(record: Record, picture: ImageLoad) -> int:
    characters = sum(len(turn.value) for turn in record.turns)
    return _TOKENS_AROUND + round(_TOKENS_PER_CHARACTER * characters) + (picture.tokens if record.image else 0)
