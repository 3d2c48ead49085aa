"""How fast the embedded teacher's data is made, against the plain way.

Run from the repository's root, with the folder that holds COCO's ``annotations/``::

    python benchmarks/generating.py --coco COCO_FOLDER --repeats 3

Two ways, each measurement in a process of its own, all in the same run:

- ``plain loop``: pycocotools loads the files; a Python loop in one process builds each scene from its records,
  computes its pose codes, writes the three kinds with the same rules (`kpray.teachers.geometric.compose`) and collects
  them in a list that is dumped as LLaVA JSON at the end. No prompts, no checks, no ledger, no resume.
- ``kpray``: `kpray generate` as a user runs it: reading, prompts, ledger, parsing, Parquet, ``llava.json``.

Time is from the call to the last byte, without imports; Ray's start is given apart and not counted. Memory is the
peak resident set of the largest process that does the work (see `measuring`). Datasets as in `reading`.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measuring import Timings, main, medians
from reading import prepare

Files = Mapping[str, str]


def with_a_plain_loop(files: Files, out: str) -> Timings:
    from pycocotools.coco import COCO

    from kpray.pose import scene_codes
    from kpray.schemas import KIND_NAMES
    from kpray.teachers.geometric.compose import compose_from_codes

    start, cpu_start = time.perf_counter(), time.process_time()
    keypoints, captions = COCO(files["keypoints"]), COCO(files["captions"])
    instances = COCO(files["instances"]) if "instances" in files else None
    records = []
    for image_id in sorted(keypoints.imgs):
        scene = _scene(image_id, keypoints, captions, instances)
        if not any(person.num_labelled for person in scene.people):
            continue
        codes = scene_codes(scene)
        for kind in KIND_NAMES:
            for i, qa in enumerate(compose_from_codes(kind, scene, codes, seed=0)):
                turns = [
                    {"from": "human", "value": f"<image>\n{qa.question}"},
                    {"from": "gpt", "value": qa.answer},
                ]
                records.append({"id": f"{image_id}-{kind}-{i}", "image": scene.file_name, "conversations": turns})
    Path(out, "llava.json").write_text(json.dumps(records))
    return {"seconds": time.perf_counter() - start, "cpu_s": time.process_time() - cpu_start, "samples": len(records)}


def _scene(image_id: int, keypoints: Any, captions: Any, instances: Any) -> Any:
    from kpray.schemas import Person, Scene, SceneObject

    image = keypoints.imgs[image_id]
    width, height = image["width"], image["height"]

    def box(xywh: list[float]) -> tuple[float, float, float, float]:
        x, y, w, h = xywh
        return (x / width, y / height, (x + w) / width, (y + h) / height)

    people = []
    for row in keypoints.imgToAnns[image_id]:
        if not row["iscrowd"]:
            numbers = row["keypoints"]
            triples = [(numbers[i] / width, numbers[i + 1] / height, numbers[i + 2]) for i in range(0, 51, 3)]
            labelled = sum(v > 0 for _, _, v in triples)
            people.append(Person(row["id"], box(row["bbox"]), tuple(triples), labelled, row["area"]))
    objects = []
    for row in instances.imgToAnns[image_id] if instances else []:
        name = instances.cats[row["category_id"]]["name"]
        if not row["iscrowd"] and name != "person":
            objects.append(SceneObject(row["id"], name, box(row["bbox"])))
    texts = tuple(row["caption"].strip() for row in captions.imgToAnns[image_id])
    return Scene(str(image_id), image["file_name"], "", width, height, None, texts, tuple(objects), tuple(people))


def with_kpray(files: Files, out: str) -> Timings:
    from kpray.config import GenerateConfig
    from kpray.pipelines.generate import generate
    from kpray.pipelines.session import start_ray, stop_ray

    begin = time.perf_counter()
    start_ray(address="local")
    start = time.perf_counter()
    manifest = generate(GenerateConfig(out=str(Path(out, "run")), **files))
    seconds = time.perf_counter() - start
    stop_ray()
    return {"start_s": start - begin, "seconds": seconds, "samples": sum(manifest.totals["samples"].values())}


WAYS = {"plain loop": with_a_plain_loop, "kpray": with_kpray}


def run(coco: Path, repeats: int) -> list[dict[str, Any]]:
    """Measure both ways on every dataset; medians of the repeats, which alternate."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for images, files in prepare(coco / "annotations", Path(folder)).items():
            measured = medians(WAYS, files, repeats)
            for way, figures in measured.items():
                ratio = measured["plain loop"]["seconds"] / figures["seconds"]
                rows.append({"images": images, "way": way, **figures, "speedup": ratio})
    return rows


COLUMNS = {
    "images": ("images", None),
    "way": ("way", None),
    "seconds": ("time, s", 1),
    "speedup": ("times as fast", 2),
    "cpu_s": ("CPU, s", 1),
    "peak_mb": ("largest process, MB", 0),
    "samples": ("samples", 0),
    "start_s": ("Ray's start, s", 1),
}


if __name__ == "__main__":
    main(__doc__, run, COLUMNS)
