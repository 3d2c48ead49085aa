"""Taking near duplicates out of a run: rows move between ``samples/`` and ``duplicates/``.

The set of all samples is always ``samples/`` and ``duplicates/`` together, by sample id. What is dropped is decided
anew over all of them each time, so another threshold, other samples or a second run need no memory of the first. A row
is written to where it goes before it is deleted from where it was; a run that is killed in between leaves it in both
places, where it counts once.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from kpray import storage
from kpray.pipelines.duplicates.finding import Duplicate, Text, find_duplicates, own_errors, rows_of_parts
from kpray.pipelines.samples import SAMPLE_SCHEMA
from kpray.pipelines.shards import ShardFiles
from kpray.schemas import KindName

_ADDED: Final = (pa.field("duplicate_of", pa.string()), pa.field("similarity", pa.float64()))
"""What a row in ``duplicates/`` has besides what it had in ``samples/``."""

_Names = list[tuple[KindName, str]]


class DuplicateReport(msgspec.Struct, frozen=True):
    """How many samples are in ``duplicates/``.

    Attributes:
        by_kind: By the kind of the dropped sample.
        within_image: How many of them duplicate a sample of the same image.
        across_images: How many of another.
    """

    by_kind: dict[str, int]
    within_image: int
    across_images: int


def remove_duplicates(
    files: ShardFiles, kinds: Sequence[KindName], shards: int, threshold: float | None
) -> DuplicateReport:
    """Move the near duplicates of a run to ``duplicates/``, and what is none any more back, on the running cluster.

    Files that are as they should be are not touched. May be killed at any moment and started again.

    Args:
        files: The run's; the samples of all its shards must have been written.
        kinds: Of the run, in the order in which they are kept.
        shards: How many shards it has.
        threshold: Jaccard similarity of three-word shingles from which on the later sample is dropped; None drops
            nothing, and so brings all rows back.

    Raises:
        StorageError: A file cannot be read or written.
    """
    texts = ShardTexts(files, tuple(kinds))
    dropped = {} if threshold is None else find_duplicates(texts, shards, threshold)
    if shards:
        rows = [{"shard": shard, "dropped": msgspec.msgpack.encode(dropped.get(shard, []))} for shard in range(shards)]
        work = rows_of_parts(rows).map_batches(_move_batch, fn_kwargs={"texts": texts}, batch_size=1, num_cpus=0.5)
        with own_errors():
            counts = [msgspec.json.decode(row["counts"], type=dict[str, int]) for row in work.iter_rows()]
    else:
        counts = []
    return _report(kinds, dropped, counts)


def _report(
    kinds: Sequence[KindName], dropped: Mapping[int, list[Duplicate]], counts: Sequence[Mapping[str, int]]
) -> DuplicateReport:
    by_kind: Counter[str] = Counter()
    for shard in counts:
        by_kind.update(shard)
    within = sum(duplicate.same_image for part in dropped.values() for duplicate in part)
    ordered: dict[str, int] = {kind: by_kind[kind] for kind in kinds if by_kind[kind]}
    return DuplicateReport(ordered, within_image=within, across_images=sum(ordered.values()) - within)


class ShardTexts(msgspec.Struct, frozen=True):
    """The samples of a run, in the order of scenes, kinds and ids, wherever they are."""

    files: ShardFiles
    kinds: tuple[KindName, ...]

    def read(self, part: int) -> list[Text]:
        """See `Texts`."""
        columns = ["sample_id", "scene_id", "conversations"]
        by_kind = {kind: _rows(self.files, kind, part, columns) for kind in self.kinds}
        ordered = self._ordered(part, {kind: list(rows.values()) for kind, rows in by_kind.items()})
        return [_text(by_kind[kind][sample_id]) for kind, sample_id in ordered]

    def names(self, part: int) -> _Names:
        """Kind and id of each sample that `read` gives."""
        columns = ["sample_id", "scene_id"]
        return self._ordered(part, {k: list(_rows(self.files, k, part, columns).values()) for k in self.kinds})

    def _ordered(self, part: int, by_kind: Mapping[KindName, Sequence[Mapping[str, Any]]]) -> _Names:
        scenes = _read(self.files.scenes(part), ["scene_id"])["scene_id"].to_pylist()
        place = {scene_id: i for i, scene_id in enumerate(scenes)}
        keys = [
            # Ids of one scene and kind differ in a number at their end, so the shorter is the earlier.
            (place[row["scene_id"]], self.kinds.index(kind), len(row["sample_id"]), row["sample_id"], kind)
            for kind, rows in by_kind.items()
            for row in rows
        ]
        return [(kind, sample_id) for *_, sample_id, kind in sorted(keys)]


def _text(row: Mapping[str, Any]) -> Text:
    return Text(row["sample_id"], row["scene_id"], tuple(turn["value"] for turn in row["conversations"]))


def _read(path: str, columns: list[str] | None = None) -> pa.Table:
    return pq.read_table(io.BytesIO(storage.read_bytes(path)), columns=columns)


def _rows(files: ShardFiles, kind: str, shard: int, columns: list[str]) -> dict[str, dict[str, Any]]:
    """A shard's samples of one kind by id, from both places."""
    paths = (files.samples(kind, shard), files.duplicates(kind, shard))
    return {row["sample_id"]: row for path in paths if storage.exists(path) for row in _read(path, columns).to_pylist()}


def _move_batch(batch: Mapping[str, Any], *, texts: ShardTexts) -> dict[str, list[bytes]]:
    """Bring a shard into the state decided; a column ``counts`` of encoded counts of its dropped samples by kind."""
    (shard,) = batch["shard"].tolist()
    dropped = msgspec.msgpack.decode(batch["dropped"][0], type=list[Duplicate])
    names = texts.names(shard) if dropped else []
    by_kind: dict[KindName, dict[str, Duplicate]] = {kind: {} for kind in texts.kinds}
    for duplicate in dropped:
        kind, sample_id = names[duplicate.place]
        by_kind[kind][sample_id] = duplicate
    for kind, wanted in by_kind.items():
        _move(texts, kind, shard, wanted)
    return {"counts": [msgspec.json.encode({kind: len(wanted) for kind, wanted in by_kind.items()})]}


def _move(texts: ShardTexts, kind: KindName, shard: int, wanted: Mapping[str, Duplicate]) -> None:
    """Let exactly the wanted samples of a shard be in ``duplicates/``."""
    samples_path, duplicates = texts.files.samples(kind, shard), texts.files.duplicates(kind, shard)
    marked = _marked(duplicates)
    target = {sample_id: (found.duplicate_of, found.similarity) for sample_id, found in wanted.items()}
    if not target and not marked and not storage.exists(duplicates):
        return
    kept = set(_read(samples_path, ["sample_id"])["sample_id"].to_pylist())
    if marked == target and kept.isdisjoint(target):
        return
    everything = _everything(texts, kind, shard)
    returning = {sample_id: mark for sample_id, mark in marked.items() if sample_id not in target}
    if marked != target:
        _write_duplicates(duplicates, everything, {**returning, **target})
    if returning or not kept.isdisjoint(target):
        _write(samples_path, _without(everything, target))
    if returning:
        _write_duplicates(duplicates, everything, target)


def _marked(path: str) -> dict[str, tuple[str, float]]:
    if not storage.exists(path):
        return {}
    table = _read(path, ["sample_id", *(field.name for field in _ADDED)])
    ids, of, similarity = (column.to_pylist() for column in table.columns)
    return dict(zip(ids, zip(of, similarity, strict=True), strict=True))


def _everything(texts: ShardTexts, kind: KindName, shard: int) -> pa.Table:
    """All samples of a shard and kind, each once, in their order."""
    table = _read(texts.files.samples(kind, shard))
    dropped = texts.files.duplicates(kind, shard)
    if storage.exists(dropped):
        table = pa.concat_tables([table, _read(dropped).select(table.column_names)])
    row = {sample_id: i for i, sample_id in enumerate(table["sample_id"].to_pylist())}
    ordered = table.take(pa.array([row[sample_id] for k, sample_id in texts.names(shard) if k == kind], pa.int64()))
    return ordered.cast(SAMPLE_SCHEMA)  # Parquet gives the items of lists another name than they were written with


def _without(table: pa.Table, ids: Mapping[str, Any]) -> pa.Table:
    return table.filter(pa.array([sample_id not in ids for sample_id in table["sample_id"].to_pylist()], pa.bool_()))


def _write_duplicates(path: str, everything: pa.Table, marks: Mapping[str, tuple[str, float]]) -> None:
    if not marks:
        storage.delete(path)
        return
    ids = everything["sample_id"].to_pylist()
    table = everything.filter(pa.array([sample_id in marks for sample_id in ids], pa.bool_()))
    added = zip(*(marks[sample_id] for sample_id in ids if sample_id in marks), strict=True)
    for field, values in zip(_ADDED, added, strict=True):
        table = table.append_column(field, pa.array(values, field.type))
    _write(path, table)


def _write(path: str, table: pa.Table) -> None:
    with storage.open_atomic(path) as stream:
        pq.write_table(table.combine_chunks(), stream, compression="zstd")
