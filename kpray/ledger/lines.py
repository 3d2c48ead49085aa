"""The lines that a ledger is made of.

Version 2, a line being one of::

    {"v": 2, "run": "<run id>", "reply": {...}}
    {"v": 2, "run": "<run id>", "sent": "<request id>", "at": "<ISO 8601, UTC>"}

Version 1 had replies alone and no run; it is still read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from kpray.errors import StorageError
from kpray.schemas import Reply

SCHEMA_VERSION: Final = 2


class Line(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A reply that came, or a request that goes out.

    Attributes:
        v: The version that it was written in.
        run: Whose it is; empty where that was not written down.
        reply: What came, or None.
        sent: The id of the request that goes out, or None.
        at: When it goes out; it tells a second sending from the same line written twice.
    """

    v: int = 0
    run: str = ""
    reply: Reply | None = None
    sent: str | None = None
    at: str = ""

    @property
    def request_id(self) -> str:
        """Which request it is about."""
        return self.reply.request_id if self.reply is not None else self.sent or ""


class BadLine(msgspec.Struct, frozen=True):
    """A line that is not what it should be; numbers begin with 1."""

    number: int
    why: str


class ParsedLines(msgspec.Struct, frozen=True):
    """What a file of lines holds.

    Attributes:
        lines: Those that can be read, in order.
        bad: Those that cannot, although a line end follows them.
        torn: Whether the file ends within a line, as after a crash; that line was never acknowledged.
    """

    lines: list[Line]
    bad: list[BadLine]
    torn: bool


class _Version(msgspec.Struct):
    v: int = 0


_decoder: Final = msgspec.json.Decoder(Line)
_version_decoder: Final = msgspec.json.Decoder(_Version)
_encoder: Final = msgspec.json.Encoder()


def encode_reply(reply: Reply, run: str) -> bytes:
    """The line of a reply."""
    return _encoder.encode(Line(SCHEMA_VERSION, run, reply=reply)) + b"\n"


def encode_sent(request_id: str, run: str) -> bytes:
    """The line that says that a request goes out now."""
    now = datetime.now(UTC).isoformat()
    return _encoder.encode(Line(SCHEMA_VERSION, run, sent=request_id, at=now)) + b"\n"


def parse_lines(data: bytes, *, about: str | None = None) -> ParsedLines:
    """Read a file of lines, all or those about one request; what cannot be read is told and passed over.

    Raises:
        StorageError: It was written by a later version of kpray.
    """
    *whole, tail = data.split(b"\n")
    lines, bad = [], []
    named = about.encode() if about else b""
    for number, text in enumerate(whole, start=1):
        if named not in text:
            continue
        line = _parse(text)
        if isinstance(line, Line):
            lines.append(line)
        else:
            bad.append(BadLine(number, line))
    last = _parse(tail) if tail else ""
    if isinstance(last, Line):  # only its line end is missing
        lines.append(last)
    kept = [line for line in lines if line.request_id == about] if about else lines
    return ParsedLines(kept, bad, torn=bool(tail) and not isinstance(last, Line))


def _parse(text: bytes) -> Line | str:
    """A line, or why it is none."""
    try:
        line = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _refuse_later_version(text)
        return str(error)
    if line.v > SCHEMA_VERSION:
        _refuse_later_version(text)
    if line.v < 1 or (line.reply is None) == (line.sent is None):
        return "neither a reply nor a request that was sent"
    return line


def _refuse_later_version(text: bytes) -> None:
    try:
        version = _version_decoder.decode(text).v
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"the ledger has version {version}; this kpray reads versions 1 to {SCHEMA_VERSION}: upgrade kpray"
        )
