"""How fast and in how much memory COCO is read, against pycocotools.

Run from the repository's root, with the folder that holds COCO's ``annotations/``::

    python benchmarks/reading.py --coco COCO_FOLDER --repeats 3

Three readers, each measurement in a process of its own, all in the same run:

- ``pycocotools``: ``COCO(file)`` for each file and nothing more: parsed and indexed in memory, but neither
  joined nor written. It cannot read gzip, so all readers get unzipped files.
- ``kpray``: files to joined, converted, checked and filtered scenes in Parquet, in one process, without Ray.
- ``kpray on Ray``: the same by ``write_scenes``, on a cluster of this machine's CPUs, once to warm up its
  workers (reported apart, as is its start) and once measured.

Time is from the call to the last byte written, without imports; CPU is the process's own, all its threads.
Memory is the peak resident set (VmHWM, so Linux only) of the largest process that does the work, from its
start: this process, and on Ray also the workers. The sum is over all processes, Ray's own among them, sampled
every 50 ms; pages that they share count more than once.

Datasets: val2017 (5,000 images, 2,346 with labelled keypoints), train2017 as far as it was rebuilt (54,918
images), and 10,000 images cut from that. train2017 has no captions file here: five captions an image are drawn
by seed from those of val2017.
"""

from __future__ import annotations

import gzip
import json
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measuring import Timings, main, medians

SHARD_SIZE = 500

Files = Mapping[str, str]


def read_with_pycocotools(files: Files, out: str) -> Timings:
    from pycocotools.coco import COCO

    start, cpu_start = time.perf_counter(), time.process_time()
    loaded = [COCO(path) for path in files.values()]
    assert all(coco.imgs for coco in loaded)
    return {"seconds": time.perf_counter() - start, "cpu_s": time.process_time() - cpu_start}


def read_in_one_process(files: Files, out: str) -> Timings:
    import pyarrow.parquet as pq

    from kpray import storage
    from kpray.coco import CocoSource, SceneFilter
    from kpray.coco.reader import read_tables

    start, cpu_start = time.perf_counter(), time.process_time()
    for number, table in enumerate(read_tables(CocoSource(**files), SceneFilter())):
        with storage.open_atomic(storage.join(out, f"{number}.parquet")) as stream:
            pq.write_table(table, stream, use_dictionary=["split"])
    return {"seconds": time.perf_counter() - start, "cpu_s": time.process_time() - cpu_start}


def read_on_ray(files: Files, out: str) -> Timings:
    from kpray.coco import CocoSource, SceneFilter
    from kpray.pipelines.scenes import write_scenes
    from kpray.pipelines.session import start_ray, stop_ray

    marks = [time.perf_counter()]
    start_ray(address="local")
    marks.append(time.perf_counter())
    for _ in range(2):
        write_scenes(CocoSource(**files), SceneFilter(), out, SHARD_SIZE)
        marks.append(time.perf_counter())
    stop_ray()
    return {"start_s": marks[1] - marks[0], "first_s": marks[2] - marks[1], "seconds": marks[3] - marks[2]}


READERS = {"pycocotools": read_with_pycocotools, "kpray": read_in_one_process, "kpray on Ray": read_on_ray}


def prepare(annotations: Path, folder: Path) -> dict[str, Files]:
    """Name the files of each dataset, making those that are not there."""
    captions = json.loads((annotations / "captions_val2017.json").read_bytes())["annotations"]
    texts = [row["caption"] for row in captions]
    keypoints = json.loads(gzip.decompress((annotations / "person_keypoints_train2017_rebuilt.json.gz").read_bytes()))
    return {
        "2,346 (val2017)": {
            "captions": str(annotations / "captions_val2017.json"),
            "keypoints": str(annotations / "person_keypoints_val2017_rebuilt.json"),
            "instances": str(annotations / "instances_val2017_subset.json"),
        },
        "10,000": _write_files(folder / "10000", keypoints, texts, keypoints["images"][:10_000]),
        "54,918": _write_files(folder / "54918", keypoints, texts, keypoints["images"]),
    }


def _write_files(folder: Path, document: dict[str, Any], texts: Sequence[str], images: list[Any]) -> Files:
    folder.mkdir()
    draw = random.Random(2017)
    ids = {image["id"] for image in images}
    people = [row for row in document["annotations"] if row["image_id"] in ids]
    captions = [
        {"id": 5 * i + j, "image_id": image["id"], "caption": draw.choice(texts)}
        for i, image in enumerate(images)
        for j in range(5)
    ]
    contents = {
        "keypoints": {**document, "images": images, "annotations": people},
        "captions": {"info": document["info"], "images": images, "annotations": captions},
    }
    paths = {role: folder / f"{role}_train2017.json" for role in contents}
    for role, content in contents.items():
        paths[role].write_text(json.dumps(content))
    return {role: str(path) for role, path in paths.items()}


def run(coco: Path, repeats: int) -> list[dict[str, Any]]:
    """Measure every reader on every dataset; medians of the repeats, which alternate between readers."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for images, files in prepare(coco / "annotations", Path(folder)).items():
            for reader, figures in medians(READERS, files, repeats).items():
                rows.append({"images": images, "reader": reader, **figures})
    return rows


COLUMNS = {
    "images": ("images", None),
    "reader": ("reader", None),
    "seconds": ("time, s", 2),
    "cpu_s": ("CPU, s", 2),
    "peak_mb": ("largest process, MB", 0),
    "sum_mb": ("all processes, MB", 0),
    "start_s": ("Ray's start, s", 1),
    "first_s": ("first time, s", 1),
}


if __name__ == "__main__":
    main(__doc__, run, COLUMNS)
