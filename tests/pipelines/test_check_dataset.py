from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from scenes import scene

from kpray import llava
from kpray.coco import CocoSource
from kpray.coco.rows import scenes_to_table
from kpray.coco.synthetic import write_coco
from kpray.errors import InputError, StorageError
from kpray.pipelines import check_dataset as check_dataset_module
from kpray.pipelines.check_dataset import check_dataset, records
from kpray.pipelines.check_dataset.records import Record, Unreadable, parse, read_part, split
from kpray.pipelines.check_dataset.scenes import SceneFolder
from kpray.pipelines.check_dataset.verdicts import Counts, total


def record(record_id: Any, answer: str = "He runs along the beach.", **more: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nWhat is he doing?"}, {"from": "gpt", "value": answer}]
    return {"id": record_id, "image": "000000000001.jpg", "conversations": turns, **more}


HARD_TEXTS = [
    'a "quoted" [word]',
    "a \\ and } and ]",
    "tabs\tand\nlines, ,,",
    "größer 写真 \u2028 \U0001f600",
    "{",
    "",
    "\\",
]


def write(folder: Path, rows: list[Any], form: str) -> str:
    path = folder / f"data-{form}.json{'.gz' if form.endswith('gz') else ''}"
    text = {
        "compact": lambda: json.dumps(rows, separators=(",", ":")),
        "pretty": lambda: "\ufeff \n" + json.dumps(rows, indent=4, ensure_ascii=False) + "\n\n",
        "lines": lambda: "".join(
            json.dumps(row, ensure_ascii=False).replace("\u2028", "\\u2028") + "\n" for row in rows
        ),
        "last-line-open": lambda: "\n".join(json.dumps(row) for row in rows),
        "gz": lambda: json.dumps(rows),
    }[form]()
    path.write_bytes(gzip.compress(text.encode()) if form == "gz" else text.encode())
    return str(path)


@pytest.mark.parametrize("form", ["compact", "pretty", "lines", "last-line-open", "gz"])
@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 20])
def test_records_are_the_same_however_they_are_written_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, chunk_bytes: int
) -> None:
    monkeypatch.setattr(llava, "_CHUNK_BYTES", chunk_bytes)
    rows = [record(i, text, extra=[{"a": [1, 2.5e3]}, None]) for i, text in enumerate(HARD_TEXTS)]
    path = write(tmp_path, rows, form)
    assert [json.loads(raw) for raw in llava.read_records(path)] == rows


def test_parts_have_a_fixed_number_of_records(tmp_path: Path) -> None:
    path = write(tmp_path, [record(i) for i in range(7)], "compact")
    assert list(split(path, str(tmp_path / "parts"), part_records=3)) == [3, 3, 1]
    parts = [read_part(str(tmp_path / "parts"), part) for part in range(3)]
    assert [json.loads(raw)["id"] for part in parts for raw in part] == list(range(7))


def test_a_part_ends_where_it_grows_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_PART_BYTES", 5_000)
    path = write(tmp_path, [record(i, "x" * 3_000) for i in range(5)], "lines")
    assert list(split(path, str(tmp_path / "parts"))) == [2, 2, 1]


@pytest.mark.parametrize(
    ("raw", "record_id", "detail"),
    [
        (b'{"id": "a"}', "a", "Object missing required field `conversations`"),
        (b'{"id": 7, "conversations": []}', "7", "`conversations` is empty"),
        (
            b'{"id": "b", "conversations": [{"from": "user", "value": "x"}]}',
            "b",
            "`conversations[0].from`: Invalid enum",
        ),
        (
            b'{"id": "c", "conversations": [{"from": "gpt", "value": 4}]}',
            "c",
            "`conversations[0].value`: Expected `str`",
        ),
        (b'{"id": "d", "image": ["x.jpg"], "conversations": []}', "d", "`image`: Expected `str | null`"),
        (b'{"id": "e", "conversations": [', "", "truncated"),
        (b"42", "", "Expected `object`, got `int`"),
        (b"\xff", "", "malformed"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(raw: bytes, record_id: str, detail: str) -> None:
    found = parse(raw)
    assert isinstance(found, Unreadable)
    assert found.record_id == record_id
    assert detail in found.detail


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"id": "12-conversation-3"}, "conversation"),
        ({"id": "12-reasoning"}, "reasoning"),
        ({"id": "12", "kind": "detailed"}, "detailed"),
        ({"id": "12", "category": "complex_reasoning"}, "reasoning"),
        ({"id": "12", "category": "Detail"}, "detailed"),
        ({"id": "12", "category": "poem"}, None),
        ({"id": "000000134754"}, None),
    ],
)
def test_the_kind_is_told_by_a_field_or_by_an_id_of_kpray(fields: dict[str, str], kind: str | None) -> None:
    found = parse(json.dumps({**record(""), **fields}).encode())
    assert isinstance(found, Record)
    assert found.kind == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no records"),
        ("[]", "holds no records"),
        ("hello", "begins with 'hello'. Expected LLaVA's format"),
        ('{"images": [], "annotations": []}', "begins with an object that is no record"),
        ('[{"id": 1}, {"id": 2}, {"id"', "after 2 records, .* may be cut short"),
        ('[{"id": 1}', "after 1 records, .*the list does not end|may be cut short"),
        ('[{"id": 1}, {id: 2}]', "after 1 records, .*id: 2.* is not JSON"),
    ],
)
def test_a_file_that_is_no_dataset_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(InputError, match=message):
        list(split(str(tmp_path / "data.json"), str(tmp_path / "parts")))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_bytes(b'[{"id": "\xff\xfe"}]')
    with pytest.raises(InputError, match="UTF-8"):
        list(llava.read_records(str(tmp_path / "data.json")))


def scene_folder(folder: Path, *file_names: str) -> SceneFolder:
    scenes = [scene(str(i), file_name=name) for i, name in zip((9, 10, 134754), file_names, strict=True)]
    for number, some in enumerate((scenes[:2], scenes[2:])):
        pq.write_table(scenes_to_table(some), folder / f"shard-{number:05}.parquet")
    return SceneFolder.of(str(folder))


def test_images_find_their_scenes_by_cocos_names(tmp_path: Path) -> None:
    folder = scene_folder(tmp_path, "000000000009.jpg", "000000000010.jpg", "COCO_train2014_000000134754.jpg")
    images = ["COCO_train2014_000000000009.jpg", "train2017/000000134754.jpg", "000000000010.png"]
    found = folder.find([*images, "", "000000000011.jpg", "000000000001.jpg", "gqa/images/9.jpg", "cat.jpg"])
    assert {image: found[image].scene_id for image in found} == dict(zip(images, ("9", "134754", "10"), strict=True))


def test_images_of_other_names_are_found_only_by_the_very_name(tmp_path: Path) -> None:
    folder = scene_folder(tmp_path, "9.jpg", "10.jpg", "134754.jpg")
    assert set(folder.find(["mine/9.jpg", "000000000010.jpg", "134754.png"])) == {"mine/9.jpg"}


def test_counts_of_parts_add_up() -> None:
    one = Counts(records=2, verdicts={"leak": 2}, reasons={"leak/a": 2}, claims={"arm": {"supported": 1}}, duplicates=1)
    other = Counts(records=3, verdicts={"passed": 3}, claims={"arm": {"supported": 1, "contradicted": 1}})
    whole = total([one, other])
    assert (whole.records, whole.duplicates, whole.verdicts) == (5, 1, {"passed": 3, "leak": 2})
    assert whole.claims == {"arm": {"supported": 2, "contradicted": 1}}


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> CocoSource:
    files = write_coco(tmp_path_factory.mktemp("coco"), count=12, seed=0, images=False)
    return CocoSource(files.captions, files.keypoints, files.instances)


ONE_PERSON = "train2017/000000000008.jpg"
"""Of the synthetic scenes of seed 0: one person, and no crowd."""


def long_text(seed: int) -> str:
    draw = random.Random(seed)
    return f"A view of {' '.join(draw.choices(['sand', 'sea', 'sun', 'sky', 'boats', 'birds', 'waves'], k=60))}."


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
class TestOnRay:
    def rows(self) -> list[Any]:
        return [
            record("good", "One person is in the picture, by the sea.", image=ONE_PERSON),
            record("wrong", "There are four people in the picture.", image=ONE_PERSON),
            record("leak", "The keypoints show that he runs along the beach.", image="other/unknown.jpg"),
            "no record",
            record("long", long_text(1)),
            record("copy", long_text(1)),
            record("other", long_text(2)),
            record("near", long_text(1).replace("A view", "One view"), image="another.jpg"),
            {"id": "half"},
        ]

    def test_every_record_gets_its_verdict(self, tmp_path: Path, coco: CocoSource) -> None:
        path, out = write(tmp_path, self.rows(), "compact"), tmp_path / "out"
        summary = check_dataset(path, source=coco, out=str(out), threshold=0.9)
        table = pq.read_table(out / "verdicts").to_pylist()
        assert [row["record"] for row in table] == list(range(9))
        assert [row["id"] for row in table] == ["good", "wrong", "leak", "", "long", "copy", "other", "near", "half"]
        by_id = {row["id"]: row for row in table}
        expected = {"good": "passed", "wrong": "contradicted", "leak": "leak", "": "unreadable", "half": "unreadable"}
        assert {name: by_id[name]["verdict"] for name in expected} == expected
        assert [by_id[name]["scene_id"] for name in ("good", "wrong", "leak", "half")] == ["8", "8", None, None]
        assert by_id["good"]["claims"][0]["verdict"] == "supported"
        (fault,) = (fault for fault in by_id["wrong"]["faults"] if fault["check"] == "grounding")
        assert "four people" in "There are four people in the picture."[fault["start"] : fault["end"]]
        assert {i: row["duplicate_of"] for i, row in enumerate(table) if row["duplicate_of"] is not None} == {
            5: 4,
            7: 4,
        }
        counts = summary.counts
        assert (counts.records, counts.duplicates, counts.duplicates_within_image) == (9, 2, 1)
        assert [(one.record, one.id) for one in counts.unreadable] == [(3, ""), (8, "half")]
        assert counts.verdicts["contradicted"] == counts.verdicts["leak"] == 1
        written = json.loads((out / "summary.json").read_text())
        assert written["verdicts"] == counts.verdicts
        assert sorted(path.name for path in out.iterdir()) == ["README.md", "summary.json", "verdicts"]

    def test_without_annotations_there_are_leaks_and_form_alone(self, tmp_path: Path) -> None:
        summary = check_dataset(write(tmp_path, self.rows(), "lines"), source=None, out=None, threshold=None)
        counts = summary.counts
        assert (counts.with_scene, counts.claims, counts.duplicates) == (0, {}, 0)
        assert "contradicted" not in counts.verdicts
        assert counts.verdicts["leak"] == 1
        assert not summary.grounded

    def test_nothing_depends_on_the_parts(
        self, tmp_path: Path, coco: CocoSource, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(tmp_path, self.rows(), "compact")
        whole = check_dataset(path, source=coco, out=str(tmp_path / "whole"), threshold=0.9)
        verdicts = pq.read_table(tmp_path / "whole" / "verdicts").to_pylist()
        monkeypatch.setattr(check_dataset_module, "PART_RECORDS", 2)
        cut = check_dataset(path, source=coco, out=str(tmp_path / "cut"), threshold=0.9)
        assert pq.read_table(tmp_path / "cut" / "verdicts").to_pylist() == verdicts
        assert len(list((tmp_path / "cut" / "verdicts").iterdir())) == 5
        assert cut.counts == whole.counts

    def test_a_second_check_replaces_the_first(self, tmp_path: Path) -> None:
        out = str(tmp_path / "out")
        check_dataset(write(tmp_path, self.rows(), "lines"), source=None, out=out, threshold=0.9)
        (tmp_path / "out" / "verdicts" / "part-00009.parquet").write_bytes(b"left over")
        check_dataset(write(tmp_path, [record("one")], "compact"), source=None, out=out, threshold=0.9)
        assert pq.read_table(tmp_path / "out" / "verdicts")["id"].to_pylist() == ["one"]

    def test_errors_arrive_as_one_sentence_and_leave_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "bad.json").write_text("[{")
        with pytest.raises(InputError) as bad:
            check_dataset(str(tmp_path / "bad.json"), source=None, out=str(tmp_path / "out"), threshold=0.9)
        assert "\n" not in str(bad.value)
        with pytest.raises(StorageError, match="there is no file .*nowhere.json$"):
            check_dataset(str(tmp_path / "nowhere.json"), source=None, out=str(tmp_path / "out"), threshold=0.9)
        assert not list(tmp_path.glob("out/*"))
