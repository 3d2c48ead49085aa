"""kpray's typed settings as DeepSpeed's JSON.

DeepSpeed's own names and defaults: https://www.deepspeed.ai/docs/config-json. What `DeepSpeedConfig.raw` says goes
before everything here; whether its keys are known is DeepSpeed's business. Its ``auto``, as in files for the Hugging
Face Trainer, means the value here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kpray.training.config import TrainConfig

_SMALLEST_PARTITIONED = 1_000
"""Elements; smaller weights (norms, biases) are kept whole by every worker, so they need no gathering (stage 3)."""

_NEVER = 1 << 40


def deepspeed_settings(config: TrainConfig, *, accumulation: int, gpu: bool) -> dict[str, Any]:
    """What `deepspeed.initialize` is given.

    Args:
        config: The run.
        accumulation: Most forward passes of a worker before the weights change; DeepSpeed needs to know whether it is
            more than one. The loop itself says which pass is the last, and scales the loss.
        gpu: Whether workers have GPUs. Overlapping communication needs streams, which gloo on a CPU has not.
    """
    settings: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": config.optim.batch_size,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": config.optim.max_grad_norm or 0.0,
        "bf16": {"enabled": config.model.dtype == "bfloat16"},
        "fp16": {"enabled": config.model.dtype == "float16"},
        "zero_optimization": _zero(config, gpu),
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": _NEVER,
    }
    return merged(settings, config.deepspeed.raw)


def _zero(config: TrainConfig, gpu: bool) -> dict[str, Any]:
    zero: dict[str, Any] = {
        "stage": config.deepspeed.stage,
        "overlap_comm": gpu,
        "contiguous_gradients": gpu,
    }
    if config.deepspeed.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": gpu}
    if config.deepspeed.stage == 3:
        zero["stage3_param_persistence_threshold"] = _SMALLEST_PARTITIONED
        zero["stage3_gather_16bit_weights_on_model_save"] = True
        if config.deepspeed.offload_weights:
            zero["offload_param"] = {"device": "cpu", "pin_memory": gpu}
    return zero


def merged(settings: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others put over them, group by group.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}, "d": 4})
    {'a': {'b': 1, 'c': 3}, 'd': 4}
    >>> merged({"a": 1}, {"a": "auto", "b": "auto"})
    {'a': 1}
    """
    result = dict(settings)
    for key, value in raw.items():
        if isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, Mapping) else {}, value)
        elif value != "auto":
            result[key] = value
    return result
