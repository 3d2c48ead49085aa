"""From a dataset to what the plan of steps needs: every record encoded once, its tokens counted, or skipped.

The dataset is cut into parts of some hundred records. A part is a row of a Ray Dataset, so its files depend on it
alone: what a killed run has finished stays, and the next start does the rest. Below the run's folder::

    prepared/identity.json       what decides all of it (see `PreparedData.fingerprint`)
    prepared/cut/part-*.msgpack  records as read; deleted at the end
    prepared/part-*.parquet      record_id, tokens, supervised, pictured, record (JSON)
    skipped/part-*.parquet       `Skipped`, where a part has any
    prepared/index.parquet       `Prepared` of all parts in order; the place is the number
    prepared/prepared.json       `PreparedData`; written last
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray

from kpray import storage
from kpray.errors import ConfigError, KprayError
from kpray.lineage import fingerprint_value
from kpray.training.config import DataConfig, TrainConfig
from kpray.training.encoder import Encoder, count_supervised, load_encoder
from kpray.training.prepared import (
    PreparedData,
    cut_path,
    index_path,
    manifest_path,
    part_path,
    read_table,
    skipped_path,
    write_table,
)
from kpray.training.records import fingerprint_dataset, read_records
from kpray.training.types import CannotTrain, Record, Skipped

PART_RECORDS: Final = 512
"""Two seconds' work for a CPU, and some 700 kB."""

_PART_SCHEMA: Final = pa.schema(
    [
        ("record_id", pa.string()),
        ("tokens", pa.int32()),
        ("supervised", pa.int32()),
        ("pictured", pa.bool_()),
        ("record", pa.binary()),
    ]
)
_SKIPPED_SCHEMA: Final = pa.schema([("record_id", pa.string()), ("reason", pa.string()), ("detail", pa.string())])
_INDEX_SCHEMA: Final = pa.schema(
    [("number", pa.int32()), ("record_id", pa.string()), ("tokens", pa.int32()), ("supervised", pa.int32())]
)
_EXAMPLES: Final = 3


def prepare(
    config: TrainConfig,
    *,
    encoder: Encoder | None = None,
    begun_with: str | None = None,
    on_part: Callable[[int, int], None] = lambda done, parts: None,
) -> PreparedData:
    """Encode every record once, on all CPUs of the Ray cluster; what is there already is found again.

    Args:
        config: Of the run.
        encoder: None loads the one of the configuration's model.
        begun_with: Fingerprint of the data that the run in the folder has begun with; None is a new run.
        on_part: Hears how many parts are done, and of how many.

    Raises:
        ConfigError: More records have to be skipped than `DataConfig.max_skipped` allows, or all of them; or the run
            has begun with other data, which stays as it is.
        InputError: The dataset cannot be used.
        StorageError: A file cannot be read or written.
    """
    encoder = encoder or load_encoder(config.model.name, config.data)
    fingerprint = _fingerprint(config.data, encoder)
    if begun_with not in (None, fingerprint):
        raise ConfigError(
            f"{config.data.path}, or the processor of {config.model.name}, has changed since the run in {config.out} "
            "began. Choose another --out to train on the new data, or put the old back to go on"
        )
    data = _found(config.out, fingerprint) or _prepare(config, encoder, fingerprint, on_part)
    _check_skipped(data, config.data)
    return data


def _fingerprint(data: DataConfig, encoder: Encoder) -> str:
    return fingerprint_value([fingerprint_dataset(data), encoder.images, encoder.fingerprint(), data.max_length])


def _found(out: str, fingerprint: str) -> PreparedData | None:
    path = manifest_path(out)
    if not storage.exists(path):
        return None
    data = msgspec.json.decode(storage.read_bytes(path), type=PreparedData)
    # The folder may have been moved, or be seen under another name from here.
    return msgspec.structs.replace(data, out=out) if data.fingerprint == fingerprint else None


def _prepare(
    config: TrainConfig, encoder: Encoder, fingerprint: str, on_part: Callable[[int, int], None]
) -> PreparedData:
    out = config.out
    _clear_others(out, fingerprint)
    parts = _cut(config.data, out)
    pending = [part for part in range(parts) if not storage.exists(part_path(out, part))]
    for done, _ in enumerate(_encode_parts(pending, out, encoder, config.data.max_length), start=parts - len(pending)):
        on_part(done + 1, parts)
    data = _write_index(out, parts, fingerprint)
    storage.write_bytes(manifest_path(out), msgspec.json.format(msgspec.json.encode(data)) + b"\n")
    storage.delete(storage.join(out, "prepared", "cut"))
    return data


def _clear_others(out: str, fingerprint: str) -> None:
    """Delete what was made of another dataset, for another model or in another way."""
    path = storage.join(out, "prepared", "identity.json")
    identity = msgspec.json.encode({"fingerprint": fingerprint})
    if storage.exists(path) and storage.read_bytes(path) == identity:
        return
    for folder in ("prepared", "skipped"):
        storage.delete(storage.join(out, folder))
    storage.write_bytes(path, identity)


class _CutPart(msgspec.Struct, frozen=True):
    """Neighbouring records of the dataset."""

    records: list[Record]
    skipped: list[Skipped]


def _cut(data: DataConfig, out: str) -> int:
    """Write the dataset's parts, holding one in memory; returns how many there are."""
    done = storage.join(out, "prepared", "cut", "done.json")
    if storage.exists(done):
        return msgspec.json.decode(storage.read_bytes(done), type=int)
    parts = 0
    for part in _parts(read_records(data)):
        with storage.open_atomic(cut_path(out, parts), durable=False) as stream:
            stream.write(msgspec.msgpack.encode(part))
        parts += 1
    storage.write_bytes(done, msgspec.json.encode(parts))
    return parts


def _parts(found: Iterable[Record | Skipped]) -> Iterator[_CutPart]:
    part = _CutPart([], [])
    for one in found:
        if len(part.records) + len(part.skipped) == PART_RECORDS:
            yield part
            part = _CutPart([], [])
        if isinstance(one, Record):
            part.records.append(one)
        else:
            part.skipped.append(one)
    yield part


def _encode_parts(pending: Sequence[int], out: str, encoder: Encoder, max_length: int) -> Iterator[int]:
    """Encode parts on the cluster; yields each when its files are there."""
    if not pending:
        return
    settings = {"out": out, "encoder": ray.put(encoder), "max_length": max_length}
    rows = ray.data.from_items([{"part": part} for part in pending], override_num_blocks=len(pending))
    for row in rows.map_batches(_encode_batch, fn_kwargs=settings, batch_size=1).iter_rows():
        if row["error"]:
            raise ConfigError(row["error"])
        yield row["part"]


def _encode_batch(batch: Mapping[str, Any], *, out: str, encoder: Any, max_length: int) -> dict[str, Any]:
    error = ""
    try:
        for part in batch["part"].tolist():
            _encode_part(part, out, _received(encoder), max_length)
    except KprayError as stopped:  # raised here, it would come out wrapped
        error = str(stopped)
    return {"part": batch["part"], "error": np.array([error])}


@functools.lru_cache(maxsize=1)
def _received(encoder: Any) -> Encoder:
    """Unpacked once in a process: a large tokenizer takes as long as some hundred records."""
    received: Encoder = ray.get(encoder)
    return received


def _encode_part(part: int, out: str, encoder: Encoder, max_length: int) -> None:
    cut = msgspec.msgpack.decode(storage.read_bytes(cut_path(out, part)), type=_CutPart)
    rows, skipped = [], list(cut.skipped)
    for record in cut.records:
        try:
            rows.append(measure(record, encoder, max_length))
        except CannotTrain as error:
            skipped.append(Skipped(record.record_id, error.reason, error.detail))
    if skipped:
        write_table(skipped_path(out, part), map(msgspec.to_builtins, skipped), _SKIPPED_SCHEMA)
    write_table(part_path(out, part), rows, _PART_SCHEMA)


def measure(record: Record, encoder: Encoder, max_length: int) -> dict[str, Any]:
    """A record's row of a part.

    Raises:
        CannotTrain: It is too long, nothing in it is supervised, or `Encoder.encode` says so.
    """
    encoded = encoder.encode(record)
    tokens, supervised = len(encoded.input_ids), count_supervised(encoded)
    if tokens > max_length:
        raise CannotTrain("too_long", f"{tokens:,} tokens, more than `data.max_length` {max_length:,}")
    if not supervised:
        raise CannotTrain("no_supervised_token", f"none of its {tokens:,} tokens carries loss")
    row = {"record_id": record.record_id, "tokens": tokens, "supervised": supervised}
    return row | {"pictured": record.image is not None, "record": msgspec.json.encode(record)}


def _write_index(out: str, parts: int, fingerprint: str) -> PreparedData:
    sizes, tokens, supervised, filler = list[int](), 0, 0, None
    with storage.open_atomic(index_path(out)) as stream, pq.ParquetWriter(stream, _INDEX_SCHEMA) as writer:
        for part in range(parts):
            table = read_table(part_path(out, part), columns=["record_id", "tokens", "supervised", "pictured"])
            numbers = np.arange(sum(sizes), sum(sizes) + len(table), dtype=np.int32)
            writer.write_table(table.drop_columns("pictured").add_column(0, "number", pa.array(numbers)))
            if filler is None and len(pictured := numbers[table["pictured"].to_numpy()]):
                filler = int(pictured[0])
            sizes.append(len(table))
            tokens += int(table["tokens"].to_numpy().sum())
            supervised += int(table["supervised"].to_numpy().sum())
    reasons, examples = _skips(out)
    return PreparedData(out, fingerprint, tuple(sizes), dict(reasons), tuple(examples), tokens, supervised, filler or 0)


def _skips(out: str) -> tuple[Counter[str], list[Skipped]]:
    """How many records were skipped by reason, and examples of as many reasons as possible."""
    reasons, kept = Counter[str](), list[tuple[int, Skipped]]()
    folder = storage.join(out, "skipped")
    for name in storage.list_files(folder):
        for row in read_table(storage.join(folder, name)).to_pylist():
            if reasons[row["reason"]] < _EXAMPLES:
                kept.append((reasons[row["reason"]], Skipped(**row)))
            reasons[row["reason"]] += 1
    kept.sort(key=lambda nth_and_example: nth_and_example[0])
    return reasons, [example for _, example in kept[:_EXAMPLES]]


def _check_skipped(data: PreparedData, config: DataConfig) -> None:
    skipped = sum(data.skipped.values())
    share = skipped / (skipped + data.records)
    if data.records and share <= config.max_skipped:
        return
    counts = ", ".join(f"{reason} {count:,}" for reason, count in sorted(data.skipped.items()))
    examples = "".join(f"\n  {one.record_id}: {one.reason}: {one.detail}" for one in data.examples)
    raise ConfigError(
        f"{skipped:,} of {skipped + data.records:,} records cannot be trained on ({counts}), {share:.1%}, more than "
        f"`data.max_skipped` {config.max_skipped:.1%}. For example:{examples}\n"
        f"All are in {storage.join(data.out, 'skipped')}. Correct the data (`data.images` for missing images, "
        "`data.max_length` for long records), or raise `data.max_skipped` to train without them"
    )
