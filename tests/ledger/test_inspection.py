from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from kpray.errors import ConfigError, InputError, StorageError
from kpray.ledger.compaction import compact
from kpray.ledger.exports import export
from kpray.ledger.files import readable_lines
from kpray.ledger.inspection import Damage, find, find_ledger, survey
from kpray.ledger.journal import SceneRange, write_replies
from kpray.ledger.lines import Line, encode_reply, encode_sent
from kpray.ledger.sweep import sweep
from kpray.schemas import Reply, Usage


def reply(
    request_id: str,
    *,
    day: int = 1,
    text: str = "hello",
    finish_reason: str = "stop",
    usd: float | None = 0.5,
    model: str = "m1",
) -> Reply:
    usage = Usage(100, 20, 10)
    return Reply(request_id, text, finish_reason, usage, usd, 0.1, model, f"2026-01-{day:02}T00:00:00+00:00")


def put_file(ledger: Path, scenes: SceneRange, name: str, *lines: bytes) -> Path:
    folder = ledger / scenes.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"".join(lines))
    return folder / name


@pytest.fixture(params=["lines", "compacted"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Three folders of which the first two overlap; three requests are in both."""
    folder = tmp_path / "ledger"
    put_file(
        folder,
        SceneRange("1", "10"),
        "w1.jsonl",
        encode_reply(reply("a"), "r1"),
        encode_reply(reply("b"), "r1"),
        encode_sent("c", "r1"),
        encode_sent("d", "r1"),
        encode_reply(reply("e", finish_reason="error", usd=None), "r1"),
    )
    put_file(
        folder,
        SceneRange("5", "20"),
        "w2.jsonl",
        encode_reply(reply("b", day=2, text="bought again", usd=0.25), "r2"),
        encode_reply(reply("c", day=3, model="m2", usd=None), "r2"),
        encode_reply(reply("e", day=4, finish_reason="length"), "r2"),
    )
    put_file(folder, SceneRange("21", "30"), "w3.jsonl", encode_reply(reply("f", day=5), "r2"))
    if request.param == "compacted":
        compact(str(folder))
    return str(folder)


def test_totals_count_each_request_once_and_each_purchase(ledger: str) -> None:
    counts = survey(ledger)
    assert (counts.folders, counts.files) == (3, 3)
    assert counts.bytes == sum(path.stat().st_size for path in Path(ledger).rglob("*.*") if path.is_file())
    assert (counts.answered, counts.replies, counts.bought_again, counts.in_doubt) == (5, 6, 1, 1)
    assert counts.by_model == {"m1 stop": 3, "m2 stop": 1, "m1 length": 1}
    assert counts.runs == {"r1": 2, "r2": 4}
    assert (counts.usd, counts.usd_unknown) == (2.25, 1)
    assert (counts.prompt_tokens, counts.completion_tokens, counts.cached_tokens) == (600, 120, 60)
    assert (counts.first[:10], counts.last[:10]) == ("2026-01-01", "2026-01-05")
    assert (counts.torn, counts.damage) == ([], [])


def test_damage_is_told_with_file_and_line(ledger: str) -> None:
    sound = survey(ledger)
    scenes = SceneRange("1", "10")
    line = encode_reply(reply("x"), "r1")
    bad = put_file(Path(ledger), scenes, "bad.jsonl", line, b"{}\n", b'{"v":2,"run":"r"}\n', line, b'{"v":2,"re')
    broken = put_file(Path(ledger), scenes, "broken.parquet", b"nothing")
    later = put_file(Path(ledger), scenes, "later.jsonl", b'{"v":9}\n')
    counts = survey(ledger)
    assert [(damage.file, damage.line) for damage in counts.damage] == [
        (str(bad), 2),
        (str(bad), 3),
        (str(broken), None),
        (str(later), None),
    ]
    assert counts.torn == [str(bad)]
    assert counts.answered == sound.answered + 1  # x, which is there twice, counts once
    assert counts.bought_again == sound.bought_again
    assert Damage("f.jsonl", 2, "").where == "f.jsonl:2"


def test_memory_holds_only_folders_that_overlap(tmp_path: Path) -> None:
    """What is complete is handed on before the next folder that cannot concern it is read."""
    for i in range(20):
        scenes = SceneRange(f"{i * 10}", f"{i * 10 + 12}")  # overlaps its neighbours only
        write_replies(
            str(tmp_path), scenes, [reply(f"own-{i}"), reply(f"shared-{i}"), reply(f"shared-{i + 1}")], run="r"
        )
    events: list[str] = []

    def read(ledger: str, scenes: SceneRange) -> Iterator[Line]:
        events.append(f"read {scenes.first}")
        return readable_lines(ledger, scenes)

    for entry in sweep(str(tmp_path), read=read):
        events.append(entry.request_id)
    assert sorted(e for e in events if not e.startswith("read")) == sorted(
        [f"own-{i}" for i in range(20)] + [f"shared-{i}" for i in range(21)]
    )
    for i in range(18):
        assert events.index(f"own-{i}") < events.index(f"read {i * 10 + 20}")


def test_a_folder_as_wide_as_the_ledger_finds_its_duplicates_everywhere(tmp_path: Path) -> None:
    for i in range(10):
        write_replies(str(tmp_path), SceneRange(f"{i * 10}", f"{i * 10 + 9}"), [reply(f"{i}")], run="r")
    write_replies(str(tmp_path), SceneRange("0", "99"), [reply(f"{i}", day=2) for i in range(10)], run="pilot")
    assert survey(str(tmp_path)).bought_again == 10


def test_one_request_is_found_with_all_its_replies(ledger: str) -> None:
    assert [booked.reply.text for booked in find(ledger, "b").kept] == ["hello", "bought again"]
    assert [booked.reply.finish_reason for booked in find(ledger, "e").kept] == ["length"]
    assert find(ledger, "d").in_doubt
    with pytest.raises(InputError, match="knows no request nowhere"):
        find(ledger, "nowhere")


def test_an_id_that_a_text_mentions_is_not_found(tmp_path: Path) -> None:
    write_replies(str(tmp_path), SceneRange("1", "2"), [reply("a", text='about "bbbb"')], run="r")
    with pytest.raises(InputError):
        find(str(tmp_path), "bbbb")


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".jsonl.gz"])
def test_an_export_has_the_reply_that_counts_of_each_request(ledger: str, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"replies{ending}"
    assert export(ledger, str(out)) == 5
    rows = read_export(out)
    assert {row["request_id"]: (row["text"], row["finish_reason"], row["run"]) for row in rows} == {
        "a": ("hello", "stop", "r1"),
        "b": ("hello", "stop", "r1"),
        "c": ("hello", "stop", "r2"),
        "e": ("hello", "length", "r2"),
        "f": ("hello", "stop", "r2"),
    }


def read_export(out: Path) -> list[dict[str, object]]:
    if out.suffix == ".parquet":
        rows: list[dict[str, object]] = pq.read_table(out).to_pylist()
        return rows
    text = gzip.decompress(out.read_bytes()) if out.suffix == ".gz" else out.read_bytes()
    lines = [json.loads(line) for line in text.splitlines()]
    assert all(msgspec.convert(line, Reply) for line in lines)
    return lines


def test_an_export_of_a_damaged_ledger_stops_and_leaves_nothing(ledger: str, tmp_path: Path) -> None:
    put_file(Path(ledger), SceneRange("21", "30"), "broken.parquet", b"nothing")
    with pytest.raises(StorageError, match=r"broken\.parquet"):
        export(ledger, str(tmp_path / "out.jsonl"))
    assert not (tmp_path / "out.jsonl").exists()


def test_an_export_of_another_kind_is_refused(ledger: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.parquet, \.jsonl, \.jsonl\.gz; found .*out\.csv"):
        export(ledger, str(tmp_path / "out.csv"))


def test_a_run_leads_to_its_ledger(tmp_path: Path) -> None:
    scenes = SceneRange("1", "2")
    run, shared = tmp_path / "run", tmp_path / "shared"
    write_replies(str(run / "ledger"), scenes, [reply("a")], run="r")
    write_replies(str(shared), scenes, [reply("b")], run="r")
    assert find_ledger(str(run / "ledger")) == str(run / "ledger")
    assert find_ledger(str(run)) == str(run / "ledger")
    (run / "run.json").write_text('{"config": {"out": "x", "ledger": null}}')
    assert find_ledger(str(run)) == str(run / "ledger")
    (run / "run.json").write_text(json.dumps({"config": {"ledger": str(shared)}}))
    assert find_ledger(str(run)) == str(shared)


def test_where_no_ledger_is_the_message_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no ledger in .*a run's folder, or"):
        find_ledger(str(tmp_path))


def test_a_path_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file.jsonl").write_text("")
    with pytest.raises(StorageError, match=r"cannot list .*file\.jsonl"):
        find_ledger(str(tmp_path / "file.jsonl"))
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(StorageError, match=r"run\.json is no run's manifest"):
        find_ledger(str(tmp_path))


def test_a_ledger_on_s3_is_looked_into(s3_url: str, tmp_path: Path) -> None:
    base, _, query = s3_url.partition("?")
    run = f"{base}/inspected?{query}"
    ledger = f"{base}/inspected/ledger?{query}"
    write_replies(ledger, SceneRange("1", "2"), [reply("a")], run="r")
    write_replies(ledger, SceneRange("2", "3"), [reply("a", day=2), reply("b")], run="r")
    assert find_ledger(run) == ledger
    counts = survey(ledger)
    assert (counts.answered, counts.bought_again, counts.files) == (2, 1, 2)
    assert export(ledger, f"{base}/export.parquet?{query}") == 2
    assert len(find(ledger, "a").kept) == 2
