"""Entries and scenes in the form that the page's script draws."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from kpray.reports.run_report.reading import Entry
from kpray.reports.skeleton import LIMBS
from kpray.schemas import KEYPOINT_NAMES, Fault, GroundedClaim, Scene

_IMAGE_TOKEN: Final = "<image>\n"
_INDEX: Final = {name: index for index, name in enumerate(KEYPOINT_NAMES)}


def skeleton_card() -> dict[str, Any]:
    """Names of the keypoints and the limbs between them, with the person's side that each belongs to."""
    limbs = [{"ends": [_INDEX[a], _INDEX[b]], "side": _side(a) if _side(a) == _side(b) else "middle"} for a, b in LIMBS]
    names = [name.replace("_", " ") for name in KEYPOINT_NAMES]
    return {"names": names, "sides": [_side(name) for name in KEYPOINT_NAMES], "limbs": limbs}


def scene_card(scene: Scene) -> dict[str, Any]:
    """A scene in its own pixels, rounded to tenths."""
    size = (scene.width, scene.height) * 2
    people = zip(scene.boxes_px().round(1).tolist(), scene.keypoints_px().round(1).tolist(), strict=True)
    return {
        "id": scene.scene_id,
        "width": scene.width,
        "height": scene.height,
        "captions": scene.captions,
        "people": [{"box": box, "keypoints": keypoints} for box, keypoints in people],
        "objects": [
            {"name": thing.category, "box": [round(f * s, 1) for f, s in zip(thing.box_xyxy_norm, size, strict=True)]}
            for thing in scene.objects
        ],
    }


def entry_card(entry: Entry) -> dict[str, Any]:
    """An entry; places in its text are counted as JavaScript counts, in UTF-16 units."""
    texts = [turn.value for turn in entry.text.conversations]
    card: dict[str, Any] = {
        "id": entry.entry_id,
        "outcome": entry.outcome,
        "kind": entry.kind,
        "scene": entry.scene_id,
        "turns": [{"from": t.role, "text": t.value.removeprefix(_IMAGE_TOKEN)} for t in entry.text.conversations],
        "claims": [_placed(claim, texts) for claim in entry.text.claims],
        "faults": [_placed(fault, texts) for fault in entry.text.faults],
    }
    if entry.rejected is not None:
        reject = entry.rejected
        seen = "" if texts else reject.seen.removeprefix(_IMAGE_TOKEN)
        card |= {"stage": reject.stage, "reason": reject.reason, "detail": reject.detail, "seen": seen}
    if entry.outcome == "duplicate":
        card |= {"duplicate_of": entry.duplicate_of, "similarity": entry.similarity}
    return card


def _placed(found: GroundedClaim | Fault, texts: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(found)
    text = texts[found.turn] if found.turn < len(texts) else ""
    hidden = len(_IMAGE_TOKEN) if text.startswith(_IMAGE_TOKEN) else 0
    for name in ("start", "end"):
        fields[name] = max(utf16_length(text[: fields[name]]) - hidden, 0)
    return fields


def utf16_length(text: str) -> int:
    """Length of a text in UTF-16 units.

    >>> utf16_length("a"), utf16_length("🏄")
    (1, 2)
    """
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _side(name: str) -> str:
    side = name.partition("_")[0]
    return side if side in ("left", "right") else "middle"
