"""A training run from beginning to end: prepare, plan, train under Ray Train, note how it went.

Everything is found again in the run's folder, so the same command goes on after whatever ended the one before::

    <out>/run.json         what was asked, with what, and every start (`kpray.training.manifest`)
    <out>/prepared/        the records and their lengths; <out>/skipped/ what cannot be trained on
    <out>/checkpoints/     see `kpray.training.checkpoints`
    <out>/log/             metrics.jsonl, steps-rank*.jsonl (record ids by step), tensorboard/
    <out>/model/           what came of it, from `kpray.training.finish`
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from kpray import storage
from kpray.training.batching import StepPlan
from kpray.training.board import Watch
from kpray.training.checkpoints import checkpoints_folder, newest_checkpoint
from kpray.training.config import TrainConfig
from kpray.training.job import Job, work
from kpray.training.manifest import TrainManifest, open_manifest, session
from kpray.training.metrics import StepMetrics, log_folder, read_metrics
from kpray.training.prepare import prepare
from kpray.training.prepared import PreparedData
from kpray.training.progress import PreparingLine, ProgressLine
from kpray.training.requirements import check_before_start
from kpray.training.step_source import PlannedSteps, make_plan
from kpray.training.workers import require_room, run_workers


class TrainResult(msgspec.Struct, frozen=True):
    """What came of a run.

    Attributes:
        out: Its folder.
        steps: Done, of all sessions.
        records: That were trained on.
        skipped: Records that were not, by reason.
        tokens: Of the records, an epoch.
        first_loss: Of the first step.
        last_loss: Mean of the last ten steps, or of all where there are fewer.
        elapsed_s: Of this session.
        checkpoint: The newest, which `kpray export` turns into a model.
    """

    out: str
    steps: int
    records: int
    skipped: dict[str, int]
    tokens: int
    first_loss: float
    last_loss: float
    elapsed_s: float
    checkpoint: str


def train(config: TrainConfig, *, show: Callable[[StepMetrics], None] | None = None) -> TrainResult:
    """Train, or go on where the folder's run stands. Ray must have been started.

    Args:
        config: What to do.
        show: Takes each step's metrics; None shows them on stderr.

    Raises:
        ConfigError: The folder holds another run, or something of the configuration is not to be had.
        InputError: The data cannot be used.
        TrainingError: The run cannot go on; its last checkpoint is intact.
    """
    config = check_before_start(config)
    require_room(config.workers)
    manifest = open_manifest(config)
    data = prepare(config, begun_with=manifest.data.get("fingerprint"), on_part=PreparingLine().show)
    manifest.data = _data_fields(data)
    plan = make_plan(config, data, manifest.global_batch)
    manifest.steps = plan.steps
    newest = newest_checkpoint(config.out)
    done = newest.step if newest else 0
    with session(manifest, done) as entry:
        try:
            if done < plan.steps:
                _train(config, data, plan, show)
        finally:
            newest = newest_checkpoint(config.out)
            entry.to_step = newest.step if newest else 0
    return _result(manifest)


def _data_fields(data: PreparedData) -> dict[str, Any]:
    return {
        "fingerprint": data.fingerprint,
        "records": data.records,
        "tokens": data.tokens,
        "supervised": data.supervised,
        "skipped": data.skipped,
    }


def _train(config: TrainConfig, data: PreparedData, plan: StepPlan, show: Callable[[StepMetrics], None] | None) -> None:
    name = uuid.uuid4().hex[:8]
    with Watch(show or ProgressLine(plan.steps).show) as watch:
        job = Job(
            config=config,
            session=name,
            steps=plan.steps,
            source=PlannedSteps(config, data, plan.global_batch),
            on_step=watch.board.put.remote,
        )
        run_workers(work, job, config, name)


def _result(manifest: TrainManifest) -> TrainResult:
    out, losses = manifest.config.out, [metrics.loss for metrics in read_metrics(manifest.config.out)]
    newest = newest_checkpoint(out)
    return TrainResult(
        out=out,
        steps=manifest.sessions[-1].to_step,
        records=manifest.data["records"],
        skipped=manifest.data["skipped"],
        tokens=manifest.data["tokens"],
        first_loss=losses[0],
        last_loss=sum(losses[-10:]) / len(losses[-10:]),
        elapsed_s=manifest.sessions[-1].elapsed_s,
        checkpoint=newest.path if newest else checkpoints_folder(out),
    )


def summary_fields(result: TrainResult) -> dict[str, Any]:
    """What `--json` prints."""
    fields: dict[str, Any] = msgspec.to_builtins(result)
    return {"status": "complete"} | fields


def summary_text(result: TrainResult) -> str:
    """Steps, loss, records, time, and where things are."""
    skipped = ", ".join(f"{reason} {count:,}" for reason, count in sorted(result.skipped.items()))
    return "\n".join(
        [
            f"trained {result.steps:,} steps on {result.records:,} records ({result.tokens:,} tokens); "
            f"loss {result.first_loss:.4f} at first, {result.last_loss:.4f} over the last {min(10, result.steps)}",
            f"skipped {sum(result.skipped.values()):,} records" + (f" ({skipped})" if skipped else ""),
            f"took {result.elapsed_s:,.1f} s",
            f"  {result.checkpoint}",
            f"  {storage.join(log_folder(result.out), 'metrics.jsonl')}",
        ]
    )
