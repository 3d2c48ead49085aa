"""A worker's DeepSpeed engine, at the step where the run stands."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import deepspeed
import msgspec
import torch
import torch.distributed as dist
from transformers.integrations import HfDeepSpeedConfig

from kpray.training.checkpoints import TAG, CheckpointAt, delete_incomplete, local_copy, newest_checkpoint
from kpray.training.config import TrainConfig
from kpray.training.deepspeed import deepspeed_settings, merged
from kpray.training.families import family_of
from kpray.training.metrics import cut_logs
from kpray.training.model import load_model, parameter_groups, prepare_model
from kpray.training.stops import TrainingError


class Started(msgspec.Struct, frozen=True):
    """Where a start of the worker group begins, the same on all workers but for the first two.

    Attributes:
        rank: Of this worker.
        local_rank: Among the workers of its machine.
        world: How many workers there are.
        start: Name of this start of the group (hexadecimal).
        checkpoint: What it goes on from; None begins anew.
    """

    rank: int
    local_rank: int
    world: int
    start: str
    checkpoint: CheckpointAt | None

    @property
    def step(self) -> int:
        """Steps that are done."""
        return self.checkpoint.step if self.checkpoint else 0


def open_start(config: TrainConfig) -> Started:
    """Agree on where to go on, and clear away what comes after it.

    Ray Train has made the process group and set the ranks in the environment.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    agreed: list[Any] = [None]
    if rank == 0:
        delete_incomplete(config.out)
        checkpoint = newest_checkpoint(config.out)
        cut_logs(config.out, checkpoint.step if checkpoint else 0)
        agreed = [(uuid.uuid4().hex[:8], checkpoint)]
    dist.broadcast_object_list(agreed, 0)
    start, checkpoint = agreed[0]
    return Started(rank, int(os.environ["LOCAL_RANK"]), world, start, checkpoint)


def open_engine(config: TrainConfig, started: Started, *, accumulation: int) -> Any:
    """The model under DeepSpeed, with the weights and the optimizer's state of the checkpoint, if there is one.

    Raises:
        ConfigError: The model cannot be loaded, or nothing of it learns.
        TrainingError: The checkpoint cannot be loaded.
    """
    gpu = torch.cuda.is_available()
    if not gpu:
        # DeepSpeed would compile a faster collective with g++ at first use (half a minute, and fails without one).
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed("nccl" if gpu else "gloo", verbose=False)
    settings = deepspeed_settings(config, accumulation=accumulation, gpu=gpu)
    if started.checkpoint is None:
        return _initialize(config, settings, gpu)
    with local_copy(started.checkpoint, first=started.local_rank == 0, barrier=dist.barrier) as folder:
        return _resume(config, settings, started, folder, gpu)


def _initialize(config: TrainConfig, settings: dict[str, Any], gpu: bool) -> Any:
    keep_alive = HfDeepSpeedConfig(settings)  # with stage 3, transformers partitions weights while it reads them
    model = load_model(config.model, gpu=gpu)
    family = family_of(model.config.model_type)
    model = prepare_model(model, config.model, family)
    groups = parameter_groups(model, family, config.optim)
    optimizer = _optimizer(groups, config, gpu)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=settings)
    del keep_alive
    return engine


def _optimizer(groups: list[dict[str, Any]], config: TrainConfig, gpu: bool) -> Any:
    if config.deepspeed.offload_optimizer and gpu:
        from deepspeed.ops.adam import DeepSpeedCPUAdam

        return DeepSpeedCPUAdam(groups, betas=config.optim.betas, adamw_mode=True)
    return torch.optim.AdamW(groups, betas=config.optim.betas)


def _resume(config: TrainConfig, settings: dict[str, Any], started: Started, folder: Path, gpu: bool) -> Any:
    checkpoint = started.checkpoint
    assert checkpoint is not None
    partitioned = any((folder / TAG).glob("*_optim_states.pt"))
    if checkpoint.world == started.world or not partitioned:
        engine = _initialize(config, settings, gpu)
        _load(engine, folder, TAG, checkpoint)
        return engine
    with tempfile.TemporaryDirectory(prefix="kpray-") as own:
        shared = _agree_on_folder(own, started)
        problem = _to_universal(folder / TAG, shared / TAG) if started.local_rank == 0 else None
        _require_none(problem, started.world)
        engine = _initialize(config, merged(settings, {"checkpoint": {"load_universal": True}}), gpu)
        groups = [{key: value for key, value in g.items() if key != "params"} for g in engine.optimizer.param_groups]
        _load(engine, shared, TAG, checkpoint)
        _mend(engine, groups)
        dist.barrier()
    return engine


def _mend(engine: Any, groups: list[dict[str, Any]]) -> None:
    """Undo what DeepSpeed's universal loading does to groups of weights (stage 3, seen in 0.19).

    It gives all groups the first one's settings, and all of them one and the same counter of steps, which AdamW then
    raises once a group.
    """
    for group, settings in zip(engine.optimizer.param_groups, groups, strict=True):
        group.update(settings)
    for state in engine.optimizer.state.values():
        if isinstance(state.get("step"), torch.Tensor):
            state["step"] = state["step"].clone()


def _agree_on_folder(own: str, started: Started) -> Path:
    """The folder of the first worker on this machine, whichever that is."""
    folders: list[Any] = [None] * started.world
    dist.all_gather_object(folders, (os.uname().nodename, started.local_rank, own))
    return next(Path(path) for node, rank, path in folders if node == os.uname().nodename and rank == 0)


def _to_universal(source: Path, target: Path) -> str | None:
    """DeepSpeed's own conversion to a form that any number of workers loads; returns why it failed."""
    command = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--no_strict", "--inject_missing_state"]
    command += ["--num_extract_workers", "1", "--num_merge_workers", "1"]
    command += ["--input_folder", str(source), "--output_folder", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.returncode:
        return None
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return (
        f"the checkpoint {source} cannot be converted for another number of workers ({said[-1]}). Give the command "
        "with the number of workers that wrote it"
    )


def _require_none(problem: str | None, world: int) -> None:
    """End all workers if one has a problem, so that none waits for it."""
    problems: list[str | None] = [None] * world
    dist.all_gather_object(problems, problem)
    for one in problems:
        if one:
            raise TrainingError(one)


def _load(engine: Any, folder: Path, tag: str, checkpoint: CheckpointAt) -> None:
    loaded, _ = engine.load_checkpoint(str(folder), tag=tag, load_lr_scheduler_states=False)
    if loaded is None:
        raise TrainingError(
            f"DeepSpeed found nothing to load in {checkpoint.path}; delete it to go on from the one before"
        )
