"""Checkpoints: written while training goes on, complete or not there.

::

    <out>/checkpoints/step-00000500-3f2a9c1d/
        ds/...              what DeepSpeed saves, every worker its part (tag ``ds``)
        part-00000.json     worker 0 has written all of its part; so for every worker

The folder's name holds the start of the worker group that wrote it, so two starts never write into one folder. A
checkpoint is complete when every worker's `Part` is there and the files are as long as it says; nothing else is ever
resumed from. As the optimizer's state is all that a step changes besides the weights (learning rates, random draws
and the data's order are functions of the step), the step's number is the rest of the state.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pyarrow.fs as pafs

from kpray import storage
from kpray.errors import StorageError

TAG = "ds"
"""DeepSpeed's name of the checkpoint inside its folder."""

_FOLDER = re.compile(r"step-(\d{8})-[0-9a-f]+")


class Part(msgspec.Struct, frozen=True):
    """What one worker has written.

    Attributes:
        step: Steps done.
        world: Workers that write a part.
        files: Bytes of each file, by its path in the checkpoint.
    """

    step: int
    world: int
    files: dict[str, int]


class CheckpointAt(msgspec.Struct, frozen=True):
    """A complete checkpoint.

    Attributes:
        path: Its folder.
        step: Steps done.
        world: Workers that wrote it.
    """

    path: str
    step: int
    world: int


def checkpoints_folder(out: str) -> str:
    """Where a run's checkpoints are."""
    return storage.join(out, "checkpoints")


def complete_checkpoints(out: str) -> list[CheckpointAt]:
    """A run's complete checkpoints, by step; of several of one step all are listed."""
    found = (_read(storage.join(checkpoints_folder(out), name)) for name in _folders(out))
    return sorted((c for c in found if c), key=lambda c: (c.step, c.path))


def newest_checkpoint(out: str) -> CheckpointAt | None:
    """The complete checkpoint of the highest step, or None."""
    complete = complete_checkpoints(out)
    return complete[-1] if complete else None


def delete_incomplete(out: str) -> None:
    """Delete what earlier starts left half written; only before this start writes any."""
    complete = {c.path for c in complete_checkpoints(out)}
    for name in _folders(out):
        path = storage.join(checkpoints_folder(out), name)
        if path not in complete:
            storage.delete(path)


def keep_newest(out: str, keep: int) -> None:
    """Delete all complete checkpoints but the newest; half-written ones are somebody's work."""
    for checkpoint in complete_checkpoints(out)[:-keep]:
        storage.delete(checkpoint.path)


def _folders(out: str) -> list[str]:
    fs, inner = storage.resolve(checkpoints_folder(out))
    infos = fs.get_file_info(pafs.FileSelector(inner, allow_not_found=True))
    return sorted(info.base_name for info in infos if _FOLDER.fullmatch(info.base_name))


def _read(path: str) -> CheckpointAt | None:
    """The checkpoint in a folder, or None if a part or a file is missing or short.

    Raises:
        StorageError: It is there and cannot be read; whether it is complete is not known then.
    """
    fs, inner = storage.resolve(path)
    infos = fs.get_file_info(pafs.FileSelector(inner, recursive=True, allow_not_found=True))
    sizes = {info.path.removeprefix(inner).lstrip("/"): info.size for info in infos if info.is_file}
    names = [name for name in sizes if name.startswith("part-")]
    parts = [part for name in names if (part := _read_part(storage.join(path, name)))]
    if not parts or len(parts) != parts[0].world:
        return None
    if any(sizes.get(name) != size for part in parts for name, size in part.files.items()):
        return None
    return CheckpointAt(path, parts[0].step, parts[0].world)


def _read_part(path: str) -> Part | None:
    """A worker's part, or None if it was deleted a moment ago, with a checkpoint that is not kept any longer."""
    try:
        return msgspec.json.decode(storage.read_bytes(path), type=Part)
    except StorageError:
        if storage.exists(path):
            raise
        return None


@contextmanager
def local_copy(checkpoint: CheckpointAt, *, first: bool, barrier: Callable[[], None]) -> Iterator[Path]:
    """A checkpoint as a folder of this machine; fetched first if it is on an object store.

    Args:
        checkpoint: Which.
        first: Whether this worker fetches for all workers of its machine.
        barrier: Waits for all workers.
    """
    fs, inner = storage.resolve(checkpoint.path)
    if isinstance(fs, pafs.LocalFileSystem):
        yield Path(inner)
        return
    local = Path(tempfile.gettempdir()) / f"kpray-{Path(inner).name}"
    if first:
        pafs.copy_files(inner, str(local), source_filesystem=fs, destination_filesystem=pafs.LocalFileSystem())
    barrier()
    try:
        yield local
    finally:
        barrier()
        if first:
            shutil.rmtree(local, ignore_errors=True)
