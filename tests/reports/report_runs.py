"""Runs on disk as `kpray generate` leaves them, written without it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scenes import person, scene

from kpray.coco.rows import scenes_to_table
from kpray.schemas import Fault, GroundedClaim, KindName, Lineage, Rejected, Sample, Scene, Turn

ANSWER = "The man has his left arm raised and stands."


def claim(text: str, words: str, **changes: Any) -> GroundedClaim:
    """A claim that some words of an answer make; keyword arguments replace fields."""
    start = text.index(words)
    fields: dict[str, Any] = {
        "turn": 1,
        "start": start,
        "end": start + len(words),
        "name": "arm",
        "value": "raised",
        "side": "left",
        "negated": False,
        "hedged": False,
        "verdict": "contradicted",
        "people": (0,),
        "person": 0,
        "code": "left arm=down",
        "keypoints": (5, 7, 9),
        "margin": 3.25,
    }
    return GroundedClaim(**{**fields, **changes})


def sample(sample_id: str, answer: str = ANSWER, *, kind: KindName = "conversation", **changes: Any) -> Sample:
    """A sample about scene 7 of one exchange; keyword arguments replace fields."""
    fields: dict[str, Any] = {
        "scene_id": "7",
        "image": "000000000007.jpg",
        "conversations": (Turn("human", "<image>\nWhat is he doing?"), Turn("gpt", answer)),
        "lineage": Lineage("a" * 32, "openai/gpt-4o", "wording"),
    }
    return Sample(sample_id=sample_id, kind=kind, **{**fields, **changes})


def two_claims(answer: str = ANSWER) -> tuple[GroundedClaim, ...]:
    """What `ANSWER` says: an arm that is not raised, and standing, which is so."""
    standing = {"name": "posture", "value": "standing", "side": "", "verdict": "supported", "code": "posture=standing"}
    return (
        claim(answer, "left arm raised"),
        claim(answer, "stands", keypoints=(11, 12, 13, 14, 15, 16), margin=1.5, **standing),
    )


def reject(reason: str = "mentions_keypoints", **changes: Any) -> Rejected:
    """A reject of the checks; keyword arguments replace fields."""
    fields: dict[str, Any] = {
        "scene_id": "7",
        "kind": "reasoning",
        "request_id": "b" * 32,
        "stage": "check",
        "detail": "it speaks of keypoints",
        "seen": "<image>\nWhy?\nThe keypoints say so.",
    }
    return Rejected(reason=reason, **{**fields, **changes})


def default_scenes() -> list[Scene]:
    """Scene 7 with one person, scene 8 with two."""
    second = person(2, box_xyxy_norm=(0.0, 0.08, 0.3, 0.93))
    return [scene("7"), scene("8", people=(person(), second))]


def default_samples() -> list[Sample]:
    """One sample of each kind: contradicted, with a fault, without claims."""
    fault = Fault("form", "too_short", 1, 0, 3, "the answer is too short")
    return [
        sample("7-conversation-0", claims=two_claims()),
        sample("7-detailed-0", "A man.", kind="detailed", faults=(fault,)),
        sample("8-reasoning-0", "Nothing follows from this.", kind="reasoning", scene_id="8"),
    ]


MANIFEST: dict[str, Any] = {
    "config": {"out": "runs/tiny"},
    "identity": {"inputs": {"captions": "abc"}, "recipe": {"model": "openai/gpt-4o", "seed": 3, "sampling": {}}},
    "software": {"kpray": "0.1.0"},
    "reading": {"images": 4, "dropped": {"min_people": 2}, "image_folder": None},
    "totals": {
        "scenes": 2,
        "requests": 5,
        "unanswered": 1,
        "prompt_tokens": 1200,
        "completion_tokens": 300,
        "usd": 0.25,
    },
    "spending": {"replies": 4, "spent_usd": 0.25},
    "sessions": [{"started_at": "2026-05-04T03:02:01+00:00", "elapsed_s": 12.0, "status": "complete"}],
}


def write_run(
    folder: Path,
    *,
    scenes: Sequence[Scene] | None = None,
    samples: Sequence[Sample] | None = None,
    rejected: Sequence[Rejected] = (),
    rejected_samples: Sequence[Sample] = (),
    duplicates: Iterable[tuple[Sample, str]] = (),
    shards: int = 1,
    images: bool = False,
    columns_left_out: Sequence[str] = (),
    **manifest: Any,
) -> Path:
    """Write a run's folder; without arguments, a tiny one. Keyword arguments of other names go into `run.json`."""
    scenes = default_scenes() if scenes is None else scenes
    samples = default_samples() if samples is None else samples
    _write_scenes(folder, scenes, images)
    for kind in {s.kind for s in samples}:
        rows = [msgspec.to_builtins(s) for s in samples if s.kind == kind]
        _write_rows(folder / "samples" / f"kind={kind}", rows, shards, columns_left_out)
    rejects = [msgspec.to_builtins(r) for r in rejected]
    rejects += [_rejected_row(removed) for removed in rejected_samples]
    _write_rows(folder / "rejected", rejects, shards)
    for removed, original in duplicates:
        row = msgspec.to_builtins(removed) | {"duplicate_of": original, "similarity": 0.93}
        _write_rows(folder / "duplicates" / f"kind={removed.kind}", [row], 1)
    reading = MANIFEST["reading"] | {"image_folder": str(folder / "images") if images else None}
    (folder / "run.json").write_text(json.dumps({**MANIFEST, "reading": reading, **manifest}))
    return folder


def _rejected_row(removed: Sample) -> dict[str, Any]:
    """A reject that keeps its conversation and what was found in it."""
    fields = msgspec.to_builtins(removed)
    text = {name: fields[name] for name in ("conversations", "claims", "faults")}
    about = reject("contradicted", kind=removed.kind, scene_id=removed.scene_id, detail="the keypoints show otherwise")
    return msgspec.to_builtins(about) | text


def _write_scenes(folder: Path, scenes: Sequence[Scene], images: bool) -> None:
    (folder / "scenes").mkdir(parents=True)
    pq.write_table(scenes_to_table(scenes), folder / "scenes" / "shard-00000.parquet")
    if images:
        (folder / "images").mkdir()
        for described in scenes:
            Image.new("RGB", (640, 640), (90, 120, 160)).save(folder / "images" / described.file_name)


def _write_rows(folder: Path, rows: list[dict[str, Any]], shards: int, left_out: Sequence[str] = ()) -> None:
    """Rows dealt out to shards, so that their order differs with the number of shards."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        some = [{name: value for name, value in row.items() if name not in left_out} for row in rows[shard::shards]]
        if some:
            pq.write_table(pa.Table.from_pylist(some), folder / f"shard-{shard:05}.parquet")
