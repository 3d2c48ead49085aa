"""Write synthetic scenes as COCO files: ``python -m kpray.coco.synthetic --out DIR --count N --seed N``."""

from __future__ import annotations

import argparse

from kpray.coco.synthetic.write import write_coco


def main() -> None:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser(
        prog="python -m kpray.coco.synthetic", description="Write synthetic scenes as COCO files."
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for annotations/ and images/")
    parser.add_argument("--count", type=int, required=True, metavar="N", help="how many scenes")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, another series")
    args = parser.parse_args()
    files = write_coco(args.out, count=args.count, seed=args.seed)
    print(f"{args.count} scenes: {files.captions}, {files.keypoints}, {files.instances}, {files.images}")


if __name__ == "__main__":
    main()
