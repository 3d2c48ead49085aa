"""Contact sheets of the synthetic scenes, plain and with skeletons; the documentation's pictures.

::

    python -m kpray.reports.synthetic_sheets --out docs/images --count 20 --seed 22
"""

from __future__ import annotations

import argparse

from kpray import storage
from kpray.coco.synthetic import SyntheticScene, as_scene, render, synthesize
from kpray.coco.synthetic.write import jpeg
from kpray.reports.contact_sheet import contact_sheet
from kpray.reports.skeleton import draw_scene


def write_sheets(folder: str, *, count: int, seed: int) -> tuple[str, str]:
    """Write ``synthetic_contact_sheet.jpg`` and ``synthetic_skeletons.jpg``.

    Args:
        folder: Where to.
        count: How many scenes, from index 0.
        seed: Of the series.

    Returns:
        The two paths.
    """
    scenes = [synthesize(index, seed) for index in range(count)]
    plain = [(render(s), s.captions[0]) for s in scenes]
    drawn = [(draw_scene(image, as_scene(s)), _poses(s)) for (image, _), s in zip(plain, scenes, strict=True)]
    paths = tuple(storage.join(folder, name) for name in ("synthetic_contact_sheet.jpg", "synthetic_skeletons.jpg"))
    for path, tiles in zip(paths, (plain, drawn), strict=True):
        storage.write_bytes(path, jpeg(contact_sheet(tiles, columns=4, tile_px=320)))
    return paths[0], paths[1]


def _poses(scene: SyntheticScene) -> str:
    """What is left to right in the picture is listed in that order."""
    in_order = sorted(scene.people, key=lambda person: person.box_xywh_px[0])
    return ", ".join(person.pose.replace("_", " ") for person in in_order)


def main() -> None:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser(prog="python -m kpray.reports.synthetic_sheets", description="Contact sheets.")
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--count", type=int, default=20, metavar="N")
    parser.add_argument("--seed", type=int, default=22, metavar="N")
    args = parser.parse_args()
    print(*write_sheets(args.out, count=args.count, seed=args.seed))


if __name__ == "__main__":
    main()
