"""What a training run does: typed, strict, and with the paper's Table 2 as defaults."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from kpray.errors import ConfigError

PartName = Literal["vision", "projector", "language"]
"""The parts of a vision-language model that are frozen, or given a learning rate, as one."""


class LoraConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Low-rank adapters on the language model's linear layers; defaults are LLaVA's."""

    rank: int = 128
    alpha: int = 256
    dropout: float = 0.05


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model that is tuned.

    Attributes:
        name: A folder, a hub's name, or ``tiny-base``, which ships with kpray.
        frozen: Parts that do not learn.
        lora: Adapters instead of the language model's own weights; None trains those.
        dtype: Of the weights in forward and backward.
        attention: As transformers names it; None takes the best that is there.
        gradient_checkpointing: Compute activations again in the backward pass instead of keeping them.
        liger: Whether liger's fused kernels are used; None uses them where they are installed and there is a GPU.
    """

    name: str = "llava-hf/llava-1.5-7b-hf"
    frozen: tuple[PartName, ...] = ("vision",)
    lora: LoraConfig | None = None
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    attention: str | None = None
    gradient_checkpointing: bool = True
    liger: bool | None = None


class DataConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is learned from.

    Attributes:
        path: A kpray run's folder, or a file in LLaVA's form (JSON list or JSON Lines).
        images: Folder that the records' image paths are relative to; None takes the run's own.
        kinds: Only these kinds of a kpray run; empty is all.
        limit: Use only the first records.
        max_length: Longest sequence, in tokens, image tokens included; longer samples are skipped, not cut.
        batching: ``packed`` puts several samples into one sequence; ``grouped`` puts samples of like length into one
            batch; ``padded`` takes them as they come.
        max_skipped: Largest share of records that may be skipped before the run refuses to start.
    """

    path: str
    images: str | None = None
    kinds: tuple[str, ...] = ()
    limit: int | None = None
    max_length: int = 2048
    batching: Literal["packed", "grouped", "padded"] = "packed"
    max_skipped: float = 0.05


class OptimConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it learns.

    Attributes:
        epochs: Passes over the data.
        batch_size: Sequences in one forward pass of one worker (``packed``: bins of up to `DataConfig.max_length`).
        accumulation: Forward passes of each worker before the weights change.
        global_batch: Sequences before the weights change, over all workers, where the number of workers may vary; None
            is ``batch_size * accumulation * workers`` of the first start. A run keeps it for good.
        lr: Peak learning rate.
        part_lr: Another peak for some parts.
        schedule: From the peak to the end.
        warmup: Share of the steps in which the rate rises from 0 to the peak.
        weight_decay: On all weights but biases and norms.
        betas: Of AdamW.
        max_grad_norm: Gradients are clipped to it; None clips nothing, as the paper.
        max_steps: Stop after so many steps; None is all.
    """

    epochs: int = 1
    batch_size: int = 8
    accumulation: int = 2
    global_batch: int | None = None
    lr: float = 2e-5
    part_lr: dict[PartName, float] = {}
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = 0.03
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float | None = None
    max_steps: int | None = None


class DeepSpeedConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the model is spread over the workers.

    Attributes:
        stage: 0 nothing, 1 optimizer states, 2 and gradients, 3 and weights are partitioned.
        offload_optimizer: Whether optimizer states live in the CPU's memory.
        offload_weights: Likewise for the weights (stage 3).
        raw: DeepSpeed's own settings, which go before everything here; see its documentation.
    """

    stage: Literal[0, 1, 2, 3] = 3
    offload_optimizer: bool = False
    offload_weights: bool = False
    raw: dict[str, Any] = {}


class CheckpointConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What outlives a crash; whichever of the two intervals comes first counts.

    Attributes:
        every_steps: Between two checkpoints; None is only by time.
        every_minutes: Likewise; None is only by steps.
        keep: How many of the newest are kept.
    """

    every_steps: int | None = 500
    every_minutes: float | None = 30.0
    keep: int = 2


class WorkerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The processes that train.

    Attributes:
        count: How many; with GPUs, one each.
        least: With fewer than `count` nodes alive the run goes on with this many at least; None waits for all.
        gpus: GPUs of each; None is 1 where the cluster has any, else 0.
        cpus: CPUs of each, for the training process itself.
        threads: Of torch in each process on a CPU.
        feeders: CPUs of each that decode and tokenize ahead of the steps.
    """

    count: int = 2
    least: int | None = None
    gpus: float | None = None
    cpus: float = 1.0
    threads: int = 1
    feeders: int = 1


class TrainConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `kpray train` does.

    Attributes:
        out: The run's folder; on a cluster, storage that all nodes reach.
        data: What is learned from.
        model: What is tuned.
        optim: How.
        deepspeed: How it is spread over the workers.
        checkpoint: What outlives a crash.
        workers: The processes.
        seed: Of the order of the samples and of every draw.
        log_every: Steps between two lines of metrics.
        report_to: Besides the log and TensorBoard: ``wandb``, ``mlflow``.
    """

    out: str
    data: DataConfig
    model: ModelConfig = ModelConfig()
    optim: OptimConfig = OptimConfig()
    deepspeed: DeepSpeedConfig = DeepSpeedConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    workers: WorkerConfig = WorkerConfig()
    seed: int = 0
    log_every: int = 1
    report_to: tuple[Literal["wandb", "mlflow"], ...] = ()

    def __post_init__(self) -> None:
        """Refuse combinations that no run can mean.

        Raises:
            ConfigError: With the keys concerned.
        """
        if self.deepspeed.offload_weights and self.deepspeed.stage != 3:
            raise ConfigError(f"`deepspeed.offload_weights` needs `deepspeed.stage: 3`; found {self.deepspeed.stage}")
        if self.model.lora and "language" in self.model.frozen:
            raise ConfigError("`model.lora` trains the language model, which `model.frozen` names; drop one of them")
        if set(self.model.frozen) == {"vision", "projector", "language"}:
            raise ConfigError("`model.frozen` names every part, so nothing would learn")
