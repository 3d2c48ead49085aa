"""Scenes to fine-tune on, as COCO files with small pictures, for `kpray generate`.

From a shell::

    python -m kpray.training.tiny.data --out runs/tiny-scenes --count 3000 --seed 0

docs/tiny_model.md has the commands that follow. Small pictures, since a model of 112 px gains nothing from larger ones
and opening them would take half of the minutes.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
from pathlib import Path

from kpray import storage
from kpray.coco.synthetic import SyntheticFiles, render, synthesize, write_coco
from kpray.coco.synthetic.write import jpeg
from kpray.training.tiny.scenes import lone_scenes, smaller


def write_scenes(folder: Path, *, count: int, seed: int) -> SyntheticFiles:
    """Write the first scenes of a series with one person in them.

    Annotations are of the whole series as far as needed; ``lone.txt`` lists the images to use.

    Args:
        folder: Where to.
        count: How many scenes with one person.
        seed: Of the series.

    Returns:
        Where the files are.
    """
    chosen = list(itertools.islice(lone_scenes(seed), count))
    files = write_coco(folder, count=chosen[-1] + 1, seed=seed, images=False)
    listed = "".join(f"{index + 1}\n" for index in chosen)  # image ids of `write_coco` start at 1
    storage.write_bytes(str(folder / "lone.txt"), listed.encode())
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_paint, [(files.images, index, seed) for index in chosen], chunksize=32)
    return files


def _paint(which: tuple[str, int, int]) -> None:
    images, index, seed = which
    picture = render(smaller(synthesize(index, seed)))
    storage.write_bytes(storage.join(images, f"{index + 1:012d}.jpg"), jpeg(picture))


def main() -> None:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser(
        prog="python -m kpray.training.tiny.data", description="Write scenes to fine-tune tiny-base on."
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for annotations/ and images/")
    parser.add_argument("--count", type=int, default=3000, metavar="N", help="how many scenes")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, another series")
    args = parser.parse_args()
    files = write_scenes(args.out, count=args.count, seed=args.seed)
    print(f"{args.count} scenes: {files.captions}, {files.keypoints}, {files.instances}, {files.images}")
    print(f"the images to use: {args.out / 'lone.txt'}")


if __name__ == "__main__":
    main()
