"""The types at the boundaries of training: a record as read, as encoded, as planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from kpray.schemas import Turn

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from kpray.training.config import PartName

IGNORED = -100
"""The label of a token that carries no loss (torch's cross entropy passes over it)."""


class Record(msgspec.Struct, frozen=True):
    """One sample of a dataset in LLaVA's form.

    Attributes:
        record_id: Unique in the dataset.
        image: Path relative to the folder of images; None for text alone.
        turns: human and gpt in turn; the first holds ``<image>`` where there is an image.
    """

    record_id: str
    image: str | None
    turns: tuple[Turn, ...]


class Prepared(msgspec.Struct, frozen=True):
    """A record that can be trained on, as the plan of steps sees it.

    Attributes:
        number: Its place among all prepared records, from 0.
        record_id: Of the record.
        tokens: Length of its sequence, image tokens included.
        supervised: How many of them carry loss.
    """

    number: int
    record_id: str
    tokens: int
    supervised: int


class Skipped(msgspec.Struct, frozen=True):
    """A record that cannot be trained on.

    Attributes:
        record_id: Of the record; its place in the file where it has no id.
        reason: ``too_long``, ``no_supervised_token``, ``image_missing``, ``image_unreadable``, ``malformed``.
        detail: One sentence for a person.
    """

    record_id: str
    reason: str
    detail: str


class CannotTrain(Exception):  # noqa: N818 - it skips one record; nothing went wrong in kpray
    """Raised for one record that cannot be trained on; becomes a `Skipped`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[CannotTrain], tuple[str, str]]:
        return type(self), (self.reason, self.detail)


class Encoded(NamedTuple):
    """One sample as the model takes it.

    Attributes:
        input_ids: (L,) int64, image placeholders expanded to as many as the image has tokens.
        labels: (L,) int64; `IGNORED` wherever there is no loss. Not shifted: position i is the token at i.
        extra: Further inputs of the family, such as ``pixel_values``; float images as float32.
    """

    input_ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    extra: Mapping[str, npt.NDArray[Any]]


Row = tuple[int, ...]
"""Numbers of the prepared records that share one sequence; one of them unless samples are packed."""

MicroBatch = tuple[Row, ...]
"""What one forward pass of one worker sees."""


class Family(Protocol):
    """What differs between kinds of vision-language models; everything else is one generic path."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def model_types(self) -> tuple[str, ...]:
        """``config.model_type`` of the models that belong to it."""

    def adapted(self, processor: Any) -> Any:
        """The processor as this family trains with it; it is saved beside the tuned weights."""

    def encode(self, processor: Any, turns: Sequence[Turn], image: Image | None) -> Encoded:
        """One sample as tokens, with loss on what the assistant says and on what ends it, and on nothing else.

        Raises:
            CannotTrain: There is nothing to learn from it.
        """

    def collate(
        self, rows: Sequence[Sequence[Encoded]], *, pad_id: int, multiple_of: int = 1
    ) -> dict[str, torch.Tensor]:
        """The model's keyword arguments for some rows, padded to the longest, or to the next multiple of some tokens.

        Samples that share a row do not see each other: positions start again with each, the first label of each is
        `IGNORED`, and attention is block-diagonal.
        """

    def part_of(self, parameter: str) -> PartName:
        """Which part a parameter belongs to, by its dotted name."""
