"""What a training run takes: memory on each GPU, hours, dollars; and what would make it fit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from kpray.errors import ConfigError
from kpray.training.config import LoraConfig, TrainConfig
from kpray.training.deepspeed import deepspeed_settings
from kpray.training.flops import Flops, training_flops
from kpray.training.gpus import Gpu
from kpray.training.loads import ImageLoad
from kpray.training.memory import Batch, Memory, memory_per_gpu
from kpray.training.shape import ModelShape, model_shape
from kpray.training.workload import Workload, typical_picture

ASSUMED_MFU = 0.3
"""Share of the GPUs' peak that training is taken to reach when nobody says another: an assumption."""

_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}


class Remedy(msgspec.Struct, frozen=True):
    """A change that saves memory.

    Attributes:
        change: As one would write it into the configuration.
        total: Bytes on each GPU with this and all changes before it.
        host: Bytes that they put into the CPUs' memory, of all workers together.
        fits: Whether that is enough.
    """

    change: str
    total: int
    host: int
    fits: bool


class TrainPlan(msgspec.Struct, frozen=True):
    """What a run would take.

    Attributes:
        model: Its name.
        parameters: Numbers in the model.
        learning: Numbers that learn.
        gpus: How many.
        gpu: Their kind.
        workload: The dataset.
        epochs: Passes over it.
        global_batch: Sequences before the weights change.
        steps: Changes of the weights, about.
        flops: Operations of the whole run.
        memory: On each GPU.
        memory_total: Of it, all in all, in bytes.
        gpu_memory: What a GPU has, in bytes.
        fits: Whether that is enough.
        remedies: What would make it fit, one change after the other; empty if it fits.
        mfu: Share of the GPUs' peak that was assumed.
        hours: All passes, without loading the model and writing checkpoints.
        usd_per_gpu_hour: As given; None is unknown.
        usd: None is unknown.
    """

    model: str
    parameters: int
    learning: int
    gpus: int
    gpu: Gpu
    workload: Workload
    epochs: int
    global_batch: int
    steps: int
    flops: Flops
    memory: Memory
    memory_total: int
    gpu_memory: int
    fits: bool
    remedies: tuple[Remedy, ...]
    mfu: float
    hours: float
    usd_per_gpu_hour: float | None
    usd: float | None


def make_train_plan(
    config: TrainConfig,
    model_config: Any,
    workload: Workload,
    *,
    gpus: int,
    gpu: Gpu,
    mfu: float = ASSUMED_MFU,
    usd_per_gpu_hour: float | None = None,
) -> TrainPlan:
    """Plan a run.

    Args:
        config: The run.
        model_config: Its model's configuration in transformers' form.
        workload: Its dataset.
        gpus: How many GPUs, with one worker each.
        gpu: Their kind.
        mfu: Share of their peak that training is taken to reach.
        usd_per_gpu_hour: Price of one; None leaves dollars unknown.
    """
    shape = model_shape(model_config, config.model)
    memory = memory_of(config, shape, workload, gpus=gpus)
    flops = training_flops(
        shape, workload.load * config.optim.epochs, checkpointing=config.model.gradient_checkpointing
    )
    hours = flops.model / (gpus * gpu.bf16_tflops * 1e12 * mfu) / 3600
    global_batch = _global_batch(config, gpus)
    fits = memory.total <= gpu.memory
    return TrainPlan(
        model=config.model.name,
        parameters=shape.parameters,
        learning=shape.learning,
        gpus=gpus,
        gpu=gpu,
        workload=workload,
        epochs=config.optim.epochs,
        global_batch=global_batch,
        steps=_steps(config, workload, global_batch),
        flops=flops,
        memory=memory,
        memory_total=memory.total,
        gpu_memory=gpu.memory,
        fits=fits,
        remedies=() if fits else _remedies(config, model_config, workload, gpus, gpu.memory),
        mfu=mfu,
        hours=hours,
        usd_per_gpu_hour=usd_per_gpu_hour,
        usd=None if usd_per_gpu_hour is None else hours * gpus * usd_per_gpu_hour,
    )


def require_fit(config: TrainConfig, model_config: Any, *, gpus: int, gpu_memory: int, longest: int) -> None:
    """Refuse a run that cannot fit, before it starts.

    Args:
        config: The run.
        model_config: Its model's configuration in transformers' form.
        gpus: How many GPUs, with one worker each.
        gpu_memory: Of each, in bytes.
        longest: Longest sample, in tokens.

    Raises:
        ConfigError: With what it would need, what there is, and what would help.
    """
    workload = Workload(1, longest, longest**2, longest, 1, typical_picture(model_config), source="the longest sample")
    memory = memory_of(config, model_shape(model_config, config.model), workload, gpus=gpus)
    if memory.total <= gpu_memory:
        return
    remedies = _remedies(config, model_config, workload, gpus, gpu_memory)
    raise ConfigError(
        f"this run needs about {_gib(memory.total)} GiB on each of {gpus} GPUs, which have {_gib(gpu_memory)}. "
        f"{advice(remedies, gpus)} See `kpray plan train`."
    )


def advice(remedies: tuple[Remedy, ...], gpus: int) -> str:
    """What would make a run fit, in a sentence."""
    if remedies and remedies[-1].fits:
        last = {remedy.change.partition(":")[0]: remedy.change for remedy in remedies}  # of batch sizes, the smallest
        changes = "; ".join(f"`{change}`" for change in last.values())
        host = f" and {_gib(remedies[-1].host)} GiB of the CPUs' memory" if remedies[-1].host else ""
        return f"It fits with {changes}: {_gib(remedies[-1].total)} GiB{host}."
    best = f"; the most that can be saved leaves {_gib(remedies[-1].total)} GiB" if remedies else ""
    return f"No change of the configuration makes it fit {gpus} such GPUs{best}. Take more of them, or larger ones."


def memory_of(config: TrainConfig, shape: ModelShape, workload: Workload, *, gpus: int) -> Memory:
    """Memory on each GPU, at the longest batch that can come."""
    gpu_settings = deepspeed_settings(config, accumulation=config.optim.accumulation, gpu=True)
    return memory_per_gpu(
        shape,
        _largest_batch(config, workload),
        gpus=gpus,
        bytes_per_number=_BYTES[config.model.dtype],
        checkpointing=config.model.gradient_checkpointing,
        eager=config.model.attention == "eager",
        fused_loss=config.model.liger is True,
        zero=gpu_settings["zero_optimization"],
    )


def _largest_batch(config: TrainConfig, workload: Workload) -> Batch:
    rows = config.optim.batch_size
    if config.data.batching != "packed":
        return Batch(rows * workload.longest, workload.longest, workload.picture * rows)
    room = config.data.max_length
    mean = max(1, workload.tokens // workload.samples)
    return Batch(rows * room, workload.longest, _pictures(workload, rows * max(1, room // mean)))


def _pictures(workload: Workload, samples: int) -> ImageLoad:
    return workload.picture * math.ceil(samples * workload.pictures / workload.samples)


def _global_batch(config: TrainConfig, gpus: int) -> int:
    return config.optim.global_batch or config.optim.batch_size * config.optim.accumulation * gpus


def _steps(config: TrainConfig, workload: Workload, global_batch: int) -> int:
    packed = config.data.batching == "packed"
    rows = math.ceil(workload.tokens / config.data.max_length) if packed else workload.samples
    steps = config.optim.epochs * math.ceil(rows / global_batch)
    return min(steps, config.optim.max_steps or steps)


def _remedies(
    config: TrainConfig, model_config: Any, workload: Workload, gpus: int, gpu_memory: int
) -> tuple[Remedy, ...]:
    """Changes, mildest first, each on top of those before, until it fits or nothing is left."""
    remedies: list[Remedy] = []
    for change, changed in _changes(config):
        memory = memory_of(changed, model_shape(model_config, changed.model), workload, gpus=gpus)
        remedies.append(Remedy(change, memory.total, memory.host, memory.total <= gpu_memory))
        if remedies[-1].fits:
            break
    return tuple(remedies)


def _changes(config: TrainConfig) -> Iterator[tuple[str, TrainConfig]]:
    replace = msgspec.structs.replace
    if not config.model.gradient_checkpointing:
        config = replace(config, model=replace(config.model, gradient_checkpointing=True))
        yield "model.gradient_checkpointing: true", config
    if config.deepspeed.stage < 3:
        config = replace(config, deepspeed=replace(config.deepspeed, stage=3))
        yield "deepspeed.stage: 3", config
    while config.optim.batch_size > 1:
        size, times = config.optim.batch_size // 2, config.optim.accumulation * 2
        config = replace(config, optim=replace(config.optim, batch_size=size, accumulation=times))
        yield f"optim.batch_size: {size}, optim.accumulation: {times}", config
    if not config.deepspeed.offload_optimizer:
        config = replace(config, deepspeed=replace(config.deepspeed, offload_optimizer=True))
        yield "deepspeed.offload_optimizer: true", config
    if not config.deepspeed.offload_weights:
        config = replace(config, deepspeed=replace(config.deepspeed, offload_weights=True))
        yield "deepspeed.offload_weights: true", config
    if config.model.lora is None and "language" not in config.model.frozen:
        config = replace(config, model=replace(config.model, lora=LoraConfig()))
        yield "model.lora: {}", config


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f}"
