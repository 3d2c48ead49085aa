from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.errors import StorageError
from kpray.ledger.journal import Journal, SceneRange, folders, parse_lines, read_replies
from kpray.schemas import Reply, Usage


def reply(request_id: str, *, text: str = "hello", created_at: str = "2026-01-01T00:00:00+00:00") -> Reply:
    return Reply(request_id, text, "stop", Usage(10, 5), None, 0.1, "m", created_at)


def write(ledger: Path, scenes: SceneRange, *replies: Reply) -> Path:
    async def append_all() -> None:
        journal = Journal(str(ledger), scenes)
        await asyncio.gather(*(journal.append(r) for r in replies))
        journal.close()

    asyncio.run(append_all())
    return max((ledger / scenes.folder).iterdir(), key=lambda path: path.stat().st_mtime_ns)


def test_what_is_appended_is_read_back_whole(tmp_path: Path) -> None:
    scenes = SceneRange("1", "9")
    replies = [reply(f"{i:032x}", text=f'line\n{i}\u2028 "quoted"') for i in range(200)]
    write(tmp_path, scenes, *replies)
    assert read_replies(str(tmp_path), [], scenes) == {r.request_id: r for r in replies}


def test_a_reply_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    scenes = SceneRange("1", "9")

    async def append_and_look() -> bytes:
        journal = Journal(str(tmp_path), scenes)
        await journal.append(reply("a"))
        data = next((tmp_path / scenes.folder).iterdir()).read_bytes()  # before the journal is closed
        journal.close()
        return data

    assert [r.request_id for r in parse_lines(asyncio.run(append_and_look()))] == ["a"]


def test_no_file_is_made_for_a_shard_without_news(tmp_path: Path) -> None:
    Journal(str(tmp_path), SceneRange("1", "9")).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_torn_tail_loses_that_line_only(tmp_path: Path, cut: int) -> None:
    scenes = SceneRange("1", "9")
    file = write(tmp_path, scenes, reply("a"), reply("b"))
    file.write_bytes(file.read_bytes()[:-cut])
    write(tmp_path, scenes, reply("c"))
    assert set(read_replies(str(tmp_path), [], scenes)) == {"a", "c"}


def test_of_two_replies_the_older_counts(tmp_path: Path) -> None:
    scenes = SceneRange("1", "9")
    write(tmp_path, scenes, reply("a", text="second", created_at="2026-01-02T00:00:00+00:00"))
    write(tmp_path, scenes, reply("a", text="first", created_at="2026-01-01T00:00:00+00:00"))
    assert read_replies(str(tmp_path), [], scenes)["a"].text == "first"


def test_a_run_with_other_shards_finds_the_replies(tmp_path: Path) -> None:
    write(tmp_path, SceneRange("1", "99"), reply("a"))
    write(tmp_path, SceneRange("100", "250"), reply("b"))
    write(tmp_path, SceneRange("251", "400"), reply("c"))
    found = read_replies(str(tmp_path), folders(str(tmp_path)), SceneRange("90", "120"))
    assert set(found) == {"a", "b"}


def test_a_later_version_is_refused() -> None:
    line = b'{"v":2,"reply":' + msgspec.json.encode(reply("a")) + b"}\n"
    with pytest.raises(StorageError, match="version 2"):
        parse_lines(line)


def test_numbers_compare_as_numbers() -> None:
    assert SceneRange.of(["9", "10", "139"]) == SceneRange("9", "139")
    assert not SceneRange("9", "10").touches(SceneRange("100", "200"))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=5))
def test_any_scene_ids_make_a_folder_name_that_reads_back(ids: list[str]) -> None:
    scenes = SceneRange.of(ids)
    assert "/" not in scenes.folder
    assert SceneRange.from_folder(scenes.folder) == scenes
    assert all(scenes.touches(SceneRange.of([scene_id])) for scene_id in ids)
