"""Files in LLaVA's format, whatever their size: a JSON list or JSON Lines, one record after the other."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any, Final

import msgspec

from kpray import storage
from kpray.errors import InputError

_CHUNK_BYTES: Final = 1 << 20
_LONGEST_RECORD: Final = 64 << 20
"""In characters: where no record ends within so much text, the file is not what it is taken for."""

_BETWEEN: Final = re.compile(r"[ \t\r\n]*,?[ \t\r\n]*")

EXPECTED: Final = (
    "Expected LLaVA's format: a JSON list of records {id, image, conversations: [{from, value}, ...]}, or one such "
    "record a line (JSON Lines)"
)
"""For messages."""


class _First(msgspec.Struct):
    conversations: list[Any]


def read_records(path: str) -> Iterator[bytes]:
    """The records of a file (``.gz`` or not) as JSON, undecoded; those of JSON Lines may be no JSON.

    Raises:
        InputError: The file is neither a list nor JSON Lines, or a list that breaks off or is no JSON somewhere.
        StorageError: It cannot be read.
    """
    with storage.open_input(path) as stream:
        window = _Window(stream, path)
        while not window.text and window.fill():
            window.text = window.text.lstrip("\ufeff \t\r\n")
        begin = window.text[:1]
        if begin == "[":
            yield from _elements(window)
        elif begin == "{":
            yield from _lines(window)
        elif begin:
            raise InputError(f"{path} begins with {window.text[:20]!r}. {EXPECTED}.")


class _Window:
    """The part of a file that is in memory, as text."""

    def __init__(self, stream: IO[bytes], path: str) -> None:
        self.text = ""
        self.path = path
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")().decode

    def fill(self) -> bool:
        """Read on, at least as much as is waiting, so that a long record costs little; False at the end."""
        try:
            more = self._stream.read(max(_CHUNK_BYTES, len(self.text)))
            self.text += self._decode(more, final=not more)
        except (EOFError, OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.path} cannot be read as text in UTF-8 ({error}). Fetch it again.") from error
        return bool(more)


def _elements(window: _Window) -> Iterator[bytes]:
    """The elements of a JSON list, of whatever type."""
    scan = json.JSONDecoder().raw_decode
    at, count, more = 1, 0, True
    while True:
        at = _BETWEEN.match(window.text, at).end()  # type: ignore[union-attr]  # matches the empty text too
        if window.text[at : at + 1] == "]":
            return
        try:
            end = scan(window.text, at)[1]
            # A number that reaches the end of the window might go on in the file.
            complete = end < len(window.text)
        except json.JSONDecodeError as error:
            complete, problem = False, error.msg
        else:
            problem = "the list does not end"
        if complete:
            yield window.text[at:end].encode()
            at, count = end, count + 1
            continue
        window.text, at = window.text[at:], 0
        if not more or len(window.text) > _LONGEST_RECORD:
            raise InputError(
                f"{window.path}: after {count:,} records, {window.text[:60]!r} is not JSON ({problem}). The file may "
                f"be cut short: fetch it again, or correct it there. {EXPECTED}."
            )
        more = window.fill()


def _lines(window: _Window) -> Iterator[bytes]:
    more, first = True, True
    while more or window.text:
        *lines, window.text = window.text.split("\n") if more else [*window.text.split("\n"), ""]
        for line in lines:
            if first:
                _require_record(line, window.path)
                first = False
            if line.strip():
                yield line.encode()
        more = more and window.fill()


def _require_record(line: str, path: str) -> None:
    """Refuse a file of one big object, such as COCO's: its first line is no record."""
    try:
        msgspec.json.decode(line, type=_First)
    except msgspec.DecodeError as error:
        raise InputError(f"{path} begins with an object that is no record ({error}). {EXPECTED}.") from error
