"""One worker (or driver) of one way of training; `train_steps` starts it as a process of its own.

``python train_step_ways.py WAY TASK.json``. Each worker writes ``marks-RANK.json``: wall clock and CPU seconds of its
process (all threads) when a step is asked for, and once more after the last.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from kpray.training.config import TrainConfig
from kpray.training.job import Job, work
from kpray.training.prepared import PreparedData
from kpray.training.step_source import PlannedSteps


class Task(NamedTuple):
    """What all ways are given.

    Attributes:
        config: Of the run; `out` is a folder of this way and repeat alone.
        data: As prepared.
        global_batch: Sequences of a step.
        batches: Folder with ``rank-R.pt``: each worker's steps, as lists of micro-batches.
        steps: How many.
    """

    config: TrainConfig
    data: PreparedData
    global_batch: int
    batches: str
    steps: int


class Marks:
    """Moments of a worker, and the CPU seconds that it had used by then."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, float]] = []

    def note(self) -> None:
        """Add one."""
        self._marks.append((time.time(), time.process_time()))

    def write(self, out: str, rank: int, name: str = "marks") -> None:
        """Write them into a run's folder."""
        Path(out, f"{name}-{rank}.json").write_text(json.dumps(self._marks))


class MarkedSteps:
    """Steps that note when they are asked for."""

    def __init__(self, steps: Any, out: str, rank: int) -> None:
        self._steps, self._out, self._rank, self._marks = steps, out, rank, Marks()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self._marks.note()
        return next(self._steps)

    def close(self) -> None:
        """End, when the last step is done."""
        self._marks.note()
        self._marks.write(self._out, self._rank)
        self._steps.close()


class MarkedSource(PlannedSteps):
    """kpray's own source, or micro-batches that were made before, with marks."""

    def __init__(self, task: Task, *, in_memory: bool) -> None:
        super().__init__(task.config, task.data, task.global_batch)
        self._out, self._batches = task.config.out, task.batches if in_memory else None

    def open(self, rank: int, world: int, from_step: int) -> Any:
        """What one worker sees, with marks."""
        steps = _steps_in_memory(self._batches, rank) if self._batches else super().open(rank, world, from_step)
        return MarkedSteps(steps, self._out, rank)


def _steps_in_memory(batches: str, rank: int) -> Iterator[Any]:
    import torch

    from kpray.training.feeding import Step

    made = torch.load(Path(batches, f"rank-{rank}.pt"), weights_only=True)
    return (Step(number, parts, (), 1) for number, parts in enumerate(made))


def kpray_ray(task: Task, *, in_memory: bool) -> None:
    """Our loop under Ray Train; the driver."""
    _with_workers(task, work, Job(task.config, "", task.steps, MarkedSource(task, in_memory=in_memory), print))


def _with_workers(task: Task, worker: Any, job: Job) -> None:
    from kpray.pipelines.session import start_ray, stop_ray
    from kpray.training.board import Watch
    from kpray.training.workers import cpus_to_start, run_workers

    start_ray(num_cpus=cpus_to_start(task.config.workers), address="local")
    with Watch(lambda metrics: None) as watch:
        job = job._replace(session=uuid.uuid4().hex[:8], on_step=watch.board.put.remote)
        run_workers(worker, job, task.config, job.session)
    stop_ray()


def side_by_side(task: Task) -> None:
    """Our loop and the bare one in the same workers, step by step in turn, each with an engine of its own."""
    batches = task.batches

    def alternate(job: Job) -> int:
        import torch.distributed as dist

        from kpray.training.engine import open_engine, open_start
        from kpray.training.loop import Worker

        started = open_start(job.config)
        ours, ours_marks, bare_marks = Worker(job, started).run(), Marks(), Marks()
        bare = open_engine(job.config, started, accumulation=job.source.accumulation(started.world))
        for step in _steps_in_memory(batches, started.rank):
            dist.barrier()  # so that neither loop waits for what the other left a worker behind with
            ours_marks.note()
            next(ours)
            ours_marks.note()
            dist.barrier()
            bare_marks.note()
            bare_step(bare, step.micro_batches)
            bare_marks.note()
        for _ in ours:
            raise AssertionError("the loop has more steps than there are batches")
        ours_marks.write(job.config.out, started.rank, "ours")
        bare_marks.write(job.config.out, started.rank, "bare")
        return job.steps

    _with_workers(task, alternate, Job(task.config, "", task.steps, MarkedSource(task, in_memory=True), print))


def bare_step(engine: Any, batches: list[dict[str, Any]]) -> None:
    """One step as DeepSpeed's documentation has it."""
    for batch in batches:
        loss = engine(**{key: value.to(engine.device) for key, value in batch.items()}, use_cache=False).loss
        engine.backward(loss)
        engine.step()


def bare(task: Task) -> None:
    """A bare DeepSpeed loop; one of its workers."""
    import deepspeed
    import torch

    from kpray.training.engine import Started, open_engine

    _quiet_gloo(deepspeed)
    torch.set_num_threads(task.config.workers.threads)
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    started = Started(rank, rank, world, "bare", None)
    accumulation = len(torch.load(Path(task.batches, f"rank-{rank}.pt"), weights_only=True)[0])
    engine = open_engine(task.config, started, accumulation=accumulation)
    marks = Marks()
    for step in _steps_in_memory(task.batches, rank):
        marks.note()
        bare_step(engine, step.micro_batches)
    marks.note()
    marks.write(task.config.out, rank)


def _quiet_gloo(deepspeed: Any) -> None:
    import torch

    if not torch.cuda.is_available():
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # as kpray does: it would be compiled first


def trainer(task: Task) -> None:
    """Hugging Face's Trainer with DeepSpeed; one of its workers."""
    import deepspeed
    import torch
    from accelerate import PartialState
    from torch.utils.data import SequentialSampler
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from kpray.training.deepspeed import deepspeed_settings
    from kpray.training.families import family_of
    from kpray.training.model import load_model, prepare_model

    _quiet_gloo(deepspeed)
    torch.set_num_threads(task.config.workers.threads)
    gpu, optim = torch.cuda.is_available(), task.config.optim
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if not gpu:  # accelerate has no way of its own to DeepSpeed on a CPU
        PartialState(backend="gloo")
    made = torch.load(Path(task.batches, f"rank-{rank}.pt"), weights_only=True)
    accumulation, marks = len(made[0]), Marks()
    settings = deepspeed_settings(task.config, accumulation=accumulation, gpu=gpu)
    settings["train_micro_batch_size_per_gpu"] = "auto"  # one item of the data set is a whole micro-batch
    arguments = TrainingArguments(
        output_dir=str(Path(task.config.out, "trainer")),
        use_cpu=False,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=accumulation,
        max_steps=task.steps,
        learning_rate=optim.lr,
        lr_scheduler_type=optim.schedule,
        warmup_steps=optim.warmup,
        adam_beta1=optim.betas[0],
        adam_beta2=optim.betas[1],
        weight_decay=optim.weight_decay,
        max_grad_norm=optim.max_grad_norm or 0.0,
        optim="adamw_torch",
        bf16=task.config.model.dtype == "bfloat16",
        deepspeed=settings,
        accelerator_config={"use_configured_state": not gpu},
        logging_steps=1,
        report_to=["tensorboard"],
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=gpu,
    )

    class Batches(torch.utils.data.Dataset[Any]):
        """accelerate deals the items out to the workers in turn; each has its own alone."""

        def __len__(self) -> int:
            return sum(map(len, made)) * world

        def __getitem__(self, item: int) -> Any:
            step, place = divmod(item // world, accumulation)
            return made[step][place]

    class InOrder(Trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return SequentialSampler(self.train_dataset)

    class Note(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            marks.note()

        def on_train_end(self, *_: Any, **__: Any) -> None:
            marks.note()

    model = load_model(task.config.model, gpu=gpu)
    model = prepare_model(model, task.config.model, family_of(model.config.model_type))
    InOrder(
        model,
        arguments,
        train_dataset=Batches(),
        data_collator=lambda items: items[0] | {"use_cache": False},
        callbacks=[Note()],
    ).train()
    marks.write(task.config.out, rank)


WAYS: dict[str, Any] = {
    "bare": bare,
    "trainer": trainer,
    "kpray": lambda task: kpray_ray(task, in_memory=True),
    "kpray_files": lambda task: kpray_ray(task, in_memory=False),
    "side_by_side": side_by_side,
}
"""Those of kpray are drivers, which start their workers."""


if __name__ == "__main__":
    WAYS[sys.argv[1]](msgspec.json.decode(Path(sys.argv[2]).read_bytes(), type=Task))
