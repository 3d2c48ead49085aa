from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from scenes import scene

from kpray import storage
from kpray.coco.rows import scenes_to_table
from kpray.errors import StorageError
from kpray.pipelines.duplicates import Duplicate, find_duplicates, finding, remove_duplicates, removing
from kpray.pipelines.samples import samples_to_table
from kpray.pipelines.shards import ShardFiles
from kpray.quality.duplicates import jaccard, shingles
from kpray.schemas import KIND_NAMES, Lineage, Sample, Turn

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]

SCENES = 24


def make_samples() -> list[Sample]:
    """Samples of all kinds; about half are copies of earlier ones, as they are or with some words changed."""
    draw = random.Random(7)
    words = [f"word{i}" for i in range(200)]
    texts: list[list[str]] = []
    samples = []
    for number in range(SCENES):
        for kind in KIND_NAMES:
            for i in range(12 if kind == "conversation" else 1):
                text = draw.choice(texts).copy() if texts and draw.random() < 0.5 else draw.choices(words, k=80)
                for place in draw.sample(range(0, 80, 4), draw.choice((0, 0, 1, 1, 2, 3))):
                    text[place] = draw.choice(words)
                texts.append(text)
                turns = (Turn("human", f"<image>\n{' '.join(text[:20])}"), Turn("gpt", " ".join(text[20:])))
                lineage = Lineage(f"{number}", "test/test", "0")
                samples.append(Sample(f"{number}-{kind}-{i}", kind, f"{number}", f"{number}.jpg", turns, lineage))
    return samples


SAMPLES = make_samples()


def write_run(folder: Path, shard_size: int, samples: Sequence[Sample] = SAMPLES) -> tuple[ShardFiles, int]:
    files = ShardFiles(str(folder), str(folder / "ledger"))
    shards = -(-SCENES // shard_size)
    for shard in range(shards):
        numbers = range(shard * shard_size, min(SCENES, (shard + 1) * shard_size))
        tables = {files.scenes(shard): scenes_to_table([scene(str(number)) for number in numbers])}
        for kind in KIND_NAMES:
            here = [s for s in samples if s.kind == kind and int(s.scene_id) in numbers]
            tables[files.samples(kind, shard)] = samples_to_table(here)
        for path, table in tables.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path, compression="zstd")
    return files, shards


def remove(run: tuple[ShardFiles, int], threshold: float | None = 0.9) -> removing.DuplicateReport:
    files, shards = run
    return remove_duplicates(files, KIND_NAMES, shards, threshold)


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    files = sorted(folder.glob(f"{name}/*/*.parquet"))
    found: list[dict[str, Any]] = pads.dataset(files).to_table().to_pylist() if files else []
    return found


def dropped(folder: Path) -> dict[str, tuple[str, float]]:
    return {row["sample_id"]: (row["duplicate_of"], row["similarity"]) for row in rows(folder, "duplicates")}


def by_the_rule(threshold: float) -> dict[str, tuple[str, float]]:
    """The rule as it is worded, over all pairs."""
    found: dict[str, tuple[str, float]] = {}
    kept: list[tuple[str, Any]] = []
    for sample in SAMPLES:
        these = shingles(turn.value for turn in sample.conversations)
        first = next(((i, s) for i, other in kept if (s := jaccard(other, these)) >= threshold), None)
        if first:
            found[sample.sample_id] = first
        else:
            kept.append((sample.sample_id, these))
    return found


def hashes(folder: Path) -> dict[str, str]:
    files = sorted([*folder.glob("samples/*/*"), *folder.glob("duplicates/*/*")])
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(("shard_size", "threshold"), [(1, 0.9), (5, 0.9), (100, 0.9), (5, 0.7), (5, 1.0)])
def test_what_is_dropped_follows_the_rule_for_any_shards(tmp_path: Path, shard_size: int, threshold: float) -> None:
    report = remove(write_run(tmp_path, shard_size), threshold)
    expected = by_the_rule(threshold)
    assert dropped(tmp_path) == expected
    assert 20 < len(expected) < len(SAMPLES)
    assert sum(report.by_kind.values()) == len(expected) == report.within_image + report.across_images
    kinds = [sample_id.split("-")[1] for sample_id in expected]
    assert report.by_kind == {kind: kinds.count(kind) for kind in KIND_NAMES}
    assert report.within_image == sum(a.split("-")[0] == b.split("-")[0] for a, (b, _) in expected.items()) > 0


def test_rows_move_whole_and_in_order(tmp_path: Path) -> None:
    remove(write_run(tmp_path, 5))
    everything = {sample.sample_id: samples_to_table([sample]).to_pylist()[0] for sample in SAMPLES}
    moved = rows(tmp_path, "duplicates")
    marks = [{name: row.pop(name) for name in ("duplicate_of", "similarity")} for row in moved]
    assert all(mark["duplicate_of"] not in dropped(tmp_path) for mark in marks)
    for row in [*moved, *rows(tmp_path, "samples")]:
        assert row == everything.pop(row["sample_id"])
    assert not everything
    order = {sample.sample_id: i for i, sample in enumerate(SAMPLES)}
    for path in [*tmp_path.glob("samples/*/*"), *tmp_path.glob("duplicates/*/*")]:
        places = [order[sample_id] for sample_id in pq.read_table(path)["sample_id"].to_pylist()]
        assert places == sorted(places)


@pytest.mark.parametrize("parts_per_partition", [1, 3])
def test_nothing_depends_on_how_the_work_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts_per_partition: int
) -> None:
    monkeypatch.setattr(finding, "_PARTS_PER_PARTITION", parts_per_partition)
    shuffled = random.Random(parts_per_partition).sample(SAMPLES, len(SAMPLES))
    write_run(tmp_path, 3, shuffled)
    texts = removing.ShardTexts(ShardFiles(str(tmp_path), ""), KIND_NAMES)
    found = find_duplicates(texts, 8, 0.9)
    assert {
        texts.read(part)[one.place].sample_id: (one.duplicate_of, one.similarity)
        for part, duplicates in found.items()
        for one in duplicates
    } == by_the_rule(0.9)


def test_a_second_time_nothing_is_written(tmp_path: Path) -> None:
    run = write_run(tmp_path, 5)
    first = remove(run)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert remove(run) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == times


def test_another_threshold_needs_no_memory_of_the_first(tmp_path: Path) -> None:
    run, direct = write_run(tmp_path / "a", 5), write_run(tmp_path / "b", 5)
    before = hashes(tmp_path / "a")
    for threshold in (0.7, 1.0, 0.9):
        remove(run, threshold)
    remove(direct, 0.9)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b") != before
    assert remove(run, None) == removing.DuplicateReport({}, 0, 0)
    assert hashes(tmp_path / "a") == before


class Killed(BaseException):
    pass


class Fuse:
    """Lets some calls through, and kills at the next."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __call__(self, act: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any) -> None:
            if not self.calls:
                raise Killed
            self.calls -= 1
            act(*arguments)

        return guarded


def move(texts: removing.ShardTexts, shard: int, wanted: dict[int, list[Duplicate]]) -> None:
    batch = {"shard": np.array([shard]), "dropped": [msgspec.msgpack.encode(wanted.get(shard, []))]}
    removing._move_batch(batch, texts=texts)


@pytest.mark.parametrize(("begin", "end"), [(None, 0.9), (0.9, None), (1.0, 0.7), (0.7, 1.0), (0.9, 0.8)])
def test_a_move_that_is_killed_loses_nothing_and_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: float | None, end: float | None
) -> None:
    """Killed before its first write or deletion, then before its second, and so on until none is left."""
    files, shards = write_run(tmp_path, SCENES)
    assert shards == 1
    texts = removing.ShardTexts(files, KIND_NAMES)
    intact = texts.read(0)
    before, wanted = ({} if t is None else find_duplicates(texts, shards, t) for t in (begin, end))
    move(texts, 0, wanted)
    expected = hashes(tmp_path)
    move(texts, 0, before)
    kills = 0
    while True:
        fuse = Fuse(kills)
        with monkeypatch.context() as patch:
            patch.setattr(removing, "_write", fuse(removing._write))
            patch.setattr(storage, "delete", fuse(storage.delete))
            try:
                move(texts, 0, wanted)
            except Killed:
                kills += 1
            else:
                break
        assert texts.read(0) == intact  # so what is decided next is the same
        move(texts, 0, wanted)
        assert hashes(tmp_path) == expected
        move(texts, 0, before)
    assert hashes(tmp_path) == expected
    assert kills >= 2


def test_a_run_may_lie_on_s3(tmp_path: Path, s3_url: str) -> None:
    files, shards = write_run(tmp_path, 12)
    remote = ShardFiles(storage.join(s3_url, "duplicates-test"), "")
    for name in storage.list_files(str(tmp_path)):
        storage.write_bytes(storage.join(remote.run, name), (tmp_path / name).read_bytes())
    report = remove((remote, shards))
    assert report == remove((files, shards))
    for name in storage.list_files(str(tmp_path / "duplicates")):
        at = storage.join(remote.run, "duplicates", name)
        assert storage.read_bytes(at) == (tmp_path / "duplicates" / name).read_bytes()


def test_a_shard_that_cannot_be_read_ends_it_in_one_sentence(tmp_path: Path) -> None:
    files, shards = write_run(tmp_path, 12)
    Path(files.scenes(1)).unlink()
    with pytest.raises(StorageError, match="there is no file .*shard-00001.parquet"):
        remove((files, shards))


def test_a_run_without_shards_has_no_duplicates(tmp_path: Path) -> None:
    assert remove((ShardFiles(str(tmp_path), ""), 0)) == removing.DuplicateReport({}, 0, 0)
