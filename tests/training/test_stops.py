# ruff: noqa: E402 - what needs torch is imported where torch is there
"""What ends a run says so: out of memory, a full disk, workers that die again and again."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("deepspeed")
pytest.importorskip("ray.train")

import ray.train

from kpray.errors import StorageError
from kpray.training import checkpoint_writer, loop, workers
from kpray.training.checkpoint_writer import CheckpointWriter
from kpray.training.checkpoints import complete_checkpoints, newest_checkpoint
from kpray.training.config import DataConfig, TrainConfig
from kpray.training.engine import Started
from kpray.training.job import Job
from kpray.training.manifest import TrainManifest, session
from kpray.training.stops import TrainingError, leave_note, not_a_number, read_note


class SmallEngine:
    """As far as a `CheckpointWriter` asks: it saves one tensor."""

    def __init__(self) -> None:
        self.checkpoint_engine: Any = None

    def save_checkpoint(self, folder: str, *, tag: str, save_latest: bool) -> None:
        self.checkpoint_engine.save({"weight": torch.ones(4)}, f"{folder}/{tag}/model_states.pt")


def config_in(out: Path) -> TrainConfig:
    return TrainConfig(out=str(out), data=DataConfig(path="data.json"))


def job_in(out: Path) -> Job:
    source: Any = None
    return Job(config_in(out), "5e55", 10, source, lambda metrics: None)


def torch_says() -> RuntimeError:
    return RuntimeError("[enforce fail at inline_container.cc:668] . PytorchStreamWriter failed writing file data/0")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), torch_says()])
def test_a_full_disk_leaves_the_checkpoint_before_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    writer = CheckpointWriter(str(tmp_path), keep=2, start="aa", rank=0, world=1)
    writer.save(SmallEngine(), 3)
    assert writer.settle() is None

    def save(state: Any, stream: Any) -> None:
        stream.write(b"some of it")
        raise error

    monkeypatch.setattr(torch, "save", save)
    writer.save(SmallEngine(), 6)
    failure = writer.settle()
    assert isinstance(failure, StorageError)
    said = str(failure)
    assert str(error).splitlines()[0] in said
    assert "The checkpoint of step 3 is complete. Make room (or lower `checkpoint.keep`) and give the same" in said
    assert [one.step for one in complete_checkpoints(str(tmp_path))] == [3]
    assert not [path for path in (tmp_path / "checkpoints" / "step-00000006-aa").rglob("*") if path.is_file()]


class FullStream:
    """Has room for some bytes only."""

    def __init__(self, room: int) -> None:
        self._room = room

    def write(self, data: bytes) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(data)

    def flush(self) -> None:
        pass


def test_what_the_system_said_is_told_where_torch_says_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_writer.storage, "open_atomic", lambda path: contextlib.nullcontext(FullStream(500)))
    writer = CheckpointWriter(str(tmp_path), keep=2, start="aa", rank=0, world=1)
    writer.save(SmallEngine(), 3)
    said = str(writer.settle())
    assert "No space left on device. No checkpoint is complete yet" in said
    assert "unexpected pos" not in said


def test_a_disk_too_full_for_the_runs_own_notes_does_not_hide_why_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = TrainManifest(config_in(tmp_path), {}, {}, 8)

    def full(path: str, data: bytes) -> None:
        raise StorageError("No space left on device")

    def ends() -> None:
        with session(manifest, 0):
            monkeypatch.setattr("kpray.storage.write_bytes", full)
            raise TrainingError("out of memory")

    with pytest.raises(TrainingError, match="out of memory"):
        ends()
    assert manifest.sessions[0].status == "failed"


def test_the_first_checkpoint_that_does_not_fit_says_that_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str) -> Any:
        raise StorageError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(checkpoint_writer.storage, "open_atomic", full)
    writer = CheckpointWriter(str(tmp_path), keep=2, start="aa", rank=0, world=1)
    writer.save(SmallEngine(), 3)
    assert "No checkpoint is complete yet" in str(writer.settle())
    assert newest_checkpoint(str(tmp_path)) is None


def test_the_checkpoint_that_no_longer_counts_is_deleted_when_all_parts_of_the_newest_are_written(
    tmp_path: Path,
) -> None:
    fast, slow = (CheckpointWriter(str(tmp_path), keep=1, start="aa", rank=rank, world=2) for rank in (0, 1))
    for step in (3, 6):
        for writer in (fast, slow):  # so the first worker is always done before the other has begun
            writer.save(SmallEngine(), step)
            assert writer.settle() is None
    assert [one.step for one in complete_checkpoints(str(tmp_path))] == [3, 6]
    fast.finish()
    assert [one.step for one in complete_checkpoints(str(tmp_path))] == [6]


def failing(error: Exception, after: int = 3) -> Callable[[Job, Started], Any]:
    """A worker whose step after so many fails."""

    class Worker:
        def __init__(self, job: Job, started: Started) -> None:
            pass

        def run(self) -> Iterator[int]:
            yield from range(1, after + 1)
            raise error

    return Worker


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nDetails"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError("no more"),
    ],
)
def test_memory_that_runs_out_names_the_step_and_what_saves_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(loop, "open_start", lambda config: Started(0, 0, 1, "aa", None))
    monkeypatch.setattr(loop, "Worker", failing(error))
    with pytest.raises(type(error)):
        loop.train_worker(job_in(tmp_path))
    note = read_note(str(tmp_path), "5e55")
    assert note is not None
    assert note.startswith(f"out of memory in step 4 ({str(error).splitlines()[0]}). The last checkpoint is intact.")
    assert "Halve `optim.batch_size` and double `optim.accumulation`" in note
    assert loop.train_worker(job_in(tmp_path)) == 0, "a group that is started again reads the note and ends"


def test_an_error_of_another_kind_leaves_no_note_so_that_the_group_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "open_start", lambda config: Started(0, 0, 1, "aa", None))
    monkeypatch.setattr(loop, "Worker", failing(RuntimeError("Connection closed by peer")))
    with pytest.raises(RuntimeError, match="closed by peer"):
        loop.train_worker(job_in(tmp_path))
    assert read_note(str(tmp_path), "5e55") is None


def test_a_stop_that_cannot_be_noted_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, data: bytes) -> None:
        raise StorageError("No space left on device")

    monkeypatch.setattr("kpray.storage.write_bytes", full)
    monkeypatch.setattr(loop, "open_start", lambda config: Started(0, 0, 1, "aa", None))
    monkeypatch.setattr(loop, "Worker", failing(TrainingError("cannot write the checkpoint of step 6")))
    with pytest.raises(TrainingError, match="checkpoint of step 6"):
        loop.train_worker(job_in(tmp_path))


def test_many_records_of_a_bad_step_are_counted() -> None:
    said = not_a_number(6, [f"r{i}" for i in range(2_000)], "loss")
    assert "r0, r1, r2, r3, r4, r5, r6, r7 and 1,992 more." in said


class Fits:
    """Stands in for Ray Train: each `fit` does the next of what is given."""

    def __init__(self, *each: Callable[[], Any]) -> None:
        self._each = iter(each)

    def __call__(self, *ignored: Any) -> Any:
        return self

    def fit(self) -> Any:
        return next(self._each)()


def ends(message: str) -> Any:
    raise ray.train.WorkerGroupError(message, {0: RuntimeError(message)})


def run_with(out: Path, monkeypatch: pytest.MonkeyPatch, *each: Callable[[], Any]) -> int:
    monkeypatch.setattr(workers, "gpus_of_each", lambda config: 0.0)
    monkeypatch.setattr(workers, "_trainer", Fits(*each))
    return workers.run_workers(lambda job: 0, None, config_in(out), "5e55")


def test_a_group_that_ends_without_a_new_checkpoint_ends_the_run_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        TrainingError, match=r"ended 4 times without a new checkpoint.*no route to host.*Step 0 is safe"
    ):
        run_with(tmp_path, monkeypatch, lambda: ends("no route to host"))


def test_a_group_that_made_a_checkpoint_before_it_ended_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def progress() -> Any:
        writer = CheckpointWriter(str(tmp_path), keep=2, start="aa", rank=0, world=1)
        writer.save(SmallEngine(), 3)
        writer.settle()
        return ends("the node is gone")

    class Result:
        return_value = 10

    assert run_with(tmp_path, monkeypatch, progress, Result) == 10


def test_a_note_is_what_the_command_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def noted() -> Any:
        leave_note(str(tmp_path), "5e55", "out of memory in step 4")
        return ends("a worker raised torch.OutOfMemoryError")

    with pytest.raises(TrainingError, match="^out of memory in step 4$"):
        run_with(tmp_path, monkeypatch, noted)


def test_ctrl_c_stays_what_it_is_elsewhere_also_after_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = signal.getsignal(signal.SIGINT)

    def aborted() -> Any:
        signal.signal(signal.SIGINT, lambda signum, frame: None)  # as Ray Train does, and leaves it so
        sys.exit(0)

    with pytest.raises(KeyboardInterrupt):
        run_with(tmp_path, monkeypatch, aborted)
    assert signal.getsignal(signal.SIGINT) is own
