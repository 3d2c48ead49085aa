"""A prepared dataset on disk: where its files are, and its records by number. See `kpray.training.prepare`."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from kpray import storage
from kpray.training.types import Record, Skipped

CACHED_PARTS: Final = 256
"""Parts that `RecordStore` keeps: some 130,000 records, or 200 MB. With more, nearly every record costs a read."""


class PreparedData(msgspec.Struct, frozen=True):
    """A prepared dataset.

    Attributes:
        out: The run's folder.
        fingerprint: Of the records by content, the image folder's name, the model's processor, the longest sequence and
            the way kpray encodes. Images are not hashed: they must not change under a run.
        part_sizes: Prepared records of each part.
        skipped: Records that cannot be trained on, by reason.
        examples: Some of them.
        tokens: Of all prepared records.
        supervised: How many of these carry loss.
        filler: Number of the first record with an image, or of the first if none has one; for rows that teach nothing.
    """

    out: str
    fingerprint: str
    part_sizes: tuple[int, ...]
    skipped: dict[str, int]
    examples: tuple[Skipped, ...]
    tokens: int
    supervised: int
    filler: int = 0

    @property
    def records(self) -> int:
        """How many can be trained on."""
        return sum(self.part_sizes)

    def lengths(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Tokens, and those that carry loss, of each record by its number; two (N,) arrays."""
        table = read_table(index_path(self.out), columns=["tokens", "supervised"])
        return table["tokens"].to_numpy(), table["supervised"].to_numpy()

    def read_part(self, part: int) -> pa.Table:
        """A part's records: columns record_id, tokens, supervised, pictured, record (JSON of `Record`)."""
        return read_table(part_path(self.out, part))


class RecordStore:
    """Records by number; keeps the parts that it read last."""

    def __init__(self, data: PreparedData) -> None:
        self._starts = np.concatenate([[0], np.cumsum(data.part_sizes)])
        self._part = functools.lru_cache(maxsize=CACHED_PARTS)(data.read_part)

    def __getitem__(self, number: int) -> tuple[Record, int]:
        """A record, and how many tokens it had when it was prepared."""
        part = int(np.searchsorted(self._starts, number, side="right")) - 1
        row = self._part(part).slice(number - int(self._starts[part]), 1).to_pylist()[0]
        return msgspec.json.decode(row["record"], type=Record), row["tokens"]


def part_path(out: str, part: int) -> str:
    """A part's records that can be trained on."""
    return storage.join(out, "prepared", f"part-{part:06}.parquet")


def cut_path(out: str, part: int) -> str:
    """A part's records as read."""
    return storage.join(out, "prepared", "cut", f"part-{part:06}.msgpack")


def skipped_path(out: str, part: int) -> str:
    """Those that cannot be trained on; there if there are any."""
    return storage.join(out, "skipped", f"part-{part:06}.parquet")


def index_path(out: str) -> str:
    """Lengths of all records."""
    return storage.join(out, "prepared", "index.parquet")


def manifest_path(out: str) -> str:
    """Written last."""
    return storage.join(out, "prepared", "prepared.json")


def read_table(path: str, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file, on whatever storage."""
    return pq.read_table(io.BytesIO(storage.read_bytes(path)), columns=columns)


def write_table(path: str, rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Write a Parquet file that appears when it is complete."""
    with storage.open_atomic(path) as stream:
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), stream)
