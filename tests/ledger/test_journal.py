from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray.errors import StorageError
from kpray.ledger.journal import Journal, RunSpending, SceneRange, folders, read_ledger, spent, write_replies
from kpray.schemas import Reply, Usage

SCENES = SceneRange("1", "9")


def reply(
    request_id: str,
    *,
    text: str = "hello",
    created_at: str = "2026-01-01T00:00:00+00:00",
    finish_reason: str = "stop",
    usd: float | None = None,
) -> Reply:
    return Reply(request_id, text, finish_reason, Usage(10, 5), usd, 0.1, "m", created_at)


def write(ledger: Path, scenes: SceneRange, *replies: Reply, sent: tuple[str, ...] = (), run: str = "r") -> Path:
    """Write with a journal and return its file."""

    async def append_all() -> None:
        journal = Journal(str(ledger), scenes, run=run)
        for request_id in sent:
            journal.sent(request_id)
        await asyncio.gather(*(journal.append(r) for r in replies))
        journal.close()

    before = set((ledger / scenes.folder).glob("*"))
    asyncio.run(append_all())
    (file,) = set((ledger / scenes.folder).iterdir()) - before
    return file


def texts(ledger: Path | str, scenes: SceneRange = SCENES) -> dict[str, str]:
    return {i: r.text for i, r in read_ledger(str(ledger), scenes).replies.items()}


def test_what_is_appended_is_read_back_whole(tmp_path: Path) -> None:
    replies = [reply(f"{i:032x}", text=f'line\n{i}\u2028 "quoted"') for i in range(200)]
    write(tmp_path, SCENES, *replies)
    assert read_ledger(str(tmp_path), SCENES).replies == {r.request_id: r for r in replies}


def test_a_ledger_that_is_not_there_knows_nothing(tmp_path: Path) -> None:
    known = read_ledger(str(tmp_path / "none"), SCENES)
    assert (known.replies, known.in_doubt) == ({}, frozenset())


def test_a_reply_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    async def append_and_look() -> dict[str, str]:
        journal = Journal(str(tmp_path), SCENES)
        await journal.append(reply("a"))
        found = texts(tmp_path)  # before the journal is closed
        journal.close()
        return found

    assert set(asyncio.run(append_and_look())) == {"a"}


def test_no_file_is_made_for_a_shard_without_news(tmp_path: Path) -> None:
    Journal(str(tmp_path), SCENES).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [2, 7, 40])
def test_a_torn_tail_loses_that_line_only(tmp_path: Path, cut: int) -> None:
    file = write(tmp_path, SCENES, reply("a"), reply("b"))
    file.write_bytes(file.read_bytes()[:-cut])
    write(tmp_path, SCENES, reply("c"))
    assert set(texts(tmp_path)) == {"a", "c"}


def test_a_line_that_only_lacks_its_end_counts(tmp_path: Path) -> None:
    file = write(tmp_path, SCENES, reply("a"))
    file.write_bytes(file.read_bytes()[:-1])
    assert set(texts(tmp_path)) == {"a"}


def test_a_bad_line_takes_no_other_along(tmp_path: Path) -> None:
    file = write(tmp_path, SCENES, reply("a"), reply("b"), reply("c"))
    first, _, third = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + b'{"v": 2, "reply": \xff\n' + third)
    assert set(texts(tmp_path)) == {"a", "c"}


def test_of_two_replies_the_older_counts(tmp_path: Path) -> None:
    write(tmp_path, SCENES, reply("a", text="second", created_at="2026-01-02T00:00:00+00:00"))
    write(tmp_path, SCENES, reply("a", text="first", created_at="2026-01-01T00:00:00+00:00"))
    write(tmp_path, SCENES, reply("a", text="third", created_at="2026-01-03T00:00:00+00:00"))
    assert texts(tmp_path) == {"a": "first"}


def test_an_answer_goes_before_an_older_error(tmp_path: Path) -> None:
    write(tmp_path, SCENES, reply("a", text="", finish_reason="error"))
    write(tmp_path, SCENES, reply("a", text="answer", created_at="2026-01-02T00:00:00+00:00"))
    assert texts(tmp_path) == {"a": "answer"}


def test_errors_can_be_forgotten_and_refusals_cannot(tmp_path: Path) -> None:
    write(tmp_path, SCENES, reply("a", finish_reason="error"), reply("b", finish_reason="refusal"), sent=("a", "b"))
    known = read_ledger(str(tmp_path), SCENES, forget_errors=True)
    assert set(known.replies) == {"b"}
    assert known.in_doubt == frozenset()


def test_a_run_with_other_shards_finds_the_replies(tmp_path: Path) -> None:
    write(tmp_path, SceneRange("1", "99"), reply("a"))
    write(tmp_path, SceneRange("100", "250"), reply("b"))
    write(tmp_path, SceneRange("251", "400"), reply("c"))
    assert set(texts(tmp_path, SceneRange("90", "120"))) == {"a", "b"}


def test_version_1_is_read(tmp_path: Path) -> None:
    folder = tmp_path / SCENES.folder
    folder.mkdir()
    (folder / "old.jsonl").write_bytes(b'{"v":1,"reply":' + msgspec.json.encode(reply("a")) + b"}\n")
    assert read_ledger(str(tmp_path), SCENES).replies == {"a": reply("a")}


@pytest.mark.parametrize("line", [b'{"v":3,"reply":{"new":"shape"}}\n', b'{"v":3,"run":"r","sent":"a"}\n'])
def test_a_later_version_is_refused(tmp_path: Path, line: bytes) -> None:
    write(tmp_path, SCENES, reply("a")).write_bytes(line)
    with pytest.raises(StorageError, match="version 3.*upgrade"):
        read_ledger(str(tmp_path), SCENES)


def test_what_was_sent_and_not_answered_is_in_doubt(tmp_path: Path) -> None:
    write(tmp_path, SCENES, reply("a"), sent=("a", "b", "c"))
    write(tmp_path, SCENES, reply("c"))
    known = read_ledger(str(tmp_path), SCENES)
    assert known.in_doubt == {"b"}
    assert set(known.replies) == {"a", "c"}


def test_a_killed_process_leaves_its_requests_in_doubt(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from kpray.ledger.journal import Journal, SceneRange
journal = Journal(sys.argv[1], SceneRange("1", "9"))
for i in range(3):
    journal.sent(f"id-{i}")
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert read_ledger(str(tmp_path), SCENES).in_doubt == {"id-0", "id-1", "id-2"}


@contextmanager
def no_more_than(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: writes fail half way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_a_full_disk_refuses_is_written_when_there_is_space(tmp_path: Path) -> None:
    async def fill_and_free() -> None:
        journal = Journal(str(tmp_path), SCENES)
        await journal.append(reply("a"))
        with no_more_than(400):
            refused = await asyncio.gather(
                *(journal.append(reply(name, text="long " * 60)) for name in "bc"), return_exceptions=True
            )
            assert [type(error) for error in refused] == [StorageError, StorageError]
            assert "free some space" in str(refused[0])
            with pytest.raises(StorageError, match="2 lines wait"):
                journal.close()
        await journal.append(reply("d"))
        journal.close()

    asyncio.run(fill_and_free())
    assert set(texts(tmp_path)) == set("abcd")
    (file,) = (tmp_path / SCENES.folder).iterdir()
    assert all(msgspec.json.decode(line)["v"] == 2 for line in file.read_bytes().splitlines())  # no half line


def test_a_request_is_not_sent_when_the_disk_is_full(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), SCENES)
    with no_more_than(10), pytest.raises(StorageError, match="cannot write the ledger"):
        journal.sent("a")
    journal.close()


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE])
def test_what_a_failed_flush_may_have_dropped_is_written_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail_once(handle: int) -> None:
        monkeypatch.undo()
        raise OSError(code, os.strerror(code))

    async def append() -> None:
        journal = Journal(str(tmp_path), SCENES)
        await journal.append(reply("a"))
        (first,) = (tmp_path / SCENES.folder).iterdir()
        monkeypatch.setattr(os, "fsync", fail_once)
        await journal.append(reply("b"))
        await journal.append(reply("c"))
        journal.close()
        first.unlink()

    asyncio.run(append())
    assert set(texts(tmp_path)) == {"b", "c"}


def test_a_cancelled_append_is_written_when_the_journal_closes(tmp_path: Path) -> None:
    async def cancel() -> None:
        journal = Journal(str(tmp_path), SCENES)
        tasks = [asyncio.create_task(journal.append(reply(f"{i}"))) for i in range(50)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        journal.close()

    asyncio.run(cancel())
    assert len(texts(tmp_path)) == 50


def test_lines_that_a_merge_could_not_see_are_written_again(tmp_path: Path) -> None:
    async def append_across_a_merge() -> None:
        journal = Journal(str(tmp_path), SCENES)
        await journal.append(reply("merged"))
        (file,) = (tmp_path / SCENES.folder).iterdir()
        file.unlink()  # a merge has read it
        journal.sent("sent")
        await journal.append(reply("late"))
        (file,) = (tmp_path / SCENES.folder).iterdir()
        file.rename(f"{file}.merging")
        await journal.append(reply("later"))
        journal.close()

    asyncio.run(append_across_a_merge())
    known = read_ledger(str(tmp_path), SCENES)
    assert set(known.replies) == {"late", "later"}
    assert known.in_doubt == {"sent"}
    assert spent(str(tmp_path), None, "").asked_again == 0  # the same line twice is no second sending
    assert sum(file.suffix == ".jsonl" for file in (tmp_path / SCENES.folder).iterdir()) == 1


def test_many_replies_at_once(tmp_path: Path) -> None:
    write_replies(str(tmp_path), SCENES, [reply("a"), reply("b")], run="r")
    write_replies(str(tmp_path), SCENES, [], run="r")
    assert len(list((tmp_path / SCENES.folder).iterdir())) == 1
    assert set(texts(tmp_path)) == {"a", "b"}


def test_a_run_has_spent_what_its_own_replies_cost(tmp_path: Path) -> None:
    later = "2026-01-02T00:00:00+00:00"
    write(tmp_path, SCENES, reply("a", usd=0.5), reply("b", usd=0.25), sent=("a", "b", "c"), run="mine")
    write(tmp_path, SceneRange("10", "20"), reply("d", usd=4.0), reply("e", finish_reason="error"), run="mine")
    write(tmp_path, SCENES, reply("a", usd=8.0, created_at=later), reply("f", usd=16.0), run="other")
    assert spent(str(tmp_path), SCENES, "mine") == RunSpending(
        0.75, 0.75, unknown=0, replies=2, asked_again=0, in_doubt=1
    )
    assert spent(str(tmp_path), None, "mine") == RunSpending(
        4.75, 4.75, unknown=0, replies=3, asked_again=0, in_doubt=1
    )
    assert spent(str(tmp_path), None, "other") == RunSpending(
        24.0, 24.0, unknown=0, replies=2, asked_again=0, in_doubt=0
    )
    write(tmp_path, SCENES, reply("g", usd=None), run="other")
    assert spent(str(tmp_path), None, "other") == RunSpending(None, 24.0, 1, replies=3, asked_again=0, in_doubt=0)


def test_a_run_knows_how_often_it_asked_again(tmp_path: Path) -> None:
    write(tmp_path, SCENES, sent=("a", "b"), run="mine")
    write(tmp_path, SceneRange("5", "20"), reply("a"), sent=("a", "b"), run="mine")  # the shards were others
    write(tmp_path, SCENES, sent=("a",), run="other")
    spending = spent(str(tmp_path), None, "mine")
    assert (spending.replies, spending.asked_again, spending.in_doubt) == (1, 2, 1)


def test_objects_hold_a_group_each_and_what_was_sent_goes_along(s3_url: str) -> None:
    base, _, query = s3_url.partition("?")
    ledger = f"{base}/journal-objects?{query}"

    async def append() -> None:
        journal = Journal(ledger, SCENES, run="r")
        journal.sent("a")
        journal.sent("b")
        assert read_ledger(ledger, SCENES).in_doubt == frozenset()
        await journal.append(reply("a"))
        assert read_ledger(ledger, SCENES).in_doubt == {"b"}
        await journal.append(reply("c"))
        journal.sent("d")
        journal.close()

    asyncio.run(append())
    write_replies(ledger, SCENES, [reply("e")], run="r")
    known = read_ledger(ledger, SCENES)
    assert set(known.replies) == {"a", "c", "e"}
    assert known.in_doubt == {"b", "d"}


def test_numbers_compare_as_numbers() -> None:
    assert SceneRange.of(["9", "10", "139"]) == SceneRange("9", "139")
    assert not SceneRange("9", "10").touches(SceneRange("100", "200"))


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=5))
def test_any_scene_ids_make_a_folder_name_that_reads_back(ids: list[str]) -> None:
    scenes = SceneRange.of(ids)
    assert "/" not in scenes.folder
    assert SceneRange.from_folder(scenes.folder) == scenes
    assert all(scenes.touches(SceneRange.of([scene_id])) for scene_id in ids)


def test_other_folders_are_not_the_ledgers(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    write(tmp_path, SCENES, reply("a")).with_suffix(".txt").write_text("not a ledger file")
    assert folders(str(tmp_path)) == [SCENES]
    assert set(texts(tmp_path)) == {"a"}


def test_a_reply_outlives_the_process_before_it_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushing, go_on = threading.Event(), threading.Event()

    def wait(handle: int) -> None:
        flushing.set()
        go_on.wait(10)

    async def append() -> list[str]:
        journal = Journal(str(tmp_path), SCENES)
        monkeypatch.setattr(os, "fsync", wait)
        tasks = [asyncio.create_task(journal.append(reply(name))) for name in "ab"]
        await asyncio.to_thread(flushing.wait, 10)
        found = texts(tmp_path)  # what a process that is killed now leaves
        assert not any(task.done() for task in tasks)
        go_on.set()
        await asyncio.gather(*tasks)
        journal.close()
        return found

    assert set(asyncio.run(append())) == {"a", "b"}


def test_a_line_that_could_not_be_written_is_not_taken_for_written_by_a_flush_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush runs in another thread, so it may come just before the line's write fails, or just after."""
    write_bytes = os.write

    async def append(flush_first: bool) -> None:
        journal = Journal(str(tmp_path), SCENES)
        await journal.append(reply(f"first-{flush_first}"))

        def fail_once(handle: int, data: bytes) -> int:
            monkeypatch.setattr(os, "write", write_bytes)
            if flush_first:
                thread = threading.Thread(target=journal._commit)
                thread.start()
                thread.join(1)  # it may wait for this write
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "write", fail_once)
        await journal.append(reply(f"refused-{flush_first}"))
        journal.close()

    for flush_first in (True, False):
        asyncio.run(append(flush_first))
    assert set(texts(tmp_path)) == {f"{what}-{when}" for what in ("first", "refused") for when in (True, False)}


def test_lines_are_written_again_if_their_file_is_gone_once_they_are_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system shared over the network a merge elsewhere does not see what has not been flushed."""
    flush = os.fsync

    def take_away(handle: int) -> None:
        monkeypatch.setattr(os, "fsync", flush)
        for file in (tmp_path / SCENES.folder).iterdir():
            file.unlink()
        flush(handle)

    async def append() -> None:
        journal = Journal(str(tmp_path), SCENES)
        monkeypatch.setattr(os, "fsync", take_away)
        await journal.append(reply("a"))
        journal.close()

    asyncio.run(append())
    assert set(texts(tmp_path)) == {"a"}
