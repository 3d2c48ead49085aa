"""Reading the files of a ledger's folders, also while others write and merge them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import msgspec
import pyarrow.fs as pafs

from kpray import storage
from kpray.errors import StorageError
from kpray.ledger.lines import BadLine, Line, parse_lines
from kpray.ledger.packed import unpack
from kpray.ledger.ranges import SceneRange

LINES: Final = ".jsonl"
MERGING: Final = ".jsonl.merging"
PACKED: Final = ".parquet"

_LISTINGS: Final = 20
"""How often a folder is listed anew because its files changed; a merge changes them three times."""

_REMOTE_CALLS: Final = 16

_Result = TypeVar("_Result")


class LedgerFile(msgspec.Struct, frozen=True):
    """A file of the ledger, as it was listed.

    Attributes:
        path: Where it is.
        name: Its name in the folder.
        size: In bytes, when it was listed.
    """

    path: str
    name: str
    size: int


class FileContents(msgspec.Struct, frozen=True):
    """What a file holds.

    Attributes:
        file: The file.
        lines: All that can be read.
        bad: Damaged lines.
        torn: Whether its last line was cut short.
        unreadable: Why nothing of it can be read; empty if it can.
    """

    file: LedgerFile
    lines: list[Line]
    bad: Sequence[BadLine] = ()
    torn: bool = False
    unreadable: str = ""


def folders(ledger: str) -> list[SceneRange]:
    """The ranges that the ledger holds folders for; empty where there is no ledger yet.

    Raises:
        StorageError: The ledger cannot be listed.
    """
    names = [info.base_name for info in _list(ledger) if info.type == pafs.FileType.Directory]
    return [SceneRange.from_folder(name) for name in names if ".." in name]


def list_folder(ledger: str, scenes: SceneRange) -> list[LedgerFile]:
    """The ledger files of one folder, by name; empty if it is not there."""
    folder = storage.join(ledger, scenes.folder)
    sizes = {info.base_name: info.size for info in _list(folder) if info.type == pafs.FileType.File}
    kept = sorted(name for name in sizes if name.endswith((LINES, MERGING, PACKED)))
    return [LedgerFile(storage.join(folder, name), name, sizes[name]) for name in kept]


def _list(folder: str) -> list[Any]:
    """A `pyarrow.fs.FileInfo` for everything directly in a folder; nothing if it is not there."""
    fs, inner = storage.resolve(folder)
    try:
        return list(fs.get_file_info(pafs.FileSelector(inner, allow_not_found=True)))
    except OSError as error:
        raise StorageError(f"cannot list {folder}: {error}. Expected a folder that may be read") from error


def read_folder(ledger: str, scenes: SceneRange, *, about: str | None = None) -> Iterator[FileContents]:
    """Read all files of one folder, each as it is found; all lines, or those about one request.

    A merge that goes on at the same time renames files before it reads them, and puts a new file there before it
    takes the old ones away. So the folder is listed until two listings in a row are the same. What is found under two
    names is read twice, which does no harm: equal replies count once.

    Raises:
        StorageError: The files would not stand still.
    """
    listed: list[str] | None = None
    read: set[str] = set()
    for _ in range(_LISTINGS):
        files = list_folder(ledger, scenes)
        before, listed = listed, [file.name for file in files]
        if listed == before:
            return
        for contents in read_files([file for file in files if file.name not in read], about=about):
            read.add(contents.file.name)
            yield contents
    raise StorageError(f"the files of {storage.join(ledger, scenes.folder)} keep changing; try again in a minute")


def read_files(files: Sequence[LedgerFile], *, about: str | None = None) -> Iterator[FileContents]:
    """Read files, in their order; those that are gone by now are left out."""
    contents = for_each(functools.partial(_read_file, about=about), files)
    return (one for one in contents if one is not None)


def for_each(work: Callable[[LedgerFile], _Result], files: Sequence[LedgerFile]) -> list[_Result]:
    """Do something with each file: side by side where each takes a round trip to a server."""
    if files and "://" in files[0].path:
        with ThreadPoolExecutor(_REMOTE_CALLS) as pool:
            return list(pool.map(work, files))
    return [work(file) for file in files]


def _read_file(file: LedgerFile, about: str | None) -> FileContents | None:
    try:
        data = storage.read_bytes(file.path)
    except (StorageError, OSError) as error:
        if not storage.exists(file.path):
            return None
        return FileContents(file, [], unreadable=str(error))
    try:
        if file.name.endswith(PACKED):
            return FileContents(file, unpack(data, about=about))
        parsed = parse_lines(data, about=about)
    except StorageError as error:
        return FileContents(file, [], unreadable=str(error))
    return FileContents(file, parsed.lines, parsed.bad, parsed.torn)


def readable_lines(ledger: str, scenes: SceneRange) -> Iterator[Line]:
    """All lines of one folder that can be read; damaged ones are left out.

    Raises:
        StorageError: A whole file cannot be read, so that what it holds would be paid for again.
    """
    for contents in read_folder(ledger, scenes):
        if contents.unreadable:
            raise StorageError(
                f"cannot read {contents.file.path}: {contents.unreadable}. "
                "`kpray ledger verify` lists all such files; a file that is moved out of the ledger is asked for again"
            )
        yield from contents.lines
