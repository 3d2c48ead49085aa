"""The replies of a ledger as one file, each request's once."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import IO, Final, cast

import msgspec

from kpray import storage
from kpray.errors import ConfigError
from kpray.ledger.entries import Booked
from kpray.ledger.lines import SCHEMA_VERSION, Line
from kpray.ledger.packed import PACKED_SCHEMA, ROWS_PER_GROUP, lines_to_table, parquet_writer
from kpray.ledger.sweep import OnFolder, ignore_progress, sweep

_SCHEMA: Final = PACKED_SCHEMA.remove(PACKED_SCHEMA.get_field_index("entry"))


def export(ledger: str, out: str, on_folder: OnFolder = ignore_progress) -> int:
    """Write the reply that counts of every request into one file, which appears when it is complete.

    Args:
        ledger: The ledger's folder.
        out: ``.parquet`` (columns of `kpray.ledger.packed`, without ``entry``), ``.jsonl`` or ``.jsonl.gz`` (a
            `Reply` and its run a line).
        on_folder: Called after each folder.

    Returns:
        How many replies there are.

    Raises:
        ConfigError: `out` has another ending.
        StorageError: A file of the ledger cannot be read, or `out` cannot be written.
    """
    write = _writer_for(out)
    entries = sweep(ledger, on_folder=on_folder)
    with storage.open_atomic(out) as stream:
        return write((best for entry in entries if (best := entry.best)), stream)


def _writer_for(out: str) -> Callable[[Iterator[Booked], IO[bytes]], int]:
    name = out.partition("?")[0] if "://" in out else out
    writers = {".parquet": _write_parquet, ".jsonl": _write_jsonl, ".jsonl.gz": _write_jsonl_gz}
    for ending, writer in writers.items():
        if name.endswith(ending):
            return writer
    raise ConfigError(f"an export ends in {', '.join(writers)}; found {name}")


def _write_parquet(booked: Iterator[Booked], stream: IO[bytes]) -> int:
    count = 0
    with parquet_writer(stream, _SCHEMA) as writer:
        while batch := list(islice(booked, ROWS_PER_GROUP)):
            table = lines_to_table([Line(SCHEMA_VERSION, b.run, reply=b.reply) for b in batch])
            writer.write_table(table.drop_columns(["entry"]))
            count += len(batch)
    return count


def _write_jsonl(booked: Iterable[Booked], stream: IO[bytes]) -> int:
    count = 0
    for one in booked:
        stream.write(msgspec.json.encode({**msgspec.structs.asdict(one.reply), "run": one.run}) + b"\n")
        count += 1
    return count


def _write_jsonl_gz(booked: Iterable[Booked], stream: IO[bytes]) -> int:
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=6, mtime=0) as zipped:
        return _write_jsonl(booked, cast(IO[bytes], zipped))
