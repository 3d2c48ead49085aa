from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

pytest.importorskip("torch")

from toy_data import record, write_toy_data
from toy_family import toy_encoder

from kpray.errors import ConfigError
from kpray.training import prepare as module
from kpray.training.prepare import prepare

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


def modified(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}


def test_every_record_is_counted_with_its_image(tmp_path: Path):
    config = write_toy_data(tmp_path, 10, record(10, None))
    data = prepare(config, encoder=toy_encoder(tmp_path))
    assert (data.records, data.skipped) == (11, {})
    tokens, supervised = data.lengths()
    # One to begin with, 2x2 or 3x3 for the image, <image> What is in N?, and the answer.
    assert tokens[:3].tolist() == [1 + 4 + 5 + 1, 1 + 9 + 5 + 2, 1 + 4 + 5 + 3]
    assert tokens[10] == 1 + 4 + 5
    assert supervised.tolist() == [1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 5]
    assert (data.tokens, data.supervised) == (tokens.sum(), supervised.sum())
    index = pq.read_table(tmp_path / "out/prepared/index.parquet").to_pylist()
    assert index[3] == {"number": 3, "record_id": "r3@3", "tokens": int(tokens[3]), "supervised": 4}


def test_what_cannot_be_trained_on_is_listed_with_its_reason(tmp_path: Path):
    (tmp_path / "text.png").write_text("no image")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    others = [
        record(91, words=80),
        record(92, answer=" "),
        record(93, "gone.png"),
        record(94, "text.png"),
        record(95, "dot.png"),
        {"id": "r96", "conversations": "?"},
        record(97, answer="Explode."),
    ]
    config = write_toy_data(tmp_path, 3, *others, max_skipped=0.9)
    (tmp_path / "cut.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    data = prepare(config, encoder=toy_encoder(tmp_path))
    rows = pq.read_table(tmp_path / "out/skipped").to_pylist()
    assert {row["record_id"][:3]: row["reason"] for row in rows} == {
        "r91": "too_long",
        "r92": "no_supervised_token",
        "r93": "image_missing",
        "r94": "image_unreadable",
        "r95": "image_unreadable",
        "r96": "malformed",
        "r97": "malformed",
    }
    assert data.records == 3
    assert data.skipped["image_unreadable"] == 2
    details = {row["record_id"][:3]: row["detail"] for row in rows}
    assert "more than `data.max_length` 64" in details["r91"]
    assert "gone.png" in details["r93"]


def test_too_many_skips_stop_the_run_with_counts_and_examples(tmp_path: Path):
    others = [record(i, "gone.png") for i in range(5, 8)] + [record(9, words=80)]
    config = write_toy_data(tmp_path, 5, *others)
    with pytest.raises(ConfigError) as error:
        prepare(config, encoder=toy_encoder(tmp_path))
    message = str(error.value)
    assert "4 of 9 records cannot be trained on (image_missing 3, too_long 1), 44.4%, more than" in message
    assert message.count("\n  r") == 3
    assert "too_long: 9" in message, "an example of each reason"
    assert "gone.png" in message
    assert "data.images" in message
    with pytest.raises(ConfigError, match="4 of 9"):  # also when the preparation is found again
        prepare(config, encoder=toy_encoder(tmp_path))


def test_nothing_left_stops_the_run_whatever_is_allowed(tmp_path: Path):
    config = write_toy_data(tmp_path, 0, record(1, "gone.png"), max_skipped=1.0)
    with pytest.raises(ConfigError, match="1 of 1 records"):
        prepare(config, encoder=toy_encoder(tmp_path))


def test_images_without_a_folder_are_missing_and_say_so(tmp_path: Path):
    config = write_toy_data(tmp_path, 2)
    with pytest.raises(ConfigError, match=r"nothing says where images are; set `data\.images`"):
        prepare(config, encoder=toy_encoder(None))


def test_the_same_preparation_is_found_again(tmp_path: Path):
    config = write_toy_data(tmp_path, 10)
    first = prepare(config, encoder=toy_encoder(tmp_path))
    before = modified(tmp_path)
    assert prepare(config, encoder=toy_encoder(tmp_path)) == first
    assert modified(tmp_path) == before
    assert not (tmp_path / "out/prepared/cut").exists()


@pytest.mark.parametrize("change", ["data", "processor", "max_length", "limit"])
def test_another_dataset_processor_or_limit_is_prepared_anew(tmp_path: Path, change: str):
    config = write_toy_data(tmp_path, 10, record(99, "gone.png"), max_skipped=0.5)
    first = prepare(config, encoder=toy_encoder(tmp_path))
    changes = {"max_length": {"max_length": 100}, "limit": {"limit": 8}}.get(change, {})
    config = write_toy_data(tmp_path, 9 if change == "data" else 10, max_skipped=0.5, **changes)
    if change in ("max_length", "limit", "processor"):
        config = write_toy_data(tmp_path, 10, record(99, "gone.png"), max_skipped=0.5, **changes)
    wording = "Human: AI:" if change == "processor" else "USER: ASSISTANT:"
    second = prepare(config, encoder=toy_encoder(tmp_path, wording=wording))
    assert second.fingerprint != first.fingerprint
    assert second.records == {"data": 9, "limit": 8}.get(change, 10)
    if change in ("data", "limit"):
        assert not list((tmp_path / "out/skipped").glob("*")), "what was skipped before is not listed any more"


def test_an_interrupted_preparation_goes_on_and_makes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PART_RECORDS", 4)
    config = write_toy_data(tmp_path, 20, record(20, "gone.png"), max_skipped=0.5)
    whole = prepare(config, encoder=toy_encoder(tmp_path))
    content = {name: (tmp_path / name).read_bytes() for name in modified(tmp_path)}
    assert whole.part_sizes == (4, 4, 4, 4, 4, 0)

    prepared = tmp_path / "out/prepared"
    (prepared / "prepared.json").unlink()
    for part in ("part-000001", "part-000005"):
        (prepared / f"{part}.parquet").unlink()
    before = modified(tmp_path)
    told: list[tuple[int, int]] = []
    assert prepare(config, encoder=toy_encoder(tmp_path), on_part=lambda *done: told.append(done)) == whole
    after = modified(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in after} == content
    untouched = {"out/prepared/part-000000.parquet", "out/prepared/part-000003.parquet"}
    assert all(after[name] == before[name] for name in untouched)
    assert told == [(5, 6), (6, 6)]


def test_a_model_that_cannot_be_trained_stops_the_run_with_its_own_words(tmp_path: Path):
    with pytest.raises(ConfigError, match="^toy needs a chat template$"):
        prepare(write_toy_data(tmp_path, 3), encoder=toy_encoder(tmp_path, wording=""))


def test_a_worker_that_is_killed_changes_nothing(tmp_path: Path):
    config = write_toy_data(tmp_path, 10)
    (tmp_path / "fatal").touch()
    assert prepare(config, encoder=toy_encoder(tmp_path, fatal=tmp_path / "fatal")).records == 10
    assert not (tmp_path / "fatal").exists(), "a worker was killed"


def test_a_moved_run_is_found_under_its_new_name(tmp_path: Path):
    config = write_toy_data(tmp_path, 4)
    prepare(config, encoder=toy_encoder(tmp_path))
    moved = tmp_path / "moved"
    (tmp_path / "out").rename(moved)
    data = prepare(type(config)(out=str(moved), data=config.data), encoder=toy_encoder(tmp_path))
    assert np.array_equal(data.lengths()[0][:2], [11, 17])


def test_records_come_back_from_the_parts_as_they_were(tmp_path: Path):
    config = write_toy_data(tmp_path, 3)
    row = prepare(config, encoder=toy_encoder(tmp_path)).read_part(0).to_pylist()[2]
    stored = json.loads(row["record"])
    assert (stored["record_id"], stored["image"]) == ("r2@2", "2.png")
    assert stored["turns"][1] == {"from": "gpt", "value": "word word word"}
