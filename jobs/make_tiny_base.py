"""Make ``tiny-base``, the model that kpray's demo is to fine-tune: 7.3 minutes of CPU when it was measured.

    python jobs/make_tiny_base.py --out runs/tiny-base --work runs/tiny-work

As a job on a cluster: ``ray job submit --working-dir . -- python jobs/make_tiny_base.py --out DIR --work DIR``. A call
that was stopped goes on behind the last stage that was done, in the same work folder.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import msgspec
import torch

from kpray.training.tiny.recipe import Recipe, make_base


def main() -> None:
    """Read the arguments, make the model, print the figures."""
    parser = argparse.ArgumentParser(description="Make tiny-base, the model that kpray's demo fine-tunes.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the model")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="folder for pictures and stages")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, another model")
    args = parser.parse_args()
    torch.set_num_threads(1)  # so small a model gains nothing from more, and one gives the same result everywhere
    started, cpu_started = time.perf_counter(), time.process_time()
    figures = make_base(msgspec.structs.replace(Recipe(), seed=args.seed), work=args.work, out=args.out)
    print(", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    print(
        f"took {time.perf_counter() - started:.0f} s, {time.process_time() - cpu_started:.0f} s of CPU in this process"
    )
    print(f"the model is in {args.out}")


if __name__ == "__main__":
    main()
