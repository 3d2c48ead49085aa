"""Starting the workers with Ray Train, and starting them again while that gets the run on."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import ray
from ray._private.state import state
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.config import LoggingConfig

from kpray import storage
from kpray.errors import ConfigError
from kpray.training.checkpoints import newest_checkpoint
from kpray.training.config import TrainConfig, WorkerConfig
from kpray.training.stops import TrainingError, read_note

_FAILURES_WITHOUT_PROGRESS = 3
"""So often in a row may a group of workers end before a new checkpoint is complete."""

_COLLECTIVE_TIMEOUT_S = 1800

RESIZE_INTERVAL_S = 60.0
"""So often Ray looks whether nodes are back for a group with fewer workers than asked for."""


def cluster_resources() -> dict[str, float]:
    """What the cluster has, by resource; what it may grow to where it grows by itself."""
    return dict(state.get_max_resources_from_cluster_config() or ray.cluster_resources())


def gpus_of_each(workers: WorkerConfig) -> float:
    """GPUs that each worker gets: as configured, else one where the cluster has any."""
    if workers.gpus is not None:
        return workers.gpus
    return 1.0 if cluster_resources().get("GPU", 0) else 0.0


def cpus_of_each(workers: WorkerConfig) -> float:
    """CPUs that each worker reserves: with its feeders' where the cluster has so many, else without."""
    both = workers.cpus + workers.feeders
    return both if workers.count * both <= cluster_resources().get("CPU", 0) else workers.cpus


def cpus_to_start(workers: WorkerConfig) -> int:
    """CPUs for the books of a Ray that is started on this machine: no fewer than its workers reserve."""
    return max(os.cpu_count() or 1, math.ceil(workers.count * workers.cpus))


def require_room(workers: WorkerConfig) -> None:
    """Refuse to wait for workers that the cluster cannot hold.

    Raises:
        ConfigError: With what it has and what is asked for.
    """
    needed = workers.least or workers.count
    have = cluster_resources()
    asked = {"CPU": needed * workers.cpus, "GPU": needed * gpus_of_each(workers)}
    for name, amount in asked.items():
        if amount > have.get(name, 0):
            raise ConfigError(
                f"{needed} workers need {amount:g} {name}s; the cluster has {have.get(name, 0):g}. "
                f"Lower `workers.count` or `workers.{name.lower()}s`, or take more nodes"
            )


def run_workers(worker: Callable[[Any], int], job: Any, config: TrainConfig, session: str) -> int:
    """Run a function on all workers until the run is done; returns the steps done.

    Workers or nodes that are lost are replaced, and the group goes on from the newest complete checkpoint.

    Raises:
        TrainingError: A worker said why the run cannot go on, or the group ended again and again without progress.
    """
    gpu = gpus_of_each(config.workers) > 0
    while True:
        before = _checkpointed(config.out)
        error: Exception | None = None
        try:
            result = _fit(_trainer(worker, job, config, session, gpu))
        except ray.train.TrainingFailedError as failed:
            error = failed
        note = read_note(config.out, session)
        if note:
            raise TrainingError(note) from error
        if error is None:
            return int(result.return_value)
        if _checkpointed(config.out) <= before:
            raise TrainingError(_gave_up(error, config.out)) from error


def _fit(trainer: Any) -> Any:
    """Ray Train makes of Ctrl-C the end of the process, for good; here it is what it is elsewhere."""
    own = signal.getsignal(signal.SIGINT)
    try:
        return trainer.fit()
    except SystemExit as stopped:
        raise KeyboardInterrupt from stopped
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, own)


def _checkpointed(out: str) -> int:
    newest = newest_checkpoint(out)
    return newest.step if newest else 0


def _gave_up(error: Exception, out: str) -> str:
    last = str(error).strip().splitlines()
    return (
        f"the workers ended {_FAILURES_WITHOUT_PROGRESS + 1} times without a new checkpoint; the last reason: "
        f"{last[-1] if last else type(error).__name__}. Step {_checkpointed(out)} is safe: mend the cause and give the "
        "same command to go on"
    )


def _trainer(worker: Callable[[Any], int], job: Any, config: TrainConfig, session: str, gpu: bool) -> Any:
    workers = config.workers
    resources = {"CPU": cpus_of_each(workers)} | ({"GPU": gpus_of_each(workers)} if gpu else {})
    count: Any = workers.count if workers.least is None else (workers.least, workers.count)
    return TorchTrainer(
        worker,
        train_loop_config=job,
        torch_config=TorchConfig(backend="nccl" if gpu else "gloo", timeout_s=_COLLECTIVE_TIMEOUT_S),
        scaling_config=ScalingConfig(
            num_workers=count,
            use_gpu=gpu,
            resources_per_worker=resources,
            elastic_resize_monitor_interval_s=RESIZE_INTERVAL_S,
        ),
        run_config=RunConfig(
            name=f"kpray-{session}",
            storage_path=_ray_folder(config.out),
            failure_config=FailureConfig(max_failures=_FAILURES_WITHOUT_PROGRESS),
            worker_runtime_env={"env_vars": _environment(workers, gpu)},
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )


def _ray_folder(out: str) -> str:
    """Where Ray Train keeps its own books; kpray's checkpoints do not depend on them."""
    return storage.join(out, "log", "ray")


def _environment(workers: WorkerConfig, gpu: bool) -> dict[str, str]:
    if gpu:
        return {"TOKENIZERS_PARALLELISM": "false"}
    return {
        "DS_ACCELERATOR": "cpu",
        "OMP_NUM_THREADS": str(workers.threads),
        "GOMP_SPINCOUNT": "0",  # threads that spin beside a busy neighbour cost nine tenths of the speed
        "TOKENIZERS_PARALLELISM": "false",
    }
