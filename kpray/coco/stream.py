"""Reading the big arrays of a COCO JSON file piece by piece, so that no file is ever held whole.

A COCO file is one object whose members (``images``, ``annotations``, ``categories``, ...) come in any order.
A window of some hundred kB slides over it. Inside an array, one vectorised pass over the window finds where its
complete elements end; they are then decoded in a single call into types that name only the fields that are
needed, so that segmentations are skipped without being built.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from gzip import BadGzipFile
from typing import IO, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from kpray import storage
from kpray.errors import InputError

CHUNK_BYTES: Final = 1 << 18
"""How much is read at a time: so little that what a chunk becomes fits the processor's cache, and that the
memory of one chunk is used again for the next instead of being fetched from the system anew."""

_BLANKS: Final = b" \t\r\n"
_DEPTH_CHANGE: Final = np.zeros(256, dtype=np.int8)
_DEPTH_CHANGE[list(b"{[")] = 1
_DEPTH_CHANGE[list(b"}]")] = -1
_IS_STRUCTURE: Final = bytes(int(byte in b'"{}[]') for byte in range(256))
_ESCAPE: Final = re.compile(rb"\\.", re.DOTALL)
_MEMBER_NAME: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*', re.DOTALL)
_SCALAR: Final = re.compile(rb'(?:"(?:[^"\\]|\\.)*"|[^\s,{}\[\]"]+)(?=[\s,}])', re.DOTALL)
_ID: Final = re.compile(rb'"id"\s*:\s*("[^"]*"|-?\d+)')


def read_arrays(
    path: str, element_types: Mapping[str, Any], chunk_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[str, list[Any]]]:
    """Decode chosen top-level arrays of a JSON object, some elements at a time, in the file's order.

    Args:
        path: ``.json`` or ``.json.gz``, local or on an object store.
        element_types: For each wanted member, the msgspec type of its elements (JSON objects).
        chunk_bytes: How much to read at a time; changes the size of the lists and nothing else.

    Yields:
        A member's name and its next elements. An empty array yields one empty list.

    Raises:
        InputError: The file is not JSON, ends too early, or an element does not have its type.
        StorageError: The file cannot be read.
    """
    decoders = {name: msgspec.json.Decoder(list[kind]) for name, kind in element_types.items()}  # type: ignore[valid-type]
    with storage.open_input(path) as stream:
        window = _Window(stream, path, chunk_bytes)
        window.expect(b"{")
        closed = window.peek() == b"}"
        while not closed:
            name = window.member_name()
            if name in decoders and window.peek() == b"[":
                yield from ((name, rows) for rows in _elements(window, name, decoders[name]))
            else:
                window.skip_value()
            closed = window.peek() == b"}"
            if not closed:
                window.expect(b",")
        window.expect(b"}")
        window.expect_end()


def _elements(window: _Window, name: str, decoder: msgspec.json.Decoder[list[Any]]) -> Iterator[list[Any]]:
    window.expect(b"[")
    closed, count = False, 0
    while not closed:
        ends, closed_at = _scan(window.data)
        closed = closed_at is not None
        stop = int(ends[-1]) + 1 if len(ends) else 0
        if closed_at is not None and window.data[stop:closed_at].strip(_BLANKS):
            raise window.malformed(f"`{name}` does not hold JSON objects separated by commas")
        if stop:
            rows = _decode(window, name, decoder, ends, follows=count > 0)
            count += len(rows)
            window.drop(stop)
            yield rows
        if not closed and not window.fill():
            raise window.truncated(name)
    if not count:
        yield []
    window.expect(b"]")


def _scan(data: bytes) -> tuple[npt.NDArray[np.intp], int | None]:
    """Find where the elements of an array end, in text that starts inside the array.

    Args:
        data: Text that starts outside any string, at the array's own level.

    Returns:
        Positions of the brackets that close its complete elements, and of the one that closes the array
        (None if that is further on).
    """
    if b"\\" in data:  # What is escaped is never structure; its length stays.
        data = _ESCAPE.sub(b"__", data)
    places = np.flatnonzero(np.frombuffer(data.translate(_IS_STRUCTURE), dtype=np.bool_))
    marks = np.frombuffer(data, dtype=np.uint8)[places]
    is_quote = marks == ord('"')
    is_bracket = ~(is_quote | np.logical_xor.accumulate(is_quote))
    places, change = places[is_bracket], _DEPTH_CHANGE[marks[is_bracket]]
    depth = np.cumsum(change, dtype=np.int32)
    after = np.flatnonzero(depth < 0)
    closed_at = int(places[after[0]]) if len(after) else None
    inside = slice(None, after[0] if len(after) else None)
    return places[inside][(depth[inside] == 0) & (change[inside] < 0)], closed_at


def _decode(
    window: _Window,
    name: str,
    decoder: msgspec.json.Decoder[list[Any]],
    ends: npt.NDArray[np.intp],
    *,
    follows: bool,
) -> list[Any]:
    """Decode the window's complete elements, which a comma precedes if others came before."""
    text = window.data[: int(ends[-1]) + 1]
    if follows:
        text = text.lstrip(_BLANKS)
        if not text.startswith(b","):
            raise window.malformed(f"two elements of `{name}` stand side by side without a comma")
        text = text[1:]
    try:
        return decoder.decode(b"[" + text + b"]")
    except msgspec.DecodeError as error:
        raise _blame_element(window, name, decoder, ends, error) from error


def _blame_element(
    window: _Window,
    name: str,
    decoder: msgspec.json.Decoder[list[Any]],
    ends: npt.NDArray[np.intp],
    error: msgspec.DecodeError,
) -> InputError:
    """Find which element could not be decoded and name it by its id."""
    begin = 0
    for end in ends.tolist():
        element = window.data[begin : end + 1].strip(_BLANKS + b",")
        begin = end + 1
        try:
            decoder.decode(b"[" + element + b"]")
        except msgspec.DecodeError as precise:
            found = _ID.search(element)
            which = f"with id {found[1].decode(errors='replace')}" if found else f"{element[:80]!r}"
            return InputError(f"{window.path}: the element of `{name}` {which} cannot be read: {_say(precise)}")
    return window.malformed(f"`{name}`: {error}")


def _say(error: msgspec.DecodeError) -> str:
    reason = str(error).replace("$[0].", "").replace("$[0]", "it")
    if isinstance(error, msgspec.ValidationError):
        return f"{reason}. Expected COCO's format; correct or remove it."
    return f"{reason}. Expected JSON, which has no NaN or Infinity; correct or remove it."


class _Window:
    """The part of a file that is in memory: what comes next is at the start of `data`."""

    def __init__(self, stream: IO[bytes], path: str, chunk_bytes: int) -> None:
        self.data = b""
        self.path = path
        self._stream = stream
        self._chunk_bytes = chunk_bytes

    def fill(self) -> bool:
        """Read on, at least as much as is waiting, so that a long element costs little; False at the end."""
        try:
            more = self._stream.read(max(self._chunk_bytes, len(self.data)))
        except (EOFError, zlib.error) as error:
            raise InputError(f"{self.path} is a truncated or damaged gzip file ({error}). Fetch it again.") from error
        except BadGzipFile as error:
            raise InputError(
                f"{self.path} ends in .gz but is not a gzip file ({error}). Rename it or fetch it again."
            ) from error
        self.data += more
        return bool(more)

    def drop(self, count: int) -> None:
        """Forget the first bytes."""
        self.data = self.data[count:]

    def peek(self) -> bytes:
        """The next byte that is not blank; it becomes the first."""
        while True:
            self.data = self.data.lstrip(_BLANKS)
            if self.data:
                return self.data[:1]
            self._must_fill()

    def expect(self, mark: bytes) -> None:
        """Step over a byte that must come next."""
        found = self.peek()
        if found != mark:
            raise self.malformed(f"expected {mark.decode()!r}, found {found!r}")
        self.drop(1)

    def expect_end(self) -> None:
        """Nothing but blanks may be left."""
        while not self.data.strip(_BLANKS) and self.fill():
            self.data = self.data.strip(_BLANKS)
        if self.data.strip(_BLANKS):
            raise self.malformed("text after the end of the object")

    def member_name(self) -> str:
        """Step over a member's name and colon; its value is then next."""
        if self.peek() != b'"':
            raise self.malformed(f"expected the name of a member, found {self.peek()!r}")
        match = self._match(_MEMBER_NAME)
        self.drop(match.end())
        try:
            return msgspec.json.decode(b'"' + match[1] + b'"', type=str)
        except msgspec.DecodeError as error:
            raise self.malformed(f"the name of a member: {error}") from error

    def skip_value(self) -> None:
        """Step over a whole value that nobody wants, holding no more of an array than an element."""
        if self.peek() == b"[":
            self.drop(1)
            while (closed_at := self._skip_elements()) is None:
                self._must_fill()
            self.drop(closed_at + 1)
        elif self.peek() == b"{":
            while not len(ends := _scan(self.data)[0]):
                self._must_fill()
            self.drop(int(ends[0]) + 1)
        else:
            self.drop(self._match(_SCALAR).end())

    def _skip_elements(self) -> int | None:
        ends, closed_at = _scan(self.data)
        if closed_at is None and len(ends):
            self.drop(int(ends[-1]) + 1)
        return closed_at

    def _must_fill(self) -> None:
        if not self.fill():
            raise self.truncated()

    def _match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        # A match that reaches the end of the window might be longer in the file.
        while (match := pattern.match(self.data)) is None or match.end() == len(self.data):
            self._must_fill()
        return match

    def malformed(self, what: str) -> InputError:
        """The error for text that is not JSON."""
        return InputError(f"{self.path} is not a COCO annotation file in JSON: {what}.")

    def truncated(self, member: str | None = None) -> InputError:
        """The error for a file that ends too early."""
        where = f" inside `{member}`" if member else ""
        return InputError(
            f"{self.path} is empty or truncated: expected a whole JSON object, but the file ends{where}."
            " Fetch it again."
        )
