"""Replies on disk, durable before anything else happens to them.

A ledger is a folder of append-only JSON Lines files::

    ledger/<first scene>..<last scene>/<writer>.jsonl      one line: {"v": 1, "reply": {...}}

A shard of scenes is answered by one worker at a time, which writes a file of its own; a shard that is
answered again (a dead worker's, or a later run's) gets another file beside it. To know what has been paid
for, a worker reads the folders whose range of scenes touches its own shard's, and nothing else: no index, no
lock and no central process, whatever the ledger's size. A run with other shards finds the replies all the same.

A line that was cut short by a crash is left out on reading. Of two replies to the same request the older one
counts.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote, unquote

import msgspec
import pyarrow.fs as pafs

from kpray import storage
from kpray.errors import StorageError
from kpray.schemas import Reply

SCHEMA_VERSION: Final = 1


class _Line(msgspec.Struct):
    v: int
    reply: Reply


_decoder: Final = msgspec.json.Decoder(_Line)


class SceneRange(msgspec.Struct, frozen=True):
    """The first and last scene of a shard, in the ledger's own order."""

    first: str
    last: str

    @classmethod
    def of(cls, scene_ids: Iterable[str]) -> SceneRange:
        """The smallest range that holds all the ids; numbers compare as numbers."""
        ordered = sorted(scene_ids, key=_order)
        return cls(ordered[0], ordered[-1])

    @classmethod
    def from_folder(cls, name: str) -> SceneRange:
        """Read a folder's name back."""
        first, _, last = name.partition("..")
        return cls(unquote(first), unquote(last))

    @property
    def folder(self) -> str:
        """The name of the range's folder."""
        return f"{_quote(self.first)}..{_quote(self.last)}"

    def touches(self, other: SceneRange) -> bool:
        """Whether a scene could lie in both."""
        return _order(self.first) <= _order(other.last) and _order(other.first) <= _order(self.last)


def _order(scene_id: str) -> str:
    return scene_id.zfill(20)


def _quote(scene_id: str) -> str:
    return quote(scene_id, safe="").replace(".", "%2E")


def folders(ledger: str) -> list[SceneRange]:
    """The ranges that the ledger holds folders for; empty where there is no ledger yet."""
    fs, inner = storage.resolve(ledger)
    infos = fs.get_file_info(pafs.FileSelector(inner, allow_not_found=True))
    return [SceneRange.from_folder(info.base_name) for info in infos if info.type == pafs.FileType.Directory]


def read_replies(ledger: str, known_folders: Sequence[SceneRange], scenes: SceneRange) -> dict[str, Reply]:
    """The replies that may concern a range of scenes, by request id.

    Args:
        ledger: The ledger's folder.
        known_folders: What `folders` listed; the range's own folder is looked at in any case.
        scenes: The range.
    """
    replies: dict[str, Reply] = {}
    for folder in sorted({f.folder for f in known_folders if f.touches(scenes)} | {scenes.folder}):
        path = storage.join(ledger, folder)
        for name in storage.list_files(path):
            for reply in parse_lines(storage.read_bytes(storage.join(path, name))):
                known = replies.get(reply.request_id)
                if known is None or reply.created_at < known.created_at:
                    replies[reply.request_id] = reply
    return replies


def parse_lines(data: bytes) -> list[Reply]:
    """The replies in a ledger file; a last line without its end, or one that was torn, is left out.

    Raises:
        StorageError: The file was written by a later version of kpray.
    """
    replies = []
    for line in data.split(b"\n")[:-1]:
        try:
            entry = _decoder.decode(line)
        except msgspec.DecodeError:
            continue
        if entry.v != SCHEMA_VERSION:
            raise StorageError(f"the ledger has version {entry.v}; this kpray reads version {SCHEMA_VERSION}: upgrade")
        replies.append(entry.reply)
    return replies


class Journal:
    """Where one worker writes the replies for one shard.

    Replies that arrive while the disk is busy are written together and flushed once (group commit), so
    hundreds of replies a second are durable without hundreds of flushes.
    """

    def __init__(self, ledger: str, scenes: SceneRange) -> None:
        """Prepare to write; the file is made with the first reply."""
        self._folder = storage.join(ledger, scenes.folder)
        self._fs, _ = storage.resolve(self._folder)
        self._writer = uuid.uuid4().hex
        self._part = 0
        self._file: IO[bytes] | None = None
        self._pending: list[bytes] = []
        self._lock = asyncio.Lock()

    async def append(self, reply: Reply) -> None:
        """Write a reply; when this returns it is durable.

        Raises:
            StorageError: It could not be written.
        """
        self._pending.append(msgspec.json.encode(_Line(SCHEMA_VERSION, reply)) + b"\n")
        async with self._lock:
            if not self._pending:
                return  # a neighbour's commit took this line along
            lines, self._pending = b"".join(self._pending), []
            await asyncio.to_thread(self._persist, lines)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _persist(self, lines: bytes) -> None:
        if not isinstance(self._fs, pafs.LocalFileSystem):
            # Objects cannot grow: each group becomes an object of its own.
            storage.write_bytes(storage.join(self._folder, f"{self._writer}-{self._part:06}.jsonl"), lines)
            self._part += 1
            return
        try:
            if self._file is None:
                storage.make_folder(self._folder)
                _, folder = storage.resolve(self._folder)
                self._file = (Path(folder) / f"{self._writer}.jsonl").open("ab")
            self._file.write(lines)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StorageError(f"cannot write the ledger in {self._folder}: {error}. Free some space there.") from error
