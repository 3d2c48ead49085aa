"""What a run would do, as text: the configuration and what DeepSpeed is told."""

from __future__ import annotations

import json

import msgspec
import yaml

from kpray.training.config import TrainConfig
from kpray.training.deepspeed import deepspeed_settings


def describe_config(config: TrainConfig) -> str:
    """The resolved configuration as YAML, and DeepSpeed's settings as JSON."""
    optim = config.optim
    batch = optim.global_batch or optim.batch_size * optim.accumulation * config.workers.count
    passes = -(-batch // (optim.batch_size * config.workers.count))
    gpu = config.workers.gpus is None or config.workers.gpus > 0
    settings = deepspeed_settings(config, accumulation=passes, gpu=gpu)
    return "\n".join(
        [
            yaml.safe_dump(msgspec.to_builtins(config), sort_keys=False).rstrip(),
            f"\n{batch} sequences a step: {config.workers.count} workers x {passes} passes x {optim.batch_size}",
            f"\nDeepSpeed{' (on GPUs)' if gpu else ''}:",
            json.dumps(settings, indent=2),
        ]
    )
