"""Samples as rows of a batch, several to a row or one; the same for all families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from kpray.training.types import IGNORED, Encoded

if TYPE_CHECKING:
    import torch

UNSEEN: Final = "unseen_"
"""Before the names of a blank image's inputs, which a sample without an image brings along."""

_Ints = npt.NDArray[np.int64]


def collate(rows: Sequence[Sequence[Encoded]], *, pad_id: int, multiple_of: int = 1) -> dict[str, torch.Tensor]:
    """The model's keyword arguments for some rows, padded to the longest, or to the next multiple of some tokens.

    Samples that share a row do not see each other: positions start again with each, which is how transformers
    tells them apart where no ``attention_mask`` is given, and the first label of each is `IGNORED`. Each token of
    padding has position 0, so it is a sample of its own that nobody sees. Where no sample has an image, a blank one is
    added, as all workers of a model that is spread over them must compute with the same weights. Pass
    `FORWARD_ARGUMENTS` too.

    Returns:
        ``input_ids`` and ``labels`` (B, L), ``position_ids`` (B, L), or (4, B, L) where an image has rows and
        columns in them, and the images' inputs in the order of the samples.
    """
    rows = _with_an_image(rows)
    width = -(-max(map(_tokens, rows)) // multiple_of) * multiple_of
    return {
        "input_ids": _rows([[sample.input_ids for sample in row] for row in rows], width, fill=pad_id),
        "labels": _rows([[_labels(sample) for sample in row] for row in rows], width, fill=IGNORED),
        "position_ids": _positions(rows, width),
        **_image_inputs([sample for row in rows for sample in row]),
    }


def _with_an_image(rows: Sequence[Sequence[Encoded]]) -> Sequence[Sequence[Encoded]]:
    """Where no sample has an image, add a blank one as a sample without loss: to the shortest row, or as a row.

    Weights that are spread over workers (ZeRO-3) are gathered by all of them at once: one that skips the vision tower
    because its samples have no image would leave the others waiting for ever.
    """
    samples = [sample for row in rows for sample in row]
    if not all(f"{UNSEEN}input_ids" in sample.extra for sample in samples):
        return rows
    brought = samples[0].extra.items()
    inputs = {key.removeprefix(UNSEEN): value for key, value in brought if key.startswith(UNSEEN)}
    ids = inputs.pop("input_ids")
    unseen = Encoded(ids, np.full_like(ids, IGNORED), inputs)
    lengths = [_tokens(row) for row in rows]
    shortest, longest = lengths.index(min(lengths)), max(lengths)
    if (len(rows) + 1) * max(longest, len(ids)) < len(rows) * max(longest, lengths[shortest] + len(ids)):
        return [*rows, [unseen]]
    return [[*row, unseen] if number == shortest else row for number, row in enumerate(rows)]


def _tokens(row: Sequence[Encoded]) -> int:
    return sum(len(sample.input_ids) for sample in row)


def _labels(sample: Encoded) -> _Ints:
    # Whatever stands before a sample in its row must not be asked to foretell its first token.
    return np.concatenate([[IGNORED], sample.labels[1:]])


def _rows(rows: Sequence[Sequence[_Ints]], width: int, *, fill: int) -> torch.Tensor:
    import torch

    filled = np.full((len(rows), width), fill, dtype=np.int64)
    for target, row in zip(filled, rows, strict=True):
        joined = np.concatenate(row)
        target[: len(joined)] = joined
    return torch.from_numpy(filled)


def _positions(rows: Sequence[Sequence[Encoded]], width: int) -> torch.Tensor:
    import torch

    joined = torch.from_numpy(np.stack([_row_positions(row, width) for row in rows], axis=1))
    return joined if any("position_ids" in sample.extra for row in rows for sample in row) else joined[0]


def _row_positions(row: Sequence[Encoded], width: int) -> _Ints:
    """(4, width): the place in the sample, then time, row and column of mRoPE; 0 in padding."""
    samples = [(np.arange(len(sample.input_ids)), sample.extra.get("position_ids")) for sample in row]
    padding = np.zeros((4, width - sum(len(order) for order, _ in samples)), dtype=np.int64)
    blocks = [np.vstack([order, order[None].repeat(3, 0) if grid is None else grid]) for order, grid in samples]
    return np.concatenate([*blocks, padding], axis=1)


def _image_inputs(samples: Sequence[Encoded]) -> dict[str, torch.Tensor]:
    import torch

    names = (key for sample in samples for key in sample.extra)
    keys = dict.fromkeys(key for key in names if key != "position_ids" and not key.startswith(UNSEEN))
    return {
        key: torch.from_numpy(np.concatenate([sample.extra[key] for sample in samples if key in sample.extra]))
        for key in keys
    }


def one_row(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same batch as one long row without padding, for attention kernels that tell samples apart only in one row.

    Flash attention looks at the positions of a single row; given several, it lets the samples of a row see each
    other without a word. Its cost is linear in the row, so a long one is no loss.
    """
    flat = {key: batch[key].flatten(-2) for key in ("input_ids", "labels", "position_ids")}
    kept = ~_is_padding(flat["position_ids"])
    return {**batch, **{key: tokens[..., kept].unsqueeze(-2) for key, tokens in flat.items()}}


def _is_padding(positions: torch.Tensor) -> torch.Tensor:
    """(L,): a token at place 0 that no token at place 1 follows; samples have two tokens or more."""
    import torch

    places = positions if positions.ndim == 1 else positions[0]
    followed = torch.roll(places, -1) == 1
    return (places == 0) & ~followed
