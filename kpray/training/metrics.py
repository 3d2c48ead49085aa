"""What a run tells about each step: one JSON line, TensorBoard, and other trackers."""

from __future__ import annotations

import importlib.util
import io
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from kpray import storage
from kpray.errors import ConfigError

_log = logging.getLogger(__name__)


class StepMetrics(msgspec.Struct, frozen=True):
    """One step, over all workers.

    Attributes:
        step: Steps done, from 1.
        loss: Mean over the supervised tokens of the global batch.
        lr: By group of weights.
        grad_norm: Before clipping; None where DeepSpeed does not compute it.
        samples: Records in the step.
        tokens: In its sequences, without padding.
        supervised: Tokens with loss.
        step_s: From one step's end to the next, without the writing of checkpoints.
        stall_s: Of that, waiting for data.
        tokens_per_s: Of all workers.
        samples_per_s: Likewise.
        memory_gb: Peak of the first worker: its GPU's, or its process's without one.
        flops: Operations that the model takes, on all workers together, without those that are done twice.
        mfu: Share of the GPUs' peak that `flops` are; None on a CPU, and on a GPU whose peak is not known.
        skipped: Whether float16's loss scale was lowered instead of a step taken.
    """

    step: int
    loss: float
    lr: dict[str, float]
    grad_norm: float | None
    samples: int
    tokens: int
    supervised: int
    step_s: float
    stall_s: float
    tokens_per_s: float
    samples_per_s: float
    memory_gb: float
    flops: float = 0.0
    mfu: float | None = None
    skipped: bool = False


class StepRecords(msgspec.Struct, frozen=True):
    """Which records a worker has seen in a step."""

    step: int
    record_ids: tuple[str, ...]


class LineLog:
    """A file of JSON lines with a `step` in each, which grows line by line and can lose its end.

    On an object store, where files do not grow, it is written whole with each `flush`.
    """

    def __init__(self, path: str) -> None:
        """Go on with a file; the lines that are there stay."""
        self._path = path
        self._local = "://" not in path
        self._lines = io.BytesIO() if self._local else io.BytesIO(_bytes(path))
        self._lines.seek(0, io.SEEK_END)
        if self._local:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._file = Path(path).open("ab", buffering=0)  # noqa: SIM115 - lives as long as the run

    def write(self, value: msgspec.Struct) -> None:
        """Add a line."""
        line = msgspec.json.encode(value) + b"\n"
        if self._local:
            self._file.write(line)
        else:
            self._lines.write(line)

    def flush(self) -> None:
        """Make what was written outlive this process."""
        if not self._local:
            storage.write_bytes(self._path, self._lines.getvalue())

    def close(self) -> None:
        """Flush it; nothing can be written any more."""
        self.flush()
        if self._local:
            self._file.close()


def _bytes(path: str) -> bytes:
    return storage.read_bytes(path) if storage.exists(path) else b""


class _Step(msgspec.Struct):
    step: int


def cut_after(path: str, step: int) -> None:
    """Drop a log's lines of later steps, which are about to be done again, and a last line that is not whole."""
    before = _bytes(path)
    kept = b"".join(line for line in before.splitlines(keepends=True) if _step_of(line) <= step)
    if kept != before:
        storage.write_bytes(path, kept)


def _step_of(line: bytes) -> float:
    try:
        return msgspec.json.decode(line, type=_Step).step if line.endswith(b"\n") else float("inf")
    except msgspec.MsgspecError:
        return float("inf")


def log_folder(out: str) -> str:
    """Where a run's logs are."""
    return storage.join(out, "log")


def metrics_path(out: str) -> str:
    """The log of `StepMetrics`."""
    return storage.join(log_folder(out), "metrics.jsonl")


def records_path(out: str, rank: int) -> str:
    """The log of a worker's `StepRecords`."""
    return storage.join(log_folder(out), f"steps-rank{rank}.jsonl")


def cut_logs(out: str, step: int) -> None:
    """Cut all logs of a run after a step, also those of workers that are no more."""
    names = [name for name in storage.list_files(log_folder(out)) if name.endswith(".jsonl") and "/" not in name]
    for name in names:
        cut_after(storage.join(log_folder(out), name), step)


def read_metrics(out: str) -> list[StepMetrics]:
    """A run's metrics, by step; empty where there are none."""
    return [msgspec.json.decode(line, type=StepMetrics) for line in _bytes(metrics_path(out)).splitlines()]


Sink = Callable[[int, Mapping[str, float]], None]
"""Takes a step's figures by name."""


def numbers(metrics: StepMetrics) -> dict[str, float]:
    """The figures of a step, flat, as trackers want them.

    >>> step = StepMetrics(1, 2.5, {"projector": 1e-3}, 0.5, 4, 100, 60, 2.0, 0.1, 50.0, 2.0, 1.0)
    >>> numbers(step)["lr/projector"], "mfu" in numbers(step)
    (0.001, False)
    """
    fields = msgspec.to_builtins(metrics)
    rates = {f"lr/{name}": rate for name, rate in fields.pop("lr").items()}
    return {key: float(value) for key, value in fields.items() if value is not None and key != "step"} | rates


def open_sinks(out: str, report_to: Iterable[str], settings: Mapping[str, Any]) -> list[Sink]:
    """TensorBoard where it is installed and the folder is local, and the trackers that are asked for."""
    sinks = [_OPENERS[name](out, settings) for name in report_to]
    if importlib.util.find_spec("tensorboard") and "://" not in out:
        sinks.append(_open_tensorboard(out))
    return sinks


def tell(sinks: Iterable[Sink], step: int, figures: Mapping[str, float]) -> list[Sink]:
    """Give a step's figures to trackers; returns those that took them, as none of them is worth a run."""
    took = []
    for sink in sinks:
        try:
            sink(step, figures)
        except Exception:  # noqa: BLE001 - whatever a tracker raises
            _log.warning("a tracker failed in step %d and is told no more; metrics.jsonl has all", step, exc_info=True)
        else:
            took.append(sink)
    return took


def require_trackers(report_to: Iterable[str]) -> None:
    """Refuse trackers that are not installed.

    Raises:
        ConfigError: With the command that installs it.
    """
    for name in report_to:
        if not importlib.util.find_spec(name):
            raise ConfigError(f"`report_to: {name}` needs the package {name}: pip install {name}")


def _open_tensorboard(out: str) -> Sink:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(Path(log_folder(out)) / "tensorboard"), flush_secs=10)

    def write(step: int, figures: Mapping[str, float]) -> None:
        for name, figure in figures.items():
            writer.add_scalar(name, figure, step)

    return write


def _open_wandb(out: str, settings: Mapping[str, Any]) -> Sink:
    import wandb

    run = wandb.init(project="kpray", name=Path(out).name, id=Path(out).name, resume="allow", config=dict(settings))
    return lambda step, figures: run.log(dict(figures), step=step)


def _open_mlflow(out: str, settings: Mapping[str, Any]) -> Sink:
    import mlflow

    mlflow.set_experiment("kpray")
    mlflow.start_run(run_name=Path(out).name)
    mlflow.log_dict(dict(settings), "config.json")
    return lambda step, figures: mlflow.log_metrics(dict(figures), step=step)


_OPENERS: dict[str, Callable[[str, Mapping[str, Any]], Sink]] = {"wandb": _open_wandb, "mlflow": _open_mlflow}
