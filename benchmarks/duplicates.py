"""How fast and in how much memory near duplicates are found and taken out, against datasketch alone.

Run from the repository's root::

    python benchmarks/duplicates.py --samples 200000

Samples of 80 words, drawn by seed from a vocabulary of 5,000, in shards of 1,000. A tenth of them copy an earlier one,
with none to three of their words changed, so some are near duplicates at 0.9 and some are not. Two ways, each in a
process of its own, on the same files:

- ``datasketch``: the library's own way in one process: strings as shingles, hashed with SHA-1; `MinHash` and
  `MinHashLSH` with the bands that kpray uses; the estimate decides, nothing is verified, and nothing is moved.
- ``kpray on Ray``: `remove_duplicates`: found on a cluster of this machine's CPUs, verified, and moved. Ray's start is
  reported apart. Then once more, with nothing left to move.

``wrong`` counts the samples that are dropped and should not be, ``missed`` those that should be and are not, by the
true similarities of copies with what they were copied from (unrelated samples share next to nothing).
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from measuring import Timings, in_new_process, markdown

SHARD = 1_000
WORDS = 80
THRESHOLD = 0.9
KIND = "detailed"


def draw_texts(count: int) -> Iterator[tuple[str, int]]:
    """Texts, each with the number of the text that it was copied from (its own for an original)."""
    draw = random.Random(11)
    vocabulary = [f"w{i}" for i in range(5_000)]
    originals: list[tuple[int, list[str]]] = []
    for number in range(count):
        source, words = number, draw.choices(vocabulary, k=WORDS)
        if originals and draw.random() < 0.1:
            source, words = draw.choice(originals)
            words = words.copy()
            for place in draw.sample(range(WORDS), draw.randint(0, 3)):
                words[place] = draw.choice(vocabulary)
        elif len(originals) < 50_000:
            originals.append((number, words))
        yield " ".join(words), source


def write_run(folder: Path, count: int) -> set[str]:
    """Write shards of scenes and samples, and tell the ids of those that should be dropped.

    Each copy is compared with the kept texts of its family.
    """
    from kpray.quality.duplicates import Hashes, jaccard, shingles

    kept: dict[int, list[Hashes]] = {}
    dropped = set()
    shard: list[str] = []
    for number, (text, source) in enumerate(draw_texts(count)):
        these, family = shingles([text]), kept.setdefault(source, [])
        if any(jaccard(one, these) >= THRESHOLD for one in family):
            dropped.add(sample_id(number))
        else:
            family.append(these)
        shard.append(text)
        if len(shard) == SHARD or number == count - 1:
            write_shard(folder, number + 1 - len(shard), shard)
            shard = []
    return dropped


def sample_id(number: int) -> str:
    return f"{number}-{KIND}-0"


def write_shard(folder: Path, first: int, texts: list[str]) -> None:
    from kpray.coco.rows import scenes_to_table
    from kpray.pipelines.samples import samples_to_table
    from kpray.schemas import Lineage, Sample, Scene, Turn

    numbers = range(first, first + len(texts))
    scenes = [Scene(str(n), f"{n}.jpg", "drawn", 1, 1, None, (), (), ()) for n in numbers]
    samples = [
        Sample(
            sample_id(n), KIND, str(n), f"{n}.jpg", (Turn("human", "<image>"), Turn("gpt", text)), Lineage("", "", "")
        )
        for n, text in zip(numbers, texts, strict=True)
    ]
    for name, table in (("scenes", scenes_to_table(scenes)), (f"samples/kind={KIND}", samples_to_table(samples))):
        (folder / name).mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / name / f"shard-{first // SHARD:05}.parquet", compression="zstd")


def with_datasketch(argument: tuple[str, int, set[str]], out: str) -> Timings:
    from datasketch import MinHash, MinHashLSH

    from kpray.quality.duplicates import PERMUTATIONS, band_rows

    run, shards, expected = argument
    rows = band_rows(THRESHOLD)
    started, dropped = time.perf_counter(), set()
    index = MinHashLSH(num_perm=PERMUTATIONS, params=(PERMUTATIONS // rows, rows))
    known: dict[str, MinHash] = {}
    permutations = MinHash(PERMUTATIONS).permutations
    for shard in range(shards):
        table = pq.read_table(f"{run}/samples/kind={KIND}/shard-{shard:05}.parquet", partitioning=None)
        for row in table.select(["sample_id", "conversations"]).to_pylist():
            words = row["conversations"][1]["value"].split()
            sketch = MinHash(PERMUTATIONS, permutations=permutations, scheme="affine32")
            sketch.update_batch([" ".join(words[i : i + 3]).encode() for i in range(len(words) - 2)])
            if any(sketch.jaccard(known[name]) >= THRESHOLD for name in index.query(sketch)):
                dropped.add(row["sample_id"])
            else:
                known[row["sample_id"]] = sketch
                index.insert(row["sample_id"], sketch)
    return {"seconds": time.perf_counter() - started, **judged(dropped, expected)}


def with_kpray(argument: tuple[str, int, set[str]], out: str) -> Timings:
    from kpray.pipelines.duplicates import remove_duplicates
    from kpray.pipelines.session import start_ray, stop_ray
    from kpray.pipelines.shards import ShardFiles

    run, shards, expected = argument
    marks = [time.perf_counter()]
    start_ray(address="local")
    for _ in range(2):
        marks.append(time.perf_counter())
        remove_duplicates(ShardFiles(run, ""), [KIND], shards, THRESHOLD)
    marks.append(time.perf_counter())
    stop_ray()
    files = Path(run).glob("duplicates/*/*")
    dropped = {name for file in files for name in pq.read_table(file, partitioning=None)["sample_id"].to_pylist()}
    times = {"start_s": marks[1] - marks[0], "seconds": marks[2] - marks[1], "again_s": marks[3] - marks[2]}
    return {**times, **judged(dropped, expected)}


def judged(dropped: set[str], expected: set[str]) -> Timings:
    return {"dropped": len(dropped), "wrong": len(dropped - expected), "missed": len(expected - dropped)}


COLUMNS = {
    "way": ("way", None),
    "seconds": ("time, s", 1),
    "again_s": ("again, s", 1),
    "start_s": ("Ray's start, s", 1),
    "peak_mb": ("largest process, MB", 0),
    "sum_mb": ("all processes, MB", 0),
    "dropped": ("dropped", 0),
    "wrong": ("wrong", 0),
    "missed": ("missed", 0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200_000)
    count = parser.parse_args().samples
    with tempfile.TemporaryDirectory() as folder:
        expected = write_run(Path(folder), count)
        argument = (folder, -(-count // SHARD), expected)
        print(f"{count:,} samples, {len(expected):,} to drop")
        ways = {"datasketch": with_datasketch, "kpray on Ray": with_kpray}
        rows: list[dict[str, Any]] = [{"way": way, **in_new_process(work, argument)} for way, work in ways.items()]
    print(markdown(rows, COLUMNS))


if __name__ == "__main__":
    main()
