"""Ledger lines as columns: the Parquet files that a compaction leaves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kpray.errors import StorageError
from kpray.ledger.lines import SCHEMA_VERSION, Line
from kpray.schemas import Reply, Usage

_VERSION_KEY: Final = b"kpray.ledger.version"

PACKED_SCHEMA: Final = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("entry", pa.string(), nullable=False),
        pa.field("run", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("finish_reason", pa.string()),
        pa.field("prompt_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64()),
        pa.field("cached_tokens", pa.int64()),
        pa.field("usd", pa.float64()),
        pa.field("latency_s", pa.float64()),
        pa.field("model", pa.string()),
        pa.field("created_at", pa.string()),
        pa.field("error", pa.string()),
    ],
    metadata={_VERSION_KEY: str(SCHEMA_VERSION).encode()},
)
"""One line a row.

``entry`` is ``reply`` (the one that counts), ``bought_again`` (a further reply to the same request: paid, not used) or
``sent`` (it went out; ``created_at`` says when, and the other columns are null). The three token columns are null
together: the server did not count.
"""

ROWS_PER_GROUP: Final = 16_384
_REPEATING: Final = ["entry", "run", "finish_reason", "model"]


def lines_to_table(lines: Sequence[Line]) -> pa.Table:
    """Lines, sorted by request and each request's replies in their order, as a table of `PACKED_SCHEMA`."""
    rows, previous = [], None
    for line in lines:
        if line.reply is None:
            rows.append((line.sent, "sent", line.run, *[None] * 8, line.at, None))
            continue
        reply = line.reply
        entry = "bought_again" if reply.request_id == previous else "reply"
        previous = reply.request_id
        rows.append((reply.request_id, entry, line.run, *_reply_cells(reply)))
    columns = zip(*rows, strict=True) if rows else [()] * len(PACKED_SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, PACKED_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=PACKED_SCHEMA)


def _reply_cells(reply: Reply) -> tuple[Any, ...]:
    usage = reply.usage
    counts = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) if usage else (None, None, None)
    about = (reply.usd, reply.latency_s, reply.model, reply.created_at, reply.error)
    return (reply.text, reply.finish_reason, *counts, *about)


def table_to_lines(table: pa.Table) -> list[Line]:
    """The lines of a table of `PACKED_SCHEMA`, in its order."""
    columns = (table[name].to_pylist() for name in PACKED_SCHEMA.names)
    return [_to_line(*row) for row in zip(*columns, strict=True)]


def _to_line(
    request_id: str,
    entry: str,
    run: str,
    text: str,
    finish_reason: str,
    prompt_tokens: int | None,
    completion_tokens: int,
    cached_tokens: int,
    usd: float | None,
    latency_s: float,
    model: str,
    created_at: str,
    error: str | None,
) -> Line:
    if entry == "sent":
        return Line(SCHEMA_VERSION, run, sent=request_id, at=created_at)
    usage = None if prompt_tokens is None else Usage(prompt_tokens, completion_tokens, cached_tokens)
    reply = Reply(request_id, text, finish_reason, usage, usd, latency_s, model, created_at, error)
    return Line(SCHEMA_VERSION, run, reply=reply)


def parquet_writer(stream: IO[bytes], schema: pa.Schema = PACKED_SCHEMA) -> Any:
    """A `pyarrow.parquet.ParquetWriter` with the settings for ledger lines."""
    return pq.ParquetWriter(stream, schema, compression="zstd", use_dictionary=_REPEATING)


def pack(lines: Sequence[Line]) -> bytes:
    """The bytes of a Parquet file; the same lines give the same bytes."""
    buffer = io.BytesIO()
    with parquet_writer(buffer) as writer:
        writer.write_table(lines_to_table(lines), row_group_size=ROWS_PER_GROUP)
    return buffer.getvalue()


def unpack(data: bytes, *, about: str | None = None) -> list[Line]:
    """The lines of a Parquet file, all or those about one request.

    Raises:
        StorageError: It is damaged, or of a later version of kpray.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        _refuse_later_version(file.schema_arrow)
        if about is None:
            return table_to_lines(file.read(use_threads=False))
        if pc.index(file.read(["request_id"], use_threads=False)["request_id"], about).as_py() < 0:
            return []
        return table_to_lines(file.read(use_threads=False).filter(pc.field("request_id") == about))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise StorageError(f"it is damaged: {error}") from error


def _refuse_later_version(schema: pa.Schema) -> None:
    version = int((schema.metadata or {}).get(_VERSION_KEY, b"0"))
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"the ledger has version {version}; this kpray reads versions 1 to {SCHEMA_VERSION}: upgrade kpray"
        )
