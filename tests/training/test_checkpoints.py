from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from kpray import storage
from kpray.errors import StorageError
from kpray.training.checkpoints import (
    Part,
    complete_checkpoints,
    delete_incomplete,
    keep_newest,
    newest_checkpoint,
)


def write(out: Path, step: int, *, start: str = "aa", parts: int = 2, world: int = 2, size: int = 5) -> Path:
    folder = out / "checkpoints" / f"step-{step:08d}-{start}"
    (folder / "ds").mkdir(parents=True)
    for rank in range(parts):
        (folder / "ds" / f"{rank}.pt").write_bytes(b"12345")
        part = Part(step, world, {f"ds/{rank}.pt": size})
        (folder / f"part-{rank:05d}.json").write_bytes(msgspec.json.encode(part))
    return folder


def test_a_checkpoint_is_complete_with_every_workers_part(tmp_path: Path) -> None:
    write(tmp_path, 5)
    write(tmp_path, 10, parts=1)
    newest = newest_checkpoint(str(tmp_path))
    assert newest is not None
    assert (newest.step, newest.world) == (5, 2)


def test_a_file_that_is_missing_or_short_makes_it_none(tmp_path: Path) -> None:
    (write(tmp_path, 5) / "ds" / "1.pt").unlink()
    write(tmp_path, 6, size=7)
    (write(tmp_path, 7) / "ds" / "0.pt").write_bytes(b"123")
    assert complete_checkpoints(str(tmp_path)) == []


def test_parts_of_two_starts_do_not_make_a_whole(tmp_path: Path) -> None:
    write(tmp_path, 5, start="aa", parts=1)
    write(tmp_path, 5, start="bb", parts=1)
    assert newest_checkpoint(str(tmp_path)) is None


def test_what_is_half_written_is_deleted_at_a_start_and_nothing_else(tmp_path: Path) -> None:
    whole, half = write(tmp_path, 5), write(tmp_path, 10, parts=1)
    other = tmp_path / "checkpoints" / "mine"
    other.mkdir()
    delete_incomplete(str(tmp_path))
    assert (whole.exists(), half.exists(), other.exists()) == (True, False, True)


def test_only_complete_ones_count_among_those_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write(tmp_path, step)
    half = write(tmp_path, 4, parts=1)
    keep_newest(str(tmp_path), 2)
    assert [checkpoint.step for checkpoint in complete_checkpoints(str(tmp_path))] == [2, 3]
    assert half.exists()


def test_one_that_is_deleted_while_it_is_looked_at_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)
    folder, read = write(tmp_path, 2), storage.read_bytes

    def deleted(path: str) -> bytes:
        if path.startswith(str(folder)):
            shutil.rmtree(folder, ignore_errors=True)
        return read(path)

    monkeypatch.setattr(storage, "read_bytes", deleted)
    assert [checkpoint.step for checkpoint in complete_checkpoints(str(tmp_path))] == [1]


def test_one_that_cannot_be_read_is_not_taken_for_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path, 2)

    def refused(path: str) -> bytes:
        raise StorageError("Access Denied")

    monkeypatch.setattr(storage, "read_bytes", refused)
    with pytest.raises(StorageError, match="Access Denied"):
        delete_incomplete(str(tmp_path))
    assert folder.exists()


def test_a_run_without_any_has_none(tmp_path: Path) -> None:
    assert newest_checkpoint(str(tmp_path)) is None


def test_they_are_found_on_an_object_store(s3_url: str, tmp_path: Path) -> None:
    folder = write(tmp_path, 5)
    for path in (p for p in folder.rglob("*") if p.is_file()):
        target = storage.join(s3_url, "train", "checkpoints", folder.name, path.relative_to(folder).as_posix())
        storage.write_bytes(target, path.read_bytes())
    newest = newest_checkpoint(storage.join(s3_url, "train"))
    assert newest is not None
    assert newest.step == 5


@pytest.mark.parametrize("keep", [1, 5])
def test_keeping_more_than_there_are_deletes_nothing(tmp_path: Path, keep: int) -> None:
    write(tmp_path, 1)
    keep_newest(str(tmp_path), keep)
    assert len(complete_checkpoints(str(tmp_path))) == 1
