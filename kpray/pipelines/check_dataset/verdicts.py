"""A part of a dataset, judged: a row for each record, and the counts over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from kpray import storage
from kpray.pipelines.check_dataset.records import Record, Unreadable, parse, read_part
from kpray.pipelines.check_dataset.scenes import SceneFolder
from kpray.pipelines.duplicates import Duplicate, Text
from kpray.pipelines.samples import SAMPLE_SCHEMA
from kpray.pose import PoseCode, scenes_codes
from kpray.quality.checks import GRAVEST_FIRST, check
from kpray.schemas import Fault, GroundedClaim, Scene

VerdictOfRecord = Literal["passed", "leak", "contradicted", "form", "unreadable"]

_VERDICT_OF: Final[Mapping[str, VerdictOfRecord]] = {
    "leak": "leak",
    "grounding": "contradicted",
    "form": "form",
}
"""By family of checks."""

_LISTED: Final = 50
"""How many unreadable records are listed in the summary; all are in the verdicts."""


class Verdict(msgspec.Struct, frozen=True):
    """What was found in one record.

    Attributes:
        record: Its place in the dataset, from 0.
        id: As the dataset has it; not always unique.
        image: Likewise.
        kind: As far as it is known.
        scene_id: Of the scene of its image; None where none was found or looked for.
        verdict: ``passed``, or its gravest fault.
        detail: Why it is unreadable; else empty.
        faults: All that were found.
        claims: What it says that pose codes could decide; empty without a scene.
        duplicate_of: Place of the first record that it is a near duplicate of, or None.
        similarity: Of the two, or None.
    """

    record: int
    id: str
    image: str
    kind: str | None
    scene_id: str | None
    verdict: VerdictOfRecord
    detail: str = ""
    faults: tuple[Fault, ...] = ()
    claims: tuple[GroundedClaim, ...] = ()
    duplicate_of: int | None = None
    similarity: float | None = None


VERDICT_SCHEMA: Final = pa.schema(
    [
        ("record", pa.int64()),
        *((name, pa.string()) for name in ("id", "image", "kind", "scene_id", "verdict", "detail")),
        ("faults", SAMPLE_SCHEMA.field("faults").type),
        ("claims", SAMPLE_SCHEMA.field("claims").type),
        ("duplicate_of", pa.int64()),
        ("similarity", pa.float64()),
    ]
)
"""Columns of ``verdicts/``: `Verdict`, one a row."""


class Listed(msgspec.Struct, frozen=True):
    """An unreadable record, as it is listed in the summary."""

    record: int
    id: str
    detail: str


class Counts(msgspec.Struct, frozen=True):
    """Counts over verdicts. Those of parts add up to those of the whole.

    Attributes:
        records: All of them, the unreadable ones too.
        with_scene: Those whose scene was found.
        duplicates: Those that are near duplicates of an earlier one.
        duplicates_within_image: Of these, those whose earlier one has the same image.
        verdicts: Records by verdict.
        reasons: Records by ``check/reason``, for each reason that they have.
        kinds: Records by kind.
        claims: By name and verdict.
        unreadable: The first unreadable records.
    """

    records: int = 0
    with_scene: int = 0
    duplicates: int = 0
    duplicates_within_image: int = 0
    verdicts: dict[str, int] = {}
    reasons: dict[str, int] = {}
    kinds: dict[str, int] = {}
    claims: dict[str, dict[str, int]] = {}
    unreadable: tuple[Listed, ...] = ()


class PartTexts(msgspec.Struct, frozen=True):
    """The parts of a dataset, for `kpray.pipelines.duplicates`; samples are known by their place in the dataset.

    Attributes:
        folder: See `read_part`.
        edges: Place of the first record of each part; at the end, the number of records.
    """

    folder: str
    edges: tuple[int, ...]

    def read(self, part: int) -> list[Text]:
        """See `Texts`. An unreadable record is a text of its own that is like no other."""
        records = enumerate(map(parse, read_part(self.folder, part)), start=self.edges[part])
        return [
            Text(str(place), record.image, tuple(turn.value for turn in record.turns))
            if isinstance(record, Record)
            else Text(str(place), "", (f"unreadable {place}",))
            for place, record in records
        ]


class Judging(msgspec.Struct, frozen=True):
    """What every task needs to judge a part.

    Attributes:
        texts: Where the parts are.
        scenes: Where the scenes are; None for none.
        verdicts: Folder for the verdicts, or None.
    """

    texts: PartTexts
    scenes: SceneFolder | None
    verdicts: str | None


def judge_part(batch: Mapping[str, Any], *, job: Judging) -> dict[str, list[bytes]]:
    """Judge a part (a batch of one) and write its verdicts; a column ``counts`` of encoded `Counts`."""
    (part,) = batch["part"].tolist()
    dropped = {d.place: d for d in msgspec.msgpack.decode(batch["dropped"][0], type=list[Duplicate])}
    records = [parse(raw) for raw in read_part(job.texts.folder, part)]
    scenes = _scenes(records, job.scenes)
    begin = job.texts.edges[part]
    verdicts = [_judge(record, begin + place, scenes, dropped.get(place)) for place, record in enumerate(records)]
    if job.verdicts is not None:
        with storage.open_atomic(storage.join(job.verdicts, f"part-{part:05}.parquet")) as stream:
            pq.write_table(verdicts_to_table(verdicts), stream, compression="zstd")
    within = sum(duplicate.same_image for duplicate in dropped.values())
    return {"counts": [msgspec.json.encode(count(verdicts, within))]}


def _scenes(
    records: Iterable[Record | Unreadable], folder: SceneFolder | None
) -> dict[str, tuple[Scene, tuple[PoseCode, ...]]]:
    """Scenes with their pose codes, by image."""
    if folder is None:
        return {}
    found = folder.find(record.image for record in records if isinstance(record, Record) and record.image)
    codes = scenes_codes(list(found.values()))
    return {image: (scene, of_scene) for (image, scene), of_scene in zip(found.items(), codes, strict=True)}


def _judge(
    record: Record | Unreadable,
    place: int,
    scenes: Mapping[str, tuple[Scene, tuple[PoseCode, ...]]],
    duplicate: Duplicate | None,
) -> Verdict:
    if isinstance(record, Unreadable):
        return Verdict(place, record.record_id, "", None, None, "unreadable", record.detail)
    scene, codes = scenes.get(record.image, (None, None))
    found = check(record.turns, kind=record.kind, scene=scene, codes=codes)
    families = {fault.check for fault in found.faults}
    return Verdict(
        record=place,
        id=record.record_id,
        image=record.image,
        kind=record.kind,
        scene_id=scene.scene_id if scene else None,
        verdict=next((_VERDICT_OF[family] for family in GRAVEST_FIRST if family in families), "passed"),
        faults=found.faults,
        claims=found.claims,
        duplicate_of=int(duplicate.duplicate_of) if duplicate else None,
        similarity=duplicate.similarity if duplicate else None,
    )


def verdicts_to_table(verdicts: Iterable[Verdict]) -> pa.Table:
    """Verdicts as a table of `VERDICT_SCHEMA`."""
    return pa.Table.from_pylist([msgspec.to_builtins(verdict) for verdict in verdicts], schema=VERDICT_SCHEMA)


def count(verdicts: Sequence[Verdict], duplicates_within_image: int) -> Counts:
    """The counts over some verdicts."""
    claims: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        for claim in verdict.claims:
            claims.setdefault(claim.name, Counter())[claim.verdict] += 1
    unreadable = [Listed(v.record, v.id, v.detail) for v in verdicts if v.verdict == "unreadable"]
    return Counts(
        records=len(verdicts),
        with_scene=sum(verdict.scene_id is not None for verdict in verdicts),
        duplicates=sum(verdict.duplicate_of is not None for verdict in verdicts),
        duplicates_within_image=duplicates_within_image,
        verdicts=dict(Counter(verdict.verdict for verdict in verdicts)),
        reasons=dict(Counter(name for v in verdicts for name in {f"{f.check}/{f.reason}" for f in v.faults})),
        kinds=dict(Counter(verdict.kind or "unknown" for verdict in verdicts)),
        claims={name: dict(found) for name, found in claims.items()},
        unreadable=tuple(unreadable[:_LISTED]),
    )


def total(parts: Iterable[Counts]) -> Counts:
    """The counts of the whole; names by how often they are, claims by name."""
    parts = list(parts)
    names = sorted({name for part in parts for name in part.claims})
    listed = sorted((one for part in parts for one in part.unreadable), key=lambda one: one.record)
    return Counts(
        records=sum(part.records for part in parts),
        with_scene=sum(part.with_scene for part in parts),
        duplicates=sum(part.duplicates for part in parts),
        duplicates_within_image=sum(part.duplicates_within_image for part in parts),
        verdicts=_added(part.verdicts for part in parts),
        reasons=_added(part.reasons for part in parts),
        kinds=_added(part.kinds for part in parts),
        claims={name: _added(part.claims.get(name, {}) for part in parts) for name in names},
        unreadable=tuple(listed[:_LISTED]),
    )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    whole: Counter[str] = Counter()
    for one in counts:
        whole.update(one)
    return dict(sorted(whole.items(), key=lambda item: (-item[1], item[0])))
