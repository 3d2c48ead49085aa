"""Runs of a tiny LLaVA on hand-made steps, through Ray Train and DeepSpeed.

`python hand_fed.py OUT WORKERS` is such a run as a command of its own, which can be killed.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import ray

from kpray.training.board import Watch
from kpray.training.config import (
    CheckpointConfig,
    DataConfig,
    DeepSpeedConfig,
    LoraConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
    WorkerConfig,
)
from kpray.training.job import Job, work
from kpray.training.workers import run_workers

STEPS, ROWS, LENGTH, IMAGE_TOKEN = 10, 4, 24, 60

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers have no tests on their path


class HandStep(NamedTuple):
    number: int
    micro_batches: list[dict[str, Any]]
    record_ids: list[str]


class HandFeed:
    """Four rows a step, divided among the workers in micro-batches of two; the rows follow from the step."""

    def __init__(self, poisoned: int | None = None, batch: int = 2, delay_s: float = 0.0) -> None:
        self._poisoned, self._batch, self._delay_s = poisoned, batch, delay_s

    def accumulation(self, world: int) -> int:
        return ROWS // (self._batch * world)

    def tokens(self, step: int) -> int:
        return ROWS * LENGTH

    def flops(self, step: int) -> float:
        return 1.0

    def longest(self) -> int:
        return LENGTH

    def open(self, rank: int, world: int, from_step: int) -> Iterator[HandStep]:
        for number in range(from_step, STEPS):
            time.sleep(self._delay_s)
            rows = list(range(rank, ROWS, world))
            chunks = [rows[i : i + self._batch] for i in range(0, len(rows), self._batch)]
            yield HandStep(number, [self._batch_of(number, c) for c in chunks], [f"{number}-{row}" for row in rows])

    def _batch_of(self, number: int, rows: list[int]) -> dict[str, Any]:
        import torch

        random = torch.Generator().manual_seed(number)
        ids = torch.randint(5, IMAGE_TOKEN, (ROWS, LENGTH), generator=random)
        ids[:, 1:5] = IMAGE_TOKEN
        pixels = torch.randn(ROWS, 3, 16, 16, generator=random)
        ends = torch.randint(10, LENGTH, (ROWS, 1), generator=random)  # so that rows differ in supervised tokens
        place = torch.arange(LENGTH)[None]
        labels = torch.where((place < 6) | (place >= ends), -100, ids)
        if number == self._poisoned:
            pixels[0] = float("nan")
        return {
            "input_ids": ids[rows],
            "labels": labels[rows],
            "pixel_values": pixels[rows],
            "position_ids": place.repeat(len(rows), 1),
        }


def save_tiny_llava(folder: Path) -> Path:
    """A LLaVA of random weights, without a processor, which hand-made steps do not need."""
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    torch.manual_seed(0)
    shape = {"intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = CLIPVisionConfig(hidden_size=32, image_size=16, patch_size=8, projection_dim=32, **shape)
    text = LlamaConfig(vocab_size=64, hidden_size=64, num_key_value_heads=2, max_position_embeddings=128, **shape)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE_TOKEN)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    return folder


def config_of(
    out: Path, *, workers: int, stage: Any = 3, dtype: Any = "float32", lora: LoraConfig | None = None
) -> TrainConfig:
    return TrainConfig(
        out=str(out),
        data=DataConfig(path="hand-made"),
        model=ModelConfig(name=str(out.parent / "model"), dtype=dtype, lora=lora),
        optim=OptimConfig(
            batch_size=2, lr=1e-3, warmup=0.1, max_grad_norm=1.0, weight_decay=0.01, part_lr={"projector": 5e-4}
        ),
        deepspeed=DeepSpeedConfig(stage=stage),
        checkpoint=CheckpointConfig(every_steps=3, every_minutes=None, keep=2),
        workers=WorkerConfig(count=workers),
    )


def fit(config: TrainConfig, feed: Any = None, show: Callable[[Any], None] = lambda metrics: None) -> int:
    """Run it; Ray must have been started."""
    with Watch(show) as watch:
        session = uuid.uuid4().hex[:8]
        job = Job(config, session, STEPS, feed or HandFeed(), watch.board.put.remote)
        return run_workers(work, job, config, session)


def fit_all(configs: Sequence[TrainConfig]) -> None:
    """Several runs one after the other in one group of workers, which saves starting it anew."""
    with Watch(lambda metrics: None) as watch:
        session = uuid.uuid4().hex[:8]
        jobs = [Job(config, session, STEPS, HandFeed(), watch.board.put.remote) for config in configs]
        run_workers(_work_all, jobs, configs[0], session)


def _work_all(jobs: Sequence[Job]) -> int:
    steps = [work(job) for job in jobs]
    assert set(steps) == {STEPS}, steps
    return STEPS


class Line(msgspec.Struct):
    step: int
    loss: float
    lr: dict[str, float]
    grad_norm: float | None


def losses(out: Path) -> dict[int, float]:
    lines = [msgspec.json.decode(line, type=Line) for line in (out / "log" / "metrics.jsonl").read_bytes().splitlines()]
    assert len({line.step for line in lines}) == len(lines)
    return {line.step: line.loss for line in lines}


def records(out: Path) -> dict[int, list[str]]:
    """Record ids by step, over all workers, sorted."""
    seen: dict[int, list[str]] = {}
    for path in (out / "log").glob("steps-rank*.jsonl"):
        for line in path.read_text().splitlines():
            step = json.loads(line)
            seen[step["step"]] = sorted([*seen.get(step["step"], []), *step["record_ids"]])
    return seen


def main() -> None:
    from kpray.pipelines.session import start_ray

    start_ray(num_cpus=2, address="local")
    fit(config_of(Path(sys.argv[1]), workers=int(sys.argv[2])), HandFeed(delay_s=1.0))  # time to be killed in


if __name__ == "__main__":
    main()
