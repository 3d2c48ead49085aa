"""What every worker does: open the engine, go on where the last checkpoint is, and take the steps.

The loss that is minimised is the sum of the token losses over the supervised tokens of the whole global batch.
DeepSpeed averages gradients over the workers, so each worker's sum is divided by that count and multiplied by the
number of workers: the result does not depend on how a batch is divided. What a step draws (dropout) follows from seed,
step and worker; learning rates follow from the step; so a checkpoint needs no more than weights, moments and a number.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist

from kpray.errors import KprayError
from kpray.lineage import fingerprint_value
from kpray.training.checkpoint_writer import CheckpointWriter
from kpray.training.device import is_flash, is_out_of_memory, memory_gb, peak_tflops, require_fit_here
from kpray.training.engine import Started, open_engine, open_start
from kpray.training.families import FORWARD_ARGUMENTS, one_row
from kpray.training.flops import utilisation
from kpray.training.job import Job, Step
from kpray.training.metrics import (
    LineLog,
    Sink,
    StepMetrics,
    StepRecords,
    metrics_path,
    numbers,
    open_sinks,
    records_path,
    tell,
)
from kpray.training.schedule import rate
from kpray.training.share import write_share
from kpray.training.stops import TrainingError, leave_note, not_a_number, out_of_memory, read_note
from kpray.training.types import IGNORED


def train_worker(job: Job) -> int:
    """Take all steps that are left; returns how many the run has taken.

    A reason to end the run is left as a note; the driver tells it.
    """
    out = job.config.out
    if read_note(out, job.session):
        return 0
    step = 0
    try:
        started = open_start(job.config)
        worker = Worker(job, started)
        step = started.step
        for done in worker.run():
            step = done
    except TrainingError as error:  # raised by all workers at the same place, so none waits for this one
        leave_note(out, job.session, str(error))
        if read_note(out, job.session) is None:
            raise
    except KprayError as error:
        leave_note(out, job.session, str(error))
        raise
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            leave_note(out, job.session, out_of_memory(step + 1, error))
        raise
    return step


class Worker:
    """One worker's engine and its logs."""

    def __init__(self, job: Job, started: Started) -> None:
        """Open the engine where the run stands."""
        self._job, self._config, self._at = job, job.config, started
        require_fit_here(job, started.world)
        self._engine = open_engine(job.config, started, accumulation=job.source.accumulation(started.world))
        self._device, self._dtype = self._engine.device, next(self._engine.module.parameters()).dtype
        checkpoint = job.config.checkpoint
        self._writer = CheckpointWriter(
            job.config.out, keep=checkpoint.keep, start=started.start, rank=started.rank, world=started.world
        )
        self._records = LineLog(records_path(job.config.out, started.rank))
        self._metrics = LineLog(metrics_path(job.config.out)) if started.rank == 0 else None
        self._sinks: list[Sink] = []
        if started.rank == 0:
            settings = {"out": job.config.out, "model": job.config.model.name, "lr": job.config.optim.lr}
            self._sinks = open_sinks(job.config.out, job.config.report_to, settings)
        self._saved_at, self._saved_step = time.monotonic(), started.step
        self._one_row = job.config.data.batching == "packed" and is_flash(self._engine.module)
        self._peak_tflops = peak_tflops(self._device)
        write_share(job.config, started, self._engine)

    def run(self) -> Iterator[int]:
        """Take the steps; yields how many are done after each.

        Raises:
            TrainingError: The run cannot go on.
        """
        with contextlib.closing(self._job.source.open(self._at.rank, self._at.world, self._at.step)) as feed:
            ended = time.monotonic()
            for number in range(self._at.step, self._job.steps):
                waiting = time.monotonic()
                step, failure = self._next(feed)
                stall_s = time.monotonic() - waiting
                supervised, samples = self._agree(step, failure)
                loss, norm, skipped = self._take(step, number, supervised)
                now = time.monotonic()
                self._log(step, number, loss, norm, (samples, supervised), now - ended, stall_s, skipped)
                self._save(number + 1)
                ended = time.monotonic()
                yield number + 1
        self._finish()

    def _next(self, feed: Iterator[Step]) -> tuple[Step | None, KprayError | None]:
        try:
            return next(feed), None
        except KprayError as error:
            return None, error

    def _agree(self, step: Step | None, failure: KprayError | None) -> tuple[int, int]:
        """The step's supervised tokens and samples over all workers; or none of them goes on."""
        failure = failure or self._writer.failure()
        if failure:
            leave_note(self._config.out, self._job.session, str(failure))
        counts = [0, 0] if step is None else [_supervised(step), len(step.record_ids)]
        total = torch.tensor([*counts, int(failure is not None)], dtype=torch.float64, device=self._device)
        dist.all_reduce(total)
        supervised, samples, failed = (round(figure) for figure in total.tolist())
        if failed:
            raise TrainingError(str(failure or "another worker could not go on"))
        return supervised, samples

    def _take(self, step: Step | None, number: int, supervised: int) -> tuple[float, float | None, bool]:
        """One step: mean loss over the global batch, the gradient's norm, and whether float16 skipped it."""
        assert step is not None
        assert step.number == number, f"expected step {number}; the feed gave {step.number}"
        self._set_rates(number)
        torch.manual_seed(seed_of(self._config.seed, number, self._at.rank))
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        scale = torch.tensor(supervised / self._at.world, dtype=torch.float32, device=self._device)
        for index, batch in enumerate(step.micro_batches):
            last = index == len(step.micro_batches) - 1
            self._engine.set_gradient_accumulation_boundary(last)
            loss = self._engine(**self._placed(batch), num_items_in_batch=scale).loss
            self._engine.backward(loss, scale_wrt_gas=False)
            total += loss.detach().double() / self._at.world
            if last:
                dist.all_reduce(total)
                self._require_finite(total.item(), number, step, "loss")
            self._engine.step()
        norm = self._engine.get_global_grad_norm()
        norm = None if norm is None else float(norm)
        skipped = not self._engine.was_step_applied()
        if self._config.model.dtype != "float16":  # which skips such steps by design, and lowers its loss scale
            self._require_finite(math.nan if skipped else norm or 0.0, number, step, "gradient")
        return total.item(), norm, skipped

    def _set_rates(self, number: int) -> None:
        optim = self._config.optim
        share = rate(number, steps=self._job.steps, warmup=optim.warmup, schedule=optim.schedule)
        for group in self._engine.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * share

    def _placed(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """A micro-batch on this worker's device, its floats in the model's dtype."""
        placed: dict[str, Any] = dict(FORWARD_ARGUMENTS)
        for name, value in (one_row(batch) if self._one_row else batch).items():
            if isinstance(value, torch.Tensor):
                dtype = self._dtype if value.is_floating_point() else value.dtype
                value = value.to(self._device, dtype, non_blocking=True)
            placed[name] = value
        return placed

    def _require_finite(self, figure: float, number: int, step: Step, what: str) -> None:
        """Stop at a figure that is the same on all workers, and name the records of all of them."""
        if math.isfinite(figure):
            return
        ids: list[Any] = [None] * self._at.world
        dist.all_gather_object(ids, list(step.record_ids))
        raise TrainingError(not_a_number(number + 1, [record_id for some in ids for record_id in some], what))

    def _log(
        self,
        step: Step | None,
        number: int,
        loss: float,
        norm: float | None,
        counts: tuple[int, int],
        step_s: float,
        stall_s: float,
        skipped: bool,
    ) -> None:
        assert step is not None
        self._records.write(StepRecords(number + 1, tuple(step.record_ids)))
        if self._metrics is None:
            return
        samples, supervised = counts
        tokens, flops = self._job.source.tokens(number), self._job.source.flops(number)
        metrics = StepMetrics(
            step=number + 1,
            loss=loss,
            lr={group["name"]: group["lr"] for group in self._engine.optimizer.param_groups},
            grad_norm=norm,
            samples=samples,
            tokens=tokens,
            supervised=supervised,
            step_s=round(step_s, 6),
            stall_s=round(stall_s, 6),
            tokens_per_s=round(tokens / step_s, 3),
            samples_per_s=round(samples / step_s, 3),
            memory_gb=round(memory_gb(self._device), 3),
            flops=flops,
            mfu=self._mfu(flops, step_s),
            skipped=skipped,
        )
        self._metrics.write(metrics)
        if (number + 1) % self._config.log_every == 0 or number + 1 == self._job.steps:
            self._sinks = tell(self._sinks, number + 1, numbers(metrics))
            self._job.on_step(metrics)

    def _mfu(self, flops: float, step_s: float) -> float | None:
        if self._peak_tflops is None:
            return None
        return round(utilisation(flops, seconds=step_s, gpus=self._at.world, peak_tflops=self._peak_tflops), 4)

    def _save(self, done: int) -> None:
        if done < self._job.steps and not self._is_due(done):
            return
        self._agree(None, self._writer.settle())
        self._flush()
        self._writer.save(self._engine, done)
        self._saved_at, self._saved_step = time.monotonic(), done

    def _is_due(self, done: int) -> bool:
        """Whether to save now; the first worker's clock decides for all."""
        checkpoint = self._config.checkpoint
        if checkpoint.every_steps is not None and done - self._saved_step >= checkpoint.every_steps:
            return True
        if checkpoint.every_minutes is None:
            return False
        due = torch.tensor(time.monotonic() - self._saved_at >= checkpoint.every_minutes * 60, device=self._device)
        dist.broadcast(due, 0)
        return bool(due.item())

    def _flush(self) -> None:
        self._records.flush()
        if self._metrics:
            self._metrics.flush()

    def _finish(self) -> None:
        """Wait until all workers' parts of the last checkpoint are written."""
        self._agree(None, self._writer.settle())
        self._writer.finish()
        self._records.close()
        if self._metrics:
            self._metrics.close()


def seed_of(seed: int, step: int, rank: int) -> int:
    """The seed of what one worker draws in one step."""
    return int(fingerprint_value([seed, step, rank])[:15], 16)


def _supervised(step: Step) -> int:
    """This worker's tokens with loss; a sequence's first has none."""
    return sum(int((batch["labels"][..., 1:] != IGNORED).sum()) for batch in step.micro_batches)
