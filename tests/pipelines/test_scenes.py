from __future__ import annotations

import io
import json
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kpray import storage
from kpray.coco import CocoSource, ReadingReport, SceneFilter, read_scenes
from kpray.coco.join import RangeJob
from kpray.coco.reader import plan_ranges
from kpray.coco.rows import SCENE_SCHEMA, scenes_to_table, table_to_scenes
from kpray.coco.synthetic import write_coco
from kpray.errors import InputError
from kpray.pipelines import scenes as scenes_module
from kpray.pipelines.scenes import write_scenes

pytestmark = [
    pytest.mark.ray,
    pytest.mark.usefixtures("ray_local"),
]


def write_source(folder: Path, images: int = 25, **annotation: Any) -> CocoSource:
    rows = [{"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 100} for i in reversed(range(images))]
    people = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, 50, 50], "keypoints": [9, 9, 2 * (i % 5 > 0)] * 17}
        for i in range(images)
    ]
    people[-1] |= annotation
    captions = [{"id": i, "image_id": i, "caption": f"Caption {i}."} for i in range(images)]
    keypoints = {"images": rows, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    (folder / "keypoints.json").write_text(json.dumps(keypoints))
    (folder / "captions.json").write_text(json.dumps({"images": rows, "annotations": captions}))
    return CocoSource(str(folder / "captions.json"), str(folder / "keypoints.json"))


def test_shards_hold_the_scenes_of_one_process_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = write_source(tmp_path), tmp_path / "scenes"
    monkeypatch.setattr(scenes_module, "plan_ranges", partial(plan_ranges, range_images=6))
    report = write_scenes(source, SceneFilter(), str(out), shard_size=7)
    tables = [pq.read_table(path) for path in sorted(out.glob("*"))]
    assert sorted(path.name for path in out.iterdir()) == [f"shard-0000{i}.parquet" for i in range(3)]
    assert [table.num_rows for table in tables] == [7, 7, 6]
    assert all(table.schema == SCENE_SCHEMA for table in tables)
    scenes = [scene for table in tables for scene in table_to_scenes(table)]
    assert scenes == list(read_scenes(source, SceneFilter()))
    assert (report.images, report.scenes, report.people, report.captions) == (25, 20, 20, 20)
    assert report.dropped["min_people"] == 5


def test_any_piece_of_a_part_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = list(read_scenes(write_source(tmp_path, 13), SceneFilter()))
    monkeypatch.setattr(scenes_module, "_PART_BATCH_ROWS", 3)
    monkeypatch.setattr(scenes_module, "join_range", lambda _: (scenes_to_table(scenes), ReadingReport()))
    anything = RangeJob([], None, None, SceneFilter())
    part = scenes_module._write_part(scenes_module.PartJob(anything, str(tmp_path / "part.arrow")))
    assert part.scenes == 10
    for begin, end in combinations(range(part.scenes + 1), 2):
        table = scenes_module._read_piece(scenes_module.Piece(part.path, begin, end))
        assert table_to_scenes(table) == scenes[begin:end]


def test_licences_are_counted_by_name(tmp_path: Path) -> None:
    source = write_source(tmp_path)
    document = json.loads(Path(source.keypoints).read_text())
    for row in document["images"]:
        row["license"] = {0: 4, 1: 9}.get(row["id"] % 3)
    document["licenses"] = [{"id": 4, "name": "Attribution License", "url": ""}]
    Path(source.keypoints).write_text(json.dumps(document))
    report = write_scenes(source, SceneFilter(limit=9), str(tmp_path / "scenes"), shard_size=4)
    kept = [1, 2, 3, 4, 6, 7, 8, 9, 11]
    assert report.licenses == {
        "Attribution License": sum(i % 3 == 0 for i in kept),
        "licence 9": sum(i % 3 == 1 for i in kept),
        "not stated": sum(i % 3 == 2 for i in kept),
    }


def test_everything_may_lie_on_s3(tmp_path: Path, s3_url: str) -> None:
    files = write_coco(storage.join(s3_url, "coco"), count=9, seed=1, images=False)
    source, out = CocoSource(files.captions, files.keypoints, files.instances), storage.join(s3_url, "scenes")
    report = write_scenes(source, SceneFilter(), out, shard_size=4)
    assert storage.list_files(out) == [f"shard-0000{i}.parquet" for i in range(3)]
    tables = [pq.read_table(io.BytesIO(storage.read_bytes(storage.join(out, n)))) for n in storage.list_files(out)]
    assert [s for table in tables for s in table_to_scenes(table)] == list(read_scenes(source, SceneFilter()))
    assert report.scenes == 9


def test_a_second_run_gives_the_same_bytes_and_replaces_old_shards(tmp_path: Path) -> None:
    source, out = write_source(tmp_path), tmp_path / "scenes"
    write_scenes(source, SceneFilter(), str(out), shard_size=2)
    first = (out / "shard-00000.parquet").read_bytes()
    write_scenes(source, SceneFilter(limit=3), str(out), shard_size=2)
    assert sorted(path.name for path in out.iterdir()) == ["shard-00000.parquet", "shard-00001.parquet"]
    assert (out / "shard-00000.parquet").read_bytes() == first


def test_the_limit_keeps_the_first_and_is_counted(tmp_path: Path) -> None:
    report = write_scenes(write_source(tmp_path), SceneFilter(limit=3), str(tmp_path / "scenes"), shard_size=100)
    assert (report.scenes, report.people, report.captions, report.dropped["limit"]) == (3, 3, 3, 17)


def test_shards_are_read_by_ray_data(tmp_path: Path) -> None:
    import ray.data

    out = tmp_path / "scenes"
    write_scenes(write_source(tmp_path), SceneFilter(), str(out), shard_size=8)
    rows = ray.data.read_parquet(str(out)).take_all()
    assert sorted(int(row["scene_id"]) for row in rows) == [i for i in range(25) if i % 5]
    assert all(len(row["people"][0]["keypoints_xyv_norm"]) == 51 for row in rows)


@pytest.mark.parametrize("keypoints", [[1] * 50, [9, 9, 0] * 17])
def test_an_error_leaves_earlier_shards_and_no_spill(tmp_path: Path, keypoints: list[int]) -> None:
    out = tmp_path / "scenes"
    write_scenes(write_source(tmp_path, 2), SceneFilter(), str(out), shard_size=8)
    before = [path.read_bytes() for path in out.iterdir()]
    with pytest.raises(InputError, match="annotation 1 has 50 keypoint numbers|no scene is left"):
        write_scenes(write_source(tmp_path, 2, keypoints=keypoints), SceneFilter(), str(out), shard_size=8)
    assert [path.read_bytes() for path in out.iterdir()] == before
