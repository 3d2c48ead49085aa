from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kpray import llava
from kpray.errors import ConfigError, InputError
from kpray.schemas import Turn
from kpray.training.config import DataConfig
from kpray.training.records import dataset_files, fingerprint_dataset, image_folder, read_records
from kpray.training.types import Record, Skipped


def record(number: int, **changes: Any) -> dict[str, Any]:
    turns = [
        {"from": "human", "value": f"<image>\nWhat is in {number}?"},
        {"from": "gpt", "value": f"A man, {number}."},
    ]
    return {"id": f"id{number}", "image": f"{number}.jpg", "conversations": turns} | changes


def write(path: Path, values: Any) -> DataConfig:
    lines = path.name.endswith(".jsonl")
    path.write_text("\n".join(map(json.dumps, values)) if lines else json.dumps(values))
    return DataConfig(path=str(path))


def write_run(run: Path, tables: dict[str, list[dict[str, Any]]], image_folder: str | None = "pictures") -> DataConfig:
    for name, rows in tables.items():
        path = run / "samples" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = [{"sample_id": row["id"], "scene_id": "1"} | row for row in rows]
        pq.write_table(pa.Table.from_pylist(columns).drop_columns("id"), path)
    (run / "run.json").write_text(json.dumps({"reading": {"image_folder": image_folder}}))
    return DataConfig(path=str(run))


def ids(data: DataConfig) -> list[str]:
    return [found.record_id for found in read_records(data)]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_file_in_llavas_form_is_read(tmp_path: Path, name: str):
    found = list(read_records(write(tmp_path / name, [record(1), record(2)])))
    assert found[1] == Record("id2@1", "2.jpg", (Turn("human", "<image>\nWhat is in 2?"), Turn("gpt", "A man, 2.")))


def test_ids_that_a_file_repeats_become_unique(tmp_path: Path):
    assert ids(write(tmp_path / "a.json", [record(7), record(7)])) == ["id7@0", "id7@1"]


def test_sharegpt_with_images_and_text_alone_are_read(tmp_path: Path):
    turns = [{"from": "user", "value": "Hello."}, {"from": "assistant", "value": "Yes?"}]
    sharegpt = record(1, images=["1.jpg"])
    del sharegpt["image"]
    found = list(read_records(write(tmp_path / "a.jsonl", [sharegpt, {"conversations": turns}])))
    assert found[0].image == "1.jpg"
    assert found[1] == Record("record@1", None, (Turn("human", "Hello."), Turn("gpt", "Yes?")))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conversations": []}, "at least one exchange"),
        ({"conversations": "text"}, "at least one exchange"),
        ({"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "b"}]}, "in turn, but gpt"),
        ({"conversations": record(1)["conversations"] + [{"from": "human", "value": "b"}]}, "in turn"),
        ({"conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt"}]}, "a turn is not"),
        ({"conversations": [{"from": "system", "value": "a"}, {"from": "gpt", "value": "b"}]}, "a turn is not"),
        ({"conversations": ["<image>", "a"]}, "a turn is not"),
        ({"image": None}, "no image, and its first turn <image> 1 times"),
        ({"image": 3}, "path of one image, found 3"),
        ({"image": None, "images": ["a", "b"]}, "path of one image"),
    ],
)
def test_a_malformed_record_is_skipped_and_says_why(tmp_path: Path, changes: dict[str, Any], words: str):
    first, second = read_records(write(tmp_path / "a.json", [record(1, **changes), record(2)]))
    assert isinstance(first, Skipped)
    assert (first.record_id, first.reason) == ("id1@0", "malformed")
    assert words in first.detail
    assert isinstance(second, Record)


def test_elements_and_lines_that_are_no_objects_are_skipped(tmp_path: Path):
    assert [
        f.reason for f in read_records(write(tmp_path / "a.json", [5, "x", None, [1]])) if isinstance(f, Skipped)
    ] == (["malformed"] * 4)
    (tmp_path / "a.jsonl").write_text(f'{json.dumps(record(1))}\n{{"id": \n\n{json.dumps(record(2))}\n')
    good, bad, after = read_records(DataConfig(path=str(tmp_path / "a.jsonl")))
    assert isinstance(good, Record)
    assert isinstance(bad, Skipped)
    assert "not JSON" in bad.detail
    assert after.record_id == "id2@2"


@pytest.mark.parametrize("chunk", [1, 7, 50, 1000])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_the_size_of_a_chunk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, chunk: int):
    values = [record(i, image=f"größe-😀-{i}.jpg") for i in range(10)]
    data = write(tmp_path / name, values)
    monkeypatch.setattr(llava, "_CHUNK_BYTES", chunk)
    assert [json.loads(raw) for raw in llava.read_records(data.path)] == values


def test_gzip_and_indented_files_are_read(tmp_path: Path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps([record(1)], indent=2).encode()))
    assert ids(DataConfig(path=str(path))) == ["id1@0"]


def test_a_list_that_breaks_off_is_an_error(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([record(1), record(2)])[:-40])
    with pytest.raises(InputError, match=r"after 1 records.*cut short"):
        list(read_records(DataConfig(path=str(path))))


@pytest.mark.parametrize(("text", "words"), [("[]", "holds no records"), ("", "holds no records"), ("id,a", "begins")])
def test_a_file_without_records_is_an_error(tmp_path: Path, text: str, words: str):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=words):
        ids(DataConfig(path=str(tmp_path / "a.json")))


def test_a_coco_file_is_no_dataset(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(InputError, match="begins with an object that is no record"):
        ids(DataConfig(path=str(tmp_path / "a.json")))


def test_a_folder_without_a_run_and_a_missing_file_are_errors(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").touch()
    with pytest.raises(InputError, match=r"folder without a run\.json"):
        ids(DataConfig(path=str(tmp_path / "folder")))
    with pytest.raises(InputError, match="there is no"):
        ids(DataConfig(path=str(tmp_path / "nothing.json")))


TABLES = {
    "kind=conversation/shard-00001.parquet": [record(3)],
    "kind=reasoning/shard-00000.parquet": [record(2)],
    "kind=conversation/shard-00000.parquet": [record(1)],
}


def test_a_run_is_read_by_shard_and_then_by_kind(tmp_path: Path):
    data = write_run(tmp_path / "run", TABLES)
    assert ids(data) == ["id1", "id2", "id3"]
    assert ids(DataConfig(path=data.path, limit=2)) == ["id1", "id2"]
    assert ids(DataConfig(path=data.path, kinds=("reasoning",))) == ["id2"]
    assert next(read_records(data)).turns[1] == Turn("gpt", "A man, 1.")


def test_kinds_that_are_not_there_are_refused(tmp_path: Path):
    data = write_run(tmp_path / "run", TABLES)
    with pytest.raises(ConfigError, match="names detailed; .* has conversation, reasoning"):
        ids(DataConfig(path=data.path, kinds=("detailed",)))
    file = write(tmp_path / "a.json", [record(1)])
    with pytest.raises(ConfigError, match="is a file"):
        ids(DataConfig(path=file.path, kinds=("detailed",)))


def test_a_runs_images_are_its_own_unless_the_configuration_says_otherwise(tmp_path: Path):
    data = write_run(tmp_path / "run", TABLES)
    assert image_folder(data) == "pictures"
    assert image_folder(DataConfig(path=data.path, images="mine")) == "mine"
    assert image_folder(write(tmp_path / "a.json", [record(1)])) is None


def test_the_fingerprint_follows_the_content_and_not_the_place(tmp_path: Path):
    one, two = (write_run(tmp_path / name, TABLES) for name in ("one", "two"))
    assert fingerprint_dataset(one) == fingerprint_dataset(two)
    assert fingerprint_dataset(one) != fingerprint_dataset(DataConfig(path=one.path, limit=1))
    changed = write_run(tmp_path / "two", TABLES | {"kind=reasoning/shard-00000.parquet": [record(9)]})
    assert fingerprint_dataset(one) != fingerprint_dataset(changed)
    assert len(dataset_files(one)) == 3


def test_memory_does_not_grow_with_the_file(tmp_path: Path):
    def peak(count: int) -> int:
        data = write(tmp_path / "a.json", [record(i, note="x" * 2000) for i in range(count)])
        tracemalloc.start()
        assert sum(1 for _ in read_records(data)) == count
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(10_000) < 1.2 * peak(2_000)
