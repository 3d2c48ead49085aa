"""How often each pose code fires on real COCO people, how fast, and whether captions agree on posture.

Run:
    python benchmarks/pose_codes.py --coco FOLDER
    python benchmarks/pose_codes.py --synthetic 2000

With ``--synthetic N`` codes are compared with the three-dimensional truth of N synthetic scenes; see
`against_truth` for how.

FOLDER has ``annotations/person_keypoints_val2017*.json`` and ``annotations/captions_val2017.json``. The
captions were written by other people than the keypoints, so they check the postures independently: a scene
counts if exactly one person is annotated and at least two captions use words of exactly one posture.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from kpray.coco.synthetic import PoseTruth, as_scene, synthesize
from kpray.pose import PoseCode, scene_codes, scenes_codes
from kpray.pose.rules import RULES
from kpray.schemas import Person, Scene

BATCH = 256

POSTURE_WORDS = {
    "standing": re.compile(r"\b(stand|stands|standing|walks?|walking)\b"),
    "sitting": re.compile(r"\b(sit|sits|sitting|seated)\b"),
    "crouching": re.compile(r"\b(crouch\w*|squat\w*)\b"),
    "kneeling": re.compile(r"\b(kneel\w*)\b"),
    "lying": re.compile(r"\b(lying|lies|laying|lays|sleeping)\b"),
}


def read_scenes(annotations: Path) -> list[Scene]:
    """Scenes with people only: enough for codes about people."""
    found = json.loads(next(annotations.glob("person_keypoints_val2017_rebuilt*.json")).read_bytes())
    said: dict[int, list[str]] = defaultdict(list)
    for caption in json.loads((annotations / "captions_val2017.json").read_bytes())["annotations"]:
        said[caption["image_id"]].append(caption["caption"])
    people: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in found["annotations"]:
        if not annotation["iscrowd"]:
            people[annotation["image_id"]].append(annotation)
    return [_scene(i, people[i["id"]], said[i["id"]]) for i in found["images"] if people[i["id"]]]


def _scene(image: dict[str, Any], people: list[dict[str, Any]], captions: list[str]) -> Scene:
    width, height = image["width"], image["height"]
    return Scene(
        scene_id=str(image["id"]),
        file_name=image["file_name"],
        split="val2017",
        width=width,
        height=height,
        license_id=None,
        captions=tuple(captions),
        objects=(),
        people=tuple(_person(p, width, height) for p in people),
    )


def _person(annotation: dict[str, Any], width: int, height: int) -> Person:
    flat = annotation["keypoints"]
    x, y, w, h = annotation["bbox"]
    return Person(
        annotation_id=annotation["id"],
        box_xyxy_norm=(x / width, y / height, (x + w) / width, (y + h) / height),
        keypoints_xyv_norm=tuple((flat[i] / width, flat[i + 1] / height, flat[i + 2]) for i in range(0, 51, 3)),
        num_labelled=annotation["num_keypoints"],
        area_px=annotation["area"],
    )


def said_posture(scene: Scene) -> str | None:
    """The one posture that at least two captions name, if no other is named."""
    votes = Counter(
        name for text in scene.captions for name, words in POSTURE_WORDS.items() if words.search(text.lower())
    )
    return next(iter(votes)) if len(votes) == 1 and max(votes.values()) >= 2 else None


def against_truth(code: PoseCode, truth: PoseTruth) -> str:
    """``right``, ``adjacent`` or ``wrong``; empty where the truth does not tell.

    Joint angles are binned as the code's own rule does: another bin is adjacent if it is the next one. Posture
    and facing (the nearest of camera, away, image-left, image-right, up, down) must be equal; of the wrist's
    height only the side of the shoulder is compared, along the world's vertical.
    """
    if code.name in ("elbow", "knee", "hip", "arm"):
        rule = RULES[code.name]
        true_bin = sum(truth.angles_deg[f"{code.side}_{code.name}"] > t for t in rule.thresholds)
        return ("right", "adjacent", "wrong")[min(abs(rule.values.index(code.value) - true_bin), 2)]
    if code.name in ("posture", "facing"):
        return "right" if getattr(truth, code.name) == code.value else "wrong"
    if code.name == "wrist_height":
        above = getattr(truth, f"{code.side}_wrist_above_shoulder")
        return "right" if above == code.value.startswith("above") else "wrong"
    return ""


def compare_synthetic(count: int) -> None:
    """Print a row for each code: stated, right, in the next bin, wrong."""
    table: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for first in range(0, count, BATCH):
        drawn = [synthesize(index=i, seed=0) for i in range(first, min(first + BATCH, count))]
        for synthetic, codes in zip(drawn, scenes_codes([as_scene(s) for s in drawn]), strict=True):
            truths = [p.truth for p in synthetic.people if p.area_px]
            for code in codes:
                if code.person >= 0 and (verdict := against_truth(code, truths[code.person])):
                    table[code.name, code.value][verdict] += 1
    print("| code | value | stated | right | next bin | wrong |\n|---|---|---|---|---|---|")
    for (name, value), found in sorted(table.items()):
        print(f"| `{name}` | {value} | {found.total()} | {found['right']} | {found['adjacent']} | {found['wrong']} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--coco", type=Path)
    source.add_argument("--synthetic", type=int, metavar="N")
    options = parser.parse_args()
    if options.synthetic:
        compare_synthetic(options.synthetic)
    else:
        measure(options.coco)


def measure(coco: Path) -> None:
    """Print how often each code fires, the time, and captions against postures."""
    scenes = read_scenes(coco / "annotations")
    start = time.process_time()
    codes: list[tuple[PoseCode, ...]] = [scene_codes(scene) for scene in scenes]
    seconds = time.process_time() - start
    start = time.process_time()
    for first in range(0, len(scenes), BATCH):
        scenes_codes(scenes[first : first + BATCH])
    batched = time.process_time() - start
    people = sum(len(s.people) for s in scenes)
    print(
        f"{len(scenes)} scenes, {people} people, {1e3 * seconds / len(scenes):.2f} ms of CPU per scene one by one, "
        f"{1e3 * batched / len(scenes):.2f} in batches of {BATCH}\n"
    )
    fired = Counter((c.name, c.value) for found in codes for c in found if c.name != "person_count")
    for (name, value), count in sorted(fired.items()):
        print(f"{name:16} {value:26} {count:6}")
    table = Counter(
        (said, code.value)
        for scene, found in zip(scenes, codes, strict=True)
        if len(scene.people) == 1 and (said := said_posture(scene))
        for code in found
        if code.name == "posture"
    )
    agree = sum(n for (said, code), n in table.items() if said == code)
    print(f"\nposture, captions against codes: {agree} of {sum(table.values())} agree")
    for (said, code), count in sorted(table.items()):
        print(f"captions {said:10} code {code:10} {count:5}")


if __name__ == "__main__":
    main()
