"""Datasets in LLaVA's format: read as a stream, cut into parts, and each record understood or refused with a reason.

A part is a scratch file of some thousand records as they stand in the dataset, undecoded. From there on a part is the
unit of work, as a shard of scenes is in `kpray generate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from kpray import llava, storage
from kpray.errors import InputError
from kpray.schemas import KindName, Turn

PART_RECORDS: Final = 2_000
_PART_BYTES: Final = 16 << 20
_KIND_IN_ID: Final = re.compile(r"-(conversation|detailed|reasoning)(?:-\d+)?$")
_KINDS: Final[dict[str, KindName]] = {
    "conversation": "conversation",
    "conv": "conversation",
    "detailed": "detailed",
    "detail": "detailed",
    "reasoning": "reasoning",
    "complex": "reasoning",
    "complex_reasoning": "reasoning",
}
"""Names of the kinds, kpray's and LLaVA's."""


class Record(msgspec.Struct, frozen=True):
    """A record that could be read.

    Attributes:
        record_id: The file's ``id``; files may repeat it.
        image: As the file has it; empty for a record without one.
        kind: From ``kind`` or ``category``, or from an id that kpray gave; None where nothing says it.
        turns: Of the conversation, at least one.
    """

    record_id: str
    image: str
    kind: KindName | None
    turns: tuple[Turn, ...]


class Unreadable(msgspec.Struct, frozen=True):
    """A record that could not be read, and why; `record_id` is empty where not even that could be."""

    record_id: str
    detail: str


class _AsWritten(msgspec.Struct):
    conversations: list[Turn]
    id: str | int | None = None
    image: str | None = None
    kind: str | None = None
    category: str | None = None


class _OnlyId(msgspec.Struct):
    id: Any = None


def parse(raw: bytes) -> Record | Unreadable:
    """Understand one record.

    >>> parse(b'{"id": 7, "conversations": []}')
    Unreadable(record_id='7', detail='`conversations` is empty')
    """
    try:
        written = msgspec.json.decode(raw, type=_AsWritten)
    except msgspec.DecodeError as error:
        return Unreadable(_id_of(raw), _in_words(error))
    record_id = "" if written.id is None else str(written.id)
    if not written.conversations:
        return Unreadable(record_id, "`conversations` is empty")
    return Record(record_id, written.image or "", _kind(written, record_id), tuple(written.conversations))


def _id_of(raw: bytes) -> str:
    try:
        found = msgspec.json.decode(raw, type=_OnlyId).id
    except msgspec.DecodeError:
        return ""
    return "" if found is None else str(found)


def _in_words(error: msgspec.DecodeError) -> str:
    message, _, place = str(error).partition(" - at `$")
    return f"`{place.strip('.`')}`: {message}" if place.strip(".`") else message


def _kind(written: _AsWritten, record_id: str) -> KindName | None:
    named = _KINDS.get((written.kind or written.category or "").lower())
    in_id = _KIND_IN_ID.search(record_id)
    return named or (_KINDS[in_id[1]] if in_id else None)


def split(path: str, folder: str, part_records: int = PART_RECORDS) -> Iterator[int]:
    """Cut a dataset into parts, holding no more than one in memory.

    Args:
        path: JSON list or JSON Lines, ``.gz`` or not, local or on an object store.
        folder: Where the parts go (see `read_part`).
        part_records: Records in a part; fewer if they are large.

    Yields:
        How many records each part has, when it is written.

    Raises:
        InputError: The file as a whole is not in LLaVA's format.
        StorageError: It cannot be read, or a part not written.
    """
    number, records, size = 0, list[bytes](), 0
    for raw in llava.read_records(path):
        records.append(raw)
        size += len(raw)
        if len(records) == part_records or size >= _PART_BYTES:
            _write_part(folder, number, records)
            yield len(records)
            number, records, size = number + 1, [], 0
    if not records and not number:
        raise InputError(f"{path} holds no records. {llava.EXPECTED}.")
    if records:
        _write_part(folder, number, records)
        yield len(records)


def _part_path(folder: str, number: int) -> str:
    return storage.join(folder, f"part-{number:05}.msgpack")


def _write_part(folder: str, number: int, records: list[bytes]) -> None:
    with storage.open_atomic(_part_path(folder, number), durable=False) as stream:
        stream.write(msgspec.msgpack.encode(records))


def read_part(folder: str, number: int) -> list[bytes]:
    """The records of a part, as they stand in the dataset."""
    return msgspec.msgpack.decode(storage.read_bytes(_part_path(folder, number)), type=list[bytes])
