"""Merging the files of a ledger's folder into one Parquet file, also while others write and read them.

No locks; these orders are what keeps every reply:

1. A local ``x.jsonl`` is renamed to ``x.jsonl.merging`` before it is read. A writer looks for its file after each
   write; where it is gone, it writes the same lines again elsewhere (`kpray.ledger.sinks`). So whatever is not in the
   file when it is read is written again. Objects never change, so those that were listed can be read at any time.
2. The merged file is durable before anything is deleted. It is named by the hash of its contents, so whoever deletes a
   file of that name has put the same contents into another one.
3. What cannot be read whole is left where it is.

A merge that is killed leaves ``.merging`` files, which are read like all others and go into the next merge. Two merges
at once may leave two files with the same replies, which count once.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import pyarrow.fs as pafs

from kpray import storage
from kpray.errors import StorageError
from kpray.ledger.entries import gather
from kpray.ledger.files import (
    LINES,
    MERGING,
    PACKED,
    FileContents,
    LedgerFile,
    folders,
    for_each,
    list_folder,
    read_files,
)
from kpray.ledger.lines import Line
from kpray.ledger.packed import pack
from kpray.ledger.ranges import SceneRange
from kpray.ledger.sinks import sync_folder

_LEFTOVER_AGE_S: Final = 24 * 3600.0
"""No write takes so long; a temporary file of that age belongs to a process that was killed."""


class CompactionReport(msgspec.Struct):
    """What a compaction has done so far.

    Attributes:
        folders: How many there are.
        done: How many it has seen to.
        files_before: Ledger files that were there.
        files_after: Ledger files in their place.
        bytes_before: Their size.
        bytes_after: Their size now.
        left: Paths of files that were left because they are damaged.
    """

    folders: int = 0
    done: int = 0
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    left: list[str] = []


def compact(ledger: str, on_folder: Callable[[CompactionReport], None] = lambda report: None) -> CompactionReport:
    """Merge the files of every folder of a ledger; memory holds one folder at a time.

    Args:
        ledger: The ledger's folder.
        on_folder: Called after each folder.

    Raises:
        StorageError: Something cannot be written; nothing is lost.
    """
    ranges = sorted(folders(ledger), key=lambda scenes: scenes.folder)
    report = CompactionReport(folders=len(ranges))
    for scenes in ranges:
        compact_folder(ledger, scenes, report)
        report.done += 1
        on_folder(report)
    return report


def compact_folder(ledger: str, scenes: SceneRange, report: CompactionReport) -> None:
    """Merge the files of one folder."""
    _delete_leftovers(storage.join(ledger, scenes.folder))
    before = list_folder(ledger, scenes)
    if [file for file in before if not file.name.endswith(PACKED)] or len(before) > 1:
        _merge(storage.join(ledger, scenes.folder), before, report)
    after = list_folder(ledger, scenes)
    report.files_before += len(before)
    report.files_after += len(after)
    report.bytes_before += sum(file.size for file in before)
    report.bytes_after += sum(file.size for file in after)


def _merge(folder: str, files: list[LedgerFile], report: CompactionReport) -> None:
    contents = list(read_files([taken for file in files if (taken := _take(file))]))
    report.left += [c.file.path for c in contents if not _is_whole(c)]
    sources = [c for c in contents if _is_whole(c)]
    entries = gather(line for source in sources for line in source.lines)
    lines = [line for _, entry in sorted(entries.items()) for line in entry.lines]
    name = _write(folder, lines) if lines else ""
    for_each(_delete, [source.file for source in sources if source.file.name != name])


def _is_whole(contents: FileContents) -> bool:
    return not contents.bad and not contents.unreadable


def _take(file: LedgerFile) -> LedgerFile | None:
    """Give a growing file its other name; None if somebody else took it."""
    fs, inner = storage.resolve(file.path)
    if not isinstance(fs, pafs.LocalFileSystem) or not file.name.endswith(LINES):
        return file
    suffix = MERGING.removeprefix(LINES)
    try:
        Path(inner).rename(f"{inner}{suffix}")
    except FileNotFoundError:
        return None
    return LedgerFile(f"{file.path}{suffix}", f"{file.name}{suffix}", file.size)


def _write(folder: str, lines: list[Line]) -> str:
    """Write the merged file, durably, and return its name."""
    data = pack(lines)
    name = f"compact-{hashlib.blake2b(data, digest_size=16).hexdigest()}{PACKED}"
    storage.write_bytes(storage.join(folder, name), data)
    sync_folder(folder)
    return name


def _delete(file: LedgerFile) -> None:
    """Delete a file that has been merged, unless somebody else has."""
    fs, inner = storage.resolve(file.path)
    try:
        fs.delete_file(inner)
    except OSError as error:
        if storage.exists(file.path):
            raise StorageError(
                f"cannot delete {file.path}: {error}. Its replies are merged, nothing is lost; delete it by hand, or "
                "run the compaction again when you may write there"
            ) from error


def _delete_leftovers(folder: str) -> None:
    fs, inner = storage.resolve(folder)
    if not isinstance(fs, pafs.LocalFileSystem):
        return
    for path in Path(inner).glob("*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _LEFTOVER_AGE_S:
                path.unlink()
