"""The time of a training step: kpray's loop under Ray Train against a bare DeepSpeed loop and Hugging Face's Trainer.

Run from the repository's root::

    python benchmarks/train_steps.py --images $KPRAY_COCO/images/val2017 --repeats 3 --json
    python benchmarks/train_steps.py --model MODEL --length 2048 --batch 2 --images DIR    # where there are GPUs

All ways train the same model (a random LLaVA of 8 million weights unless ``--model`` is given) with the same DeepSpeed
settings (ZeRO-3), the same number of workers, and the same micro-batches, which are made once by kpray's own feeding
code and saved. Each run of a way starts processes of its own; repeats alternate between the ways.

- ``bare``: ``engine(...)``, ``backward``, ``step`` and nothing else; micro-batches in memory.
- ``trainer``: Hugging Face's Trainer, logging to TensorBoard in every step; micro-batches in memory.
- ``kpray``: kpray's workers under Ray Train, with all logs; micro-batches in memory.
- ``kpray_files``: the same, but fed as a real run is: feeders open, decode and tokenize image files ahead of the steps.
- ``side_by_side``: kpray's loop and the bare one in the same two workers, step by step in turn. A busy machine hits
  both alike, so this is the one to read for small differences.

``step, s`` is the median of a run's steps without its first ones, then over the repeats; from one asking for data to
the next, so logging is in it. ``of bare`` is the median over the repeats of the ratio to the bare run of the same
repeat (for side_by_side: of all pairs of steps). ``CPU, s`` is what all workers together take for a step, without Ray's
own processes and the feeders. ``first step, s`` is from the start of the command to the end of the first step, the data
having been prepared. ``waiting`` is the share of the steps that went by waiting for data, from the run's metrics.jsonl.

Ray lowers the priority of its workers (by 15); the other ways' are lowered as much, so that a busy machine treats them
alike.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import torch
from measuring import markdown
from train_parts import SMALL, draw_pictures, save_llava, write_records
from train_step_ways import Task

from kpray.pipelines.session import start_ray, stop_ray
from kpray.training.config import CheckpointConfig, DataConfig, ModelConfig, OptimConfig, TrainConfig, WorkerConfig
from kpray.training.feeding import feed_in_process
from kpray.training.metrics import read_metrics
from kpray.training.prepare import prepare
from kpray.training.step_source import make_plan
from kpray.training.workers import cpus_to_start

WAYS = ("bare", "kpray", "kpray_files", "trainer", "side_by_side")
WAY_FILE = Path(__file__).with_name("train_step_ways.py")
COLUMNS = {
    "way": ("way", None),
    "step_s": ("step, s", 3),
    "of_bare": ("of bare", 3),
    "cpu_s": ("CPU, s", 3),
    "cpu_of_bare": ("of bare", 3),
    "first_s": ("first step, s", 1),
    "waiting": ("waiting", 4),
}


def main() -> None:
    args = _arguments()
    with tempfile.TemporaryDirectory(prefix="kpray-steps-") as folder:
        task = set_up(Path(folder), args)
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in args.ways}
        for repeat in range(args.repeats):
            for way in args.ways:
                runs[way].append(measure(way, _own(task, Path(folder, f"{way}-{repeat}")), args))
                print(f"repeat {repeat + 1}, {way}: {runs[way][-1]}", file=sys.stderr)
    rows = summaries(runs)
    print(markdown(rows, COLUMNS))
    if args.json:
        print(json.dumps(rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", metavar="DIR", help="a model's folder; else a small one is made")
    parser.add_argument("--images", type=Path, metavar="DIR", help="JPEG files to look at; else some are drawn")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="default: bfloat16 where there is a GPU")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--steps", type=int, default=24, help="of each run")
    parser.add_argument("--warm-up", type=int, default=4, help="steps that are not counted")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--feeders", type=int, default=1, help="of each worker, for kpray_files")
    parser.add_argument("--batch", type=int, default=4, help="rows of a micro-batch")
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--length", type=int, default=512, help="tokens of a packed row")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON as the last line")
    return parser.parse_args()


def set_up(folder: Path, args: argparse.Namespace) -> Task:
    """Make the model and the data, prepare the data, and save every worker's micro-batches."""
    images = args.images or folder / "images"
    names = [path.name for path in sorted(images.glob("*.jpg"))] if args.images else draw_pictures(images, 64)
    # A row holds four samples or more, so there are enough records for all steps.
    count = args.steps * args.workers * args.batch * args.accumulation * max(4, args.length // 64)
    texts = write_records(folder / "data.json", names, count)
    config = TrainConfig(
        out=str(folder / "prepared"),
        data=DataConfig(path=str(folder / "data.json"), images=str(images), max_length=args.length),
        model=ModelConfig(
            name=args.model or str(save_llava(folder / "model", texts, SMALL)),
            dtype=args.dtype or ("bfloat16" if torch.cuda.is_available() else "float32"),
        ),
        optim=OptimConfig(batch_size=args.batch, accumulation=args.accumulation, max_steps=args.steps),
        checkpoint=CheckpointConfig(every_steps=None, every_minutes=None),
        workers=WorkerConfig(count=args.workers, feeders=args.feeders),
    )
    start_ray(num_cpus=cpus_to_start(config.workers), address="local")
    data = prepare(config)
    stop_ray()
    global_batch = args.batch * args.accumulation * args.workers
    plan = make_plan(config, data, global_batch)
    assert plan.steps == args.steps, f"expected {args.steps} steps; the data makes {plan.steps}: make more records"
    (folder / "batches").mkdir()
    for rank in range(args.workers):
        steps = feed_in_process(config, data, plan, rank=rank, world=args.workers)
        torch.save([step.micro_batches for step in steps], folder / "batches" / f"rank-{rank}.pt")
    return Task(config, data, global_batch, str(folder / "batches"), args.steps)


def _own(task: Task, out: Path) -> Task:
    out.mkdir()
    return task._replace(config=msgspec.structs.replace(task.config, out=str(out)))


def measure(way: str, task: Task, args: argparse.Namespace) -> dict[str, Any]:
    """Run one way once."""
    out = Path(task.config.out)
    (out / "task.json").write_bytes(msgspec.json.encode(task))
    began = time.time()
    _run(way, out, workers=args.workers)
    if way == "side_by_side":
        return _pairs(out, args.warm_up)
    marks = _marks(out, "marks")
    figures = {
        "step_s": statistics.median(_wall(marks, args.warm_up)),
        "cpu_s": statistics.median(_cpu(marks, args.warm_up)),
        "first_s": max(worker[1][0] for worker in marks) - began,
    }
    metrics = read_metrics(str(out))[args.warm_up :]
    if way == "kpray_files":
        figures["waiting"] = sum(m.stall_s for m in metrics) / sum(m.step_s for m in metrics)
    return figures


def _run(way: str, out: Path, *, workers: int) -> None:
    """Start a way's processes and wait for them; what they say is shown where one fails."""
    command = [sys.executable, str(WAY_FILE), way, str(out / "task.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "0", "TOKENIZERS_PARALLELISM": "false"}
    if not torch.cuda.is_available():
        environment["DS_ACCELERATOR"] = "cpu"
    own, niced = (_torchrun(workers), ["nice", "-n", "15"]) if way in ("bare", "trainer") else ([{}], [])
    with (out / "said.txt").open("w") as said:
        processes = [
            subprocess.Popen(niced + command, env=environment | one, stdout=said, stderr=subprocess.STDOUT)
            for one in own
        ]
        codes = [process.wait() for process in processes]
    if any(codes):
        raise RuntimeError(f"{way} ended with {codes}:\n{(out / 'said.txt').read_text()[-4000:]}")


def _torchrun(workers: int) -> list[dict[str, str]]:
    """What torchrun puts into the environment of each worker."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(workers)}
    return [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(workers)]


Moments = list[list[float]]
"""A worker's marks: wall clock and CPU seconds."""


def _marks(out: Path, name: str) -> list[Moments]:
    return [json.loads(path.read_text()) for path in sorted(out.glob(f"{name}-*.json"))]


def _wall(marks: list[Moments], warm_up: int) -> list[float]:
    """Seconds of each step, as the first worker saw them; the others wait for it."""
    return [after[0] - before[0] for before, after in itertools.pairwise(marks[0])][warm_up:]


def _cpu(marks: list[Moments], warm_up: int) -> list[float]:
    """CPU seconds of each step, of all workers."""
    workers = [[after[1] - before[1] for before, after in itertools.pairwise(own)] for own in marks]
    return [sum(step) for step in zip(*workers, strict=True)][warm_up:]


def _pairs(out: Path, warm_up: int) -> dict[str, Any]:
    """Our steps against the bare ones that ran in turn with them; marks are at the beginning and end of each."""
    ours, bare = _marks(out, "ours"), _marks(out, "bare")
    wall = [(o, b) for o, b in zip(_wall(ours, 0)[::2], _wall(bare, 0)[::2], strict=True)][warm_up:]
    cpu = [(o, b) for o, b in zip(_cpu(ours, 0)[::2], _cpu(bare, 0)[::2], strict=True)][warm_up:]
    return {
        "step_s": statistics.median(o for o, _ in wall),
        "cpu_s": statistics.median(o for o, _ in cpu),
        "of_bare": statistics.median(o / b for o, b in wall),
        "cpu_of_bare": statistics.median(o / b for o, b in cpu),
    }


def summaries(runs: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each way: medians over its repeats, and of its ratios to the bare run of the same repeat."""
    rows = []
    for way, repeats in runs.items():
        row: dict[str, Any] = {key: statistics.median(one[key] for one in repeats) for key in repeats[0]}
        for key, figure in (("of_bare", "step_s"), ("cpu_of_bare", "cpu_s")):
            if key not in row and "bare" in runs:
                pairs = zip(repeats, runs["bare"], strict=True)
                row[key] = statistics.median(one[figure] / bare[figure] for one, bare in pairs)
        rows.append({"way": way} | row)
    return rows


if __name__ == "__main__":
    main()
