"""Writing checkpoints while training goes on; what they look like is in `kpray.training.checkpoints`."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import msgspec
import torch
from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine

from kpray import storage
from kpray.errors import StorageError
from kpray.training.checkpoints import TAG, Part, checkpoints_folder, keep_newest, newest_checkpoint

_log = logging.getLogger(__name__)


class CheckpointWriter:
    """A worker's side of writing: what it holds is copied to the CPU's memory, the rest is done while it goes on."""

    def __init__(self, out: str, *, keep: int, start: str, rank: int, world: int) -> None:
        """Write a run's checkpoints under the name of a start of its worker group (hexadecimal)."""
        self._out, self._keep, self._start = out, keep, start
        self._rank, self._world = rank, world
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def save(self, engine: Any, step: int) -> None:
        """Begin to write a checkpoint; every worker calls it at the same step, when all have settled the one before."""
        self._pool.submit(self._delete_older)
        folder = storage.join(checkpoints_folder(self._out), f"step-{step:08d}-{self._start}")
        states = _collect(engine)
        self._pending = self._pool.submit(self._write, folder, step, states)

    def settle(self) -> StorageError | None:
        """Wait until this worker's part of the last checkpoint is written; returns why it could not be.

        So at most one copy of the state is in memory.
        """
        if self._pending:
            wait([self._pending])
        failure = self.failure()
        if failure is None:
            self._pending = None
        return failure

    def failure(self) -> StorageError | None:
        """Why the checkpoint in hand could not be written, without waiting for it."""
        if self._pending is None or not self._pending.done():
            return None
        error = self._pending.exception()
        if error is None or isinstance(error, StorageError):
            return error
        raise error

    def _write(self, folder: str, step: int, states: dict[str, Any]) -> None:
        files: dict[str, int] = {}
        try:
            for name, state in states.items():
                files[name] = _write_state(storage.join(folder, name), state)
            part = Part(step, self._world, files)
            storage.write_bytes(storage.join(folder, f"part-{self._rank:05d}.json"), msgspec.json.encode(part))
        except (OSError, RuntimeError, StorageError) as error:  # torch tells of a full disk with a RuntimeError
            for name in states:
                with contextlib.suppress(OSError):
                    storage.delete(storage.join(folder, name))
            raise StorageError(_cannot_write(self._out, step, error)) from error

    def finish(self) -> None:
        """End; when all workers have settled the last checkpoint."""
        self._pool.submit(self._delete_older)
        self._pool.shutdown()

    def _delete_older(self) -> None:
        """Delete what is not kept. It waits for all workers' parts: only what is complete counts."""
        if self._rank:
            return
        try:
            keep_newest(self._out, self._keep)
        except (OSError, StorageError):  # the next checkpoint's turn deletes it
            _log.warning("cannot delete an old checkpoint in %s", self._out, exc_info=True)


def _cannot_write(out: str, step: int, error: Exception) -> str:
    before = newest_checkpoint(out)
    left = f"The checkpoint of step {before.step} is complete" if before else "No checkpoint is complete yet"
    return (
        f"cannot write the checkpoint of step {step} to {checkpoints_folder(out)}: {_reason(error)}. {left}. Make room "
        "(or lower `checkpoint.keep`) and give the same command to go on"
    )


def _reason(error: Exception) -> BaseException:
    """The system's own words where torch hides them behind an error of its own ("unexpected pos 704 vs 598")."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, OSError):
        inner = inner.__context__
    return inner or error


def _write_state(path: str, state: Any) -> int:
    """Write what `torch.save` makes of a state; returns its bytes."""
    with storage.open_atomic(path) as stream:
        torch.save(state, stream)
        return stream.tell()


class _Collector(TorchCheckpointEngine):  # type: ignore[misc]  # deepspeed has no types
    """Stands in for DeepSpeed's writer while it saves: keeps copies in the CPU's memory instead of writing."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self.states: dict[str, Any] = {}

    def save(self, state_dict: Any, path: str) -> None:
        self.states[Path(path).relative_to(self._root).as_posix()] = _copied(state_dict)


def _collect(engine: Any) -> dict[str, Any]:
    """What DeepSpeed would save on this worker, by path."""
    own = engine.checkpoint_engine
    with tempfile.TemporaryDirectory() as folder:
        engine.checkpoint_engine = collector = _Collector(Path(folder))
        try:
            engine.save_checkpoint(folder, tag=TAG, save_latest=False)
        finally:
            engine.checkpoint_engine = own
    return collector.states


def _copied(value: Any) -> Any:
    """The same with every tensor copied to the CPU, so that the next step may change the original."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return type(value)((key, _copied(item)) for key, item in value.items())
    if type(value) in (list, tuple):
        return type(value)(_copied(item) for item in value)
    return value
