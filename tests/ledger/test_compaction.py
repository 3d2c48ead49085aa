from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray import storage
from kpray.errors import StorageError
from kpray.ledger.compaction import CompactionReport, compact
from kpray.ledger.inspection import Survey, survey
from kpray.ledger.journal import Journal, Known, RunSpending, SceneRange, read_ledger, spent, write_replies
from kpray.ledger.lines import SCHEMA_VERSION, Line, encode_reply, encode_sent
from kpray.ledger.packed import pack, unpack
from kpray.schemas import Reply, Usage

SCENES = SceneRange("1", "9")
LATER = "2026-01-02T00:00:00+00:00"


def reply(
    request_id: str,
    *,
    text: str = "hello",
    created_at: str = "2026-01-01T00:00:00+00:00",
    finish_reason: str = "stop",
) -> Reply:
    return Reply(request_id, text, finish_reason, Usage(10, 5, 2), 0.5, 0.1, "m", created_at)


def put_file(ledger: Path, name: str, *lines: bytes, scenes: SceneRange = SCENES) -> Path:
    folder = ledger / scenes.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"".join(lines))
    return folder / name


def fill(ledger: Path) -> None:
    """Three files with everything that can happen to a request."""
    put_file(
        ledger,
        "w1.jsonl",
        encode_sent("plain", "r1"),
        encode_reply(reply("plain"), "r1"),
        encode_reply(reply("twice", text="first"), "r1"),
        encode_sent("doubt", "r1"),
        encode_reply(reply("mended", finish_reason="error"), "r1"),
        encode_reply(reply("wrong", finish_reason="error"), "r1"),
    )
    put_file(
        ledger,
        "w2.jsonl",
        encode_reply(reply("plain"), "r1"),  # written again
        encode_reply(reply("twice", text="second", created_at=LATER), "r2"),
        encode_sent("doubt", "r2"),
        encode_sent("doubt", "r2"),
        encode_sent("plain", "r1"),  # sent a second time, having no reply
        encode_reply(reply("mended", text="answer", created_at=LATER), "r2"),
        b'{"v":2,"run":"r2","reply":{"requ',
    )
    put_file(ledger, "w3.jsonl", encode_reply(reply("else"), "r3"), scenes=SceneRange("10", "20"))


def files(ledger: Path) -> list[Path]:
    return sorted(path for path in ledger.rglob("*") if path.is_file())


def facts(ledger: Path | str) -> dict[str, object]:
    """What must be the same before and after."""
    counts: Survey = survey(str(ledger))
    names = ("answered", "replies", "bought_again", "in_doubt", "by_model", "usd", "runs", "prompt_tokens", "damage")
    spending = {run: spent(str(ledger), None, run) for run in ("r1", "r2", "r3")}
    return {**{name: getattr(counts, name) for name in names}, "spending": spending}


def test_a_compacted_ledger_knows_the_same_in_one_file_a_folder(tmp_path: Path) -> None:
    fill(tmp_path)
    before, facts_before = read_ledger(str(tmp_path), SCENES), facts(tmp_path)
    report = compact(str(tmp_path))
    assert [path.suffix for path in files(tmp_path)] == [".parquet", ".parquet"]
    assert read_ledger(str(tmp_path), SCENES) == before
    assert facts(tmp_path) == facts_before
    assert before.in_doubt == {"doubt"}
    assert facts_before["bought_again"] == 1
    r1 = RunSpending(1.0, 1.0, unknown=0, replies=2, asked_again=1, in_doubt=1)
    r2 = RunSpending(1.0, 1.0, unknown=0, replies=2, asked_again=1, in_doubt=1)
    r3 = RunSpending(0.5, 0.5, unknown=0, replies=1, asked_again=0, in_doubt=0)
    assert facts_before["spending"] == {"r1": r1, "r2": r2, "r3": r3}
    assert (report.folders, report.files_before, report.files_after, report.left) == (2, 3, 2, [])
    assert report.bytes_after == sum(path.stat().st_size for path in files(tmp_path))


def test_compacting_again_changes_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    compact(str(tmp_path))
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path)}
    compact(str(tmp_path))
    assert {path: path.stat().st_mtime_ns for path in files(tmp_path)} == before


def test_news_joins_what_was_compacted(tmp_path: Path) -> None:
    fill(tmp_path)
    compact(str(tmp_path))
    put_file(tmp_path, "w4.jsonl", encode_reply(reply("doubt"), "r4"), encode_reply(reply("new"), "r4"))
    compact(str(tmp_path))
    known = read_ledger(str(tmp_path), SCENES)
    assert len(files(tmp_path)) == 2
    assert set(known.replies) == {"plain", "twice", "mended", "wrong", "doubt", "new"}
    assert known.in_doubt == frozenset()


def test_what_adds_nothing_does_not_delete_the_file_that_holds_it(tmp_path: Path) -> None:
    put_file(tmp_path, "w1.jsonl", encode_reply(reply("a"), "r1"))
    compact(str(tmp_path))
    put_file(tmp_path, "w2.jsonl", encode_reply(reply("a"), "r1"))  # the merged file will have the same name
    compact(str(tmp_path))
    assert set(read_ledger(str(tmp_path), SCENES).replies) == {"a"}
    assert len(files(tmp_path)) == 1


def test_what_a_killed_merge_left_is_read_and_merged(tmp_path: Path) -> None:
    put_file(tmp_path, "w1.jsonl.merging", encode_reply(reply("a"), "r1"))
    assert set(read_ledger(str(tmp_path), SCENES).replies) == {"a"}
    compact(str(tmp_path))
    assert [path.suffix for path in files(tmp_path)] == [".parquet"]
    assert set(read_ledger(str(tmp_path), SCENES).replies) == {"a"}


def test_old_temporary_files_are_cleared_away_and_new_ones_left(tmp_path: Path) -> None:
    put_file(tmp_path, "w1.jsonl", encode_reply(reply("a"), "r1"))
    old = put_file(tmp_path, "compact-1.parquet.1.tmp", b"half")
    new = put_file(tmp_path, "compact-2.parquet.2.tmp", b"half")
    os.utime(old, (0, 0))
    compact(str(tmp_path))
    assert not old.exists()
    assert new.exists()


def test_damaged_files_are_left_and_told(tmp_path: Path) -> None:
    fill(tmp_path)
    put_file(tmp_path, "bad.jsonl", b"no line\n", encode_reply(reply("beside damage"), "r1"))
    before = facts(tmp_path)
    report = compact(str(tmp_path))
    assert [Path(path).name for path in report.left] == ["bad.jsonl.merging"]
    after = facts(tmp_path)
    assert after.pop("damage") != before.pop("damage")  # only the file's name has changed
    assert after == before
    assert "beside damage" in read_ledger(str(tmp_path), SCENES).replies


def test_a_parquet_file_that_cannot_be_read_stops_a_run_and_is_not_merged(tmp_path: Path) -> None:
    fill(tmp_path)
    broken = put_file(tmp_path, "compact-0.parquet", b"PAR1 this is not Parquet PAR1")
    with pytest.raises(StorageError, match=r"compact-0\.parquet: it is damaged.*kpray ledger verify"):
        read_ledger(str(tmp_path), SCENES)
    assert compact(str(tmp_path)).left == [str(broken)]
    assert broken.exists()


def test_a_later_version_is_not_merged(tmp_path: Path) -> None:
    file = put_file(tmp_path, "w1.jsonl", b'{"v":3,"something":"new"}\n')
    report = compact(str(tmp_path))
    assert report.left == [f"{file}.merging"]
    assert Path(f"{file}.merging").read_bytes() == b'{"v":3,"something":"new"}\n'


lines = st.builds(
    lambda request_id, run, text, finish_reason, usage, usd, latency_s, error: Line(
        SCHEMA_VERSION,
        run,
        reply=Reply(request_id, text, finish_reason, usage, usd, latency_s, "m", LATER, error),
    ),
    *[st.text(st.characters(exclude_categories=["Cs"]))] * 4,
    st.none() | st.builds(Usage, *[st.integers(0, 2**40)] * 3),
    st.none() | st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.none() | st.text(st.characters(exclude_categories=["Cs"])),
)


@settings(deadline=None)
@given(st.lists(lines | st.builds(lambda i: Line(SCHEMA_VERSION, "r", sent=i, at=LATER), st.text("abc")), max_size=5))
def test_what_is_packed_is_unpacked_the_same(originals: list[Line]) -> None:
    assert unpack(pack(originals)) == originals


COMPACT = [sys.executable, "-c", "import sys; from kpray.ledger.compaction import compact; compact(sys.argv[1])"]

KILL_AT_STEP = """
import os, signal, sys
from pathlib import Path
from kpray import storage
from kpray.ledger import compaction

steps_left = int(sys.argv[2])

def stopping_before(work):
    def step(*arguments):
        global steps_left
        if steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        steps_left -= 1
        return work(*arguments)
    return step

Path.rename = stopping_before(Path.rename)
Path.replace = stopping_before(Path.replace)
compaction._delete = stopping_before(compaction._delete)
compaction.compact(sys.argv[1])
"""


@pytest.mark.parametrize("step", range(8))
def test_a_merge_that_is_killed_loses_nothing(tmp_path: Path, step: int) -> None:
    """The steps: take two files, replace, delete two; take one, replace, delete."""
    fill(tmp_path)
    before, facts_before = read_ledger(str(tmp_path), SCENES), facts(tmp_path)
    killed = subprocess.run([sys.executable, "-c", KILL_AT_STEP, str(tmp_path), str(step)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert read_ledger(str(tmp_path), SCENES) == before
    assert facts(tmp_path) == facts_before
    compact(str(tmp_path))
    assert read_ledger(str(tmp_path), SCENES) == before
    assert facts(tmp_path) == facts_before


WRITER = """
import asyncio, os, signal, sys
from kpray.ledger.journal import Journal, SceneRange
from kpray.schemas import Reply

ledger, writer, until = sys.argv[1], sys.argv[2], int(sys.argv[3])
journal = Journal(ledger, SceneRange("1", "9"), run=writer)

async def ask(worker):
    for i in range(worker, until, 4):
        request_id = f"{writer}-{i:05}"
        journal.sent(request_id)
        print("sent", request_id, flush=True)
        await asyncio.sleep(0)
        await journal.append(Reply(request_id, "text " * 50, "stop", None, None, 0.1, "m", f"2026-01-01T{i:06}"))
        print("kept", request_id, flush=True)

async def main():
    await asyncio.gather(*(ask(worker) for worker in range(4)))
    for i in range(3):
        journal.sent(f"{writer}-last-{i}")
        print("sent", f"{writer}-last-{i}", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def start_writer(ledger: str, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, ledger, name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def check_nothing_lost(known: Known, outputs: list[str]) -> None:
    events = [line.split() for output in outputs for line in output.splitlines() if " " in line]
    kept = {request_id for event, request_id in events if event == "kept"}
    sent = {request_id for event, request_id in events if event == "sent"}
    assert kept
    assert kept <= set(known.replies)
    assert sent - kept <= set(known.replies) | known.in_doubt


def test_writers_and_merges_that_are_killed_lose_nothing_together(tmp_path: Path) -> None:
    """Two writers, each killed at its end; meanwhile merges, two at a time, killed at random moments."""
    draw = random.Random(0)
    writers = [start_writer(str(tmp_path), f"w{i}", 600) for i in range(2)]
    outputs: list[str] = []
    readers = [threading.Thread(target=lambda w=w: outputs.append(w.communicate()[0])) for w in writers]
    for thread in readers:
        thread.start()
    while any(thread.is_alive() for thread in readers):
        merges = [subprocess.Popen([*COMPACT, str(tmp_path)]) for _ in range(2)]
        time.sleep(draw.uniform(0.2, 0.8))  # starting takes about 0.3 s
        for merge in merges:
            merge.kill()
            merge.wait()
        compact(str(tmp_path))
    assert all(writer.returncode == -signal.SIGKILL for writer in writers)
    check_nothing_lost(read_ledger(str(tmp_path), SCENES), outputs)
    compact(str(tmp_path))
    check_nothing_lost(read_ledger(str(tmp_path), SCENES), outputs)
    assert survey(str(tmp_path)).bought_again == 0
    assert [spent(str(tmp_path), None, f"w{i}").asked_again for i in range(2)] == [0, 0]


def keep_merging(ledger: str, done: threading.Event, failures: list[Exception]) -> None:
    while not done.is_set():
        try:
            compact(ledger)
        except Exception as error:  # noqa: BLE001 - told by the test
            failures.append(error)


def test_writing_merging_and_reading_side_by_side(tmp_path: Path) -> None:
    """In one process the interleavings are finer; every read must see all that was kept before it."""
    ledger, done, failures = str(tmp_path), threading.Event(), []  # type: ignore[var-annotated]
    merges = [threading.Thread(target=keep_merging, args=(ledger, done, failures)) for _ in range(2)]
    for thread in merges:
        thread.start()

    async def write_and_read() -> None:
        journal = Journal(ledger, SCENES, run="r")
        for i in range(150):
            journal.sent(f"{i}")
            await journal.append(reply(f"{i}"))
            journal.sent(f"doubt-{i}")
            known = read_ledger(ledger, SCENES)
            assert set(known.replies) == {f"{j}" for j in range(i + 1)}
            assert known.in_doubt == {f"doubt-{j}" for j in range(i + 1)}
        journal.close()

    try:
        asyncio.run(write_and_read())
    finally:
        done.set()
        for thread in merges:
            thread.join()
    assert failures == []
    compact(ledger)
    assert len(files(tmp_path)) == 1
    assert len(read_ledger(ledger, SCENES).replies) == 150


def test_objects_are_merged_while_others_are_written(s3_url: str) -> None:
    base, _, query = s3_url.partition("?")
    ledger = f"{base}/compaction?{query}"
    done, failures = threading.Event(), []  # type: ignore[var-annotated]
    merges = [threading.Thread(target=keep_merging, args=(ledger, done, failures)) for _ in range(2)]
    for thread in merges:
        thread.start()

    async def write() -> None:
        journal = Journal(ledger, SCENES, run="r")
        for i in range(15):
            journal.sent(f"doubt-{i}")
            await journal.append(reply(f"{i}"))
            assert set(read_ledger(ledger, SCENES).replies) >= {f"{j}" for j in range(i + 1)}
        journal.close()

    try:
        asyncio.run(write())
    finally:
        done.set()
        for thread in merges:
            thread.join()
    assert failures == []
    write_replies(ledger, SCENES, [reply("last")], run="r")
    compact(ledger)
    assert [Path(name).suffix for name in storage.list_files(ledger)] == [".parquet"]
    known = read_ledger(ledger, SCENES)
    assert set(known.replies) == {f"{i}" for i in range(15)} | {"last"}
    assert known.in_doubt == {f"doubt-{i}" for i in range(15)}


def test_progress_is_told_folder_by_folder(tmp_path: Path) -> None:
    fill(tmp_path)
    seen: list[tuple[int, int]] = []

    def note(report: CompactionReport) -> None:
        seen.append((report.done, report.folders))

    compact(str(tmp_path), note)
    assert seen == [(1, 2), (2, 2)]
