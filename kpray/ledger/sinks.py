"""Where a journal's lines go: a local file that grows, or objects, which cannot."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import uuid
from pathlib import Path

import pyarrow.fs as pafs

from kpray import storage
from kpray.ledger.files import LINES


def open_sink(folder: str) -> FileSink | ObjectSink:
    """A place for lines in one folder of a ledger; nothing is made before the first line."""
    fs, inner = storage.resolve(folder)
    return FileSink(Path(inner)) if isinstance(fs, pafs.LocalFileSystem) else ObjectSink(folder)


def sync_folder(folder: str) -> None:
    """Make a folder's list of files durable, so that a new or renamed file is found after a power cut."""
    fs, inner = storage.resolve(folder)
    if isinstance(fs, pafs.LocalFileSystem):
        for path in (Path(inner), Path(inner).parent):  # the folder itself may be new in its parent
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


class ObjectSink:
    """On an object store each group of lines becomes an object of its own."""

    def __init__(self, folder: str) -> None:
        """Write into a folder."""
        self._folder = folder
        self._writer = uuid.uuid4().hex
        self._part = 0

    def put_soon(self, line: bytes) -> None:
        """Objects cannot grow: the line waits for its group."""

    def flush(self, lines: bytes, *, written: bool) -> None:
        """Write a group of lines; when this returns they are durable."""
        storage.write_bytes(storage.join(self._folder, f"{self._writer}-{self._part:06}{LINES}"), lines)
        self._part += 1

    def close(self) -> None:
        """Nothing is open."""


class FileSink:
    """A file that grows, and another one when a compaction has taken that away.

    A compaction renames a file before it reads it. Lines that are written after it has read are therefore under a name
    that is gone: the writer looks for its file after each write and, when it has been taken away, writes the same
    lines into a new one. Either the compaction has read a line, or it is written again, or both, which does no harm.
    """

    def __init__(self, folder: Path) -> None:
        """Write into a folder."""
        self._folder = folder
        self._opening = threading.Lock()
        self._file: _AppendFile | None = None
        self._left: list[_AppendFile] = []
        self._distrusted = False

    def put_soon(self, line: bytes) -> None:
        """Write a line that outlives the process at once, though not a power cut.

        Raises:
            OSError: It could not be written.
        """
        self._put(line, durable=False)

    def flush(self, lines: bytes, *, written: bool) -> None:
        """Make a group of lines durable; where need be, they are written once more.

        Args:
            lines: The group.
            written: Whether `put_soon` has written all of them.

        Raises:
            OSError: They are not durable.
        """
        with self._opening:
            files = [*self._left, *([self._file] if self._file else [])]
        in_place = False
        try:
            in_place = all(file.flush() for file in files)
        except OSError:
            # What a failed flush has dropped, a second flush would not bring back; lines of later groups may be
            # among it, so from now on all are written once more.
            self._distrusted = True
        if self._distrusted or not written or not in_place:
            self._put(lines, durable=True)

    def _put(self, lines: bytes, *, durable: bool) -> None:
        while not self._current().put(lines, durable=durable):
            pass

    def close(self) -> None:
        """Close all files."""
        for file in [*self._left, *([self._file] if self._file else [])]:
            file.close()
        self._left, self._file = [], None

    def _current(self) -> _AppendFile:
        with self._opening:
            if self._file is None or self._file.lost:
                if self._file is not None:
                    self._left.append(self._file)  # another thread may still be flushing it
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = _AppendFile(self._folder / f"{uuid.uuid4().hex}{LINES}")
            return self._file


class _AppendFile:
    """One file, which nobody else appends to.

    Attributes:
        lost: Whether no more lines may go there.
    """

    def __init__(self, path: Path) -> None:
        self.lost = False
        self._dirty = False
        self._path = path
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        self._size = 0
        self._listed = False
        self._writing = threading.Lock()

    def put(self, lines: bytes, *, durable: bool) -> bool:
        """Write lines; False if the file has been taken away, so that they must be written elsewhere too."""
        try:
            self._write(lines)
            if durable:
                self.flush()
            if not self._is_in_place():
                self.lost = True
        except OSError as error:
            if error.errno != errno.ESTALE:  # a shared file system's way to say that it was deleted elsewhere
                raise
            self.lost = True
        return not self.lost

    def close(self) -> None:
        os.close(self._handle)

    def _write(self, lines: bytes) -> None:
        with self._writing:
            self._dirty = True
            try:
                rest = memoryview(lines)
                while rest:
                    rest = rest[os.write(self._handle, rest) :]
            except OSError:
                self._cut_half_a_line()
                raise
            self._size += len(lines)

    def _cut_half_a_line(self) -> None:
        lost, self.lost = self.lost, True
        with contextlib.suppress(OSError):
            os.ftruncate(self._handle, self._size)
            self.lost = lost

    def flush(self) -> bool:
        """Make durable what has been written; False if the file has been taken away meanwhile.

        Then a merge on another machine may have read it before these lines came there.

        Raises:
            OSError: It is not durable; the file is lost then.
        """
        if not self._dirty:
            return True
        self._dirty = False
        try:
            os.fsync(self._handle)
            if not self._listed:
                sync_folder(str(self._path.parent))
                self._listed = True
        except OSError:
            self.lost = True
            raise
        return self._is_in_place()

    def _is_in_place(self) -> bool:
        try:
            os.close(os.open(self._path, os.O_RDONLY))  # opening asks a file server anew, where `stat` may not
        except FileNotFoundError:
            return False
        return True
