"""What a worker's device is and has."""

from __future__ import annotations

import resource
import sys
from typing import Any

import msgspec
import torch

from kpray.training.estimate import require_fit
from kpray.training.gpus import gpu_of_device
from kpray.training.job import Job
from kpray.training.model import read_model_config, uses_liger


def require_fit_here(job: Job, world: int) -> None:
    """Refuse what this worker's GPU cannot hold before it is tried; without a GPU nothing is known.

    Raises:
        ConfigError: With what it would need, what there is, and what would help.
    """
    if not torch.cuda.is_available():
        return
    memory = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    liger = uses_liger(job.config.model, gpu=True)
    config = msgspec.structs.replace(job.config, model=msgspec.structs.replace(job.config.model, liger=liger))
    model_config = read_model_config(config.model.name)
    require_fit(config, model_config, gpus=world, gpu_memory=memory, longest=job.source.longest())


def peak_tflops(device: torch.device) -> float | None:
    """Of this worker's GPU, in 1e12 operations a second; None without one, or where it is not known."""
    gpu = gpu_of_device(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    return gpu.bf16_tflops if gpu else None


def memory_gb(device: torch.device) -> float:
    """Most that was in use so far: of the GPU's memory, or of the machine's by this process without one."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory has run out, a GPU's or the machine's; for the latter torch has no error of its own."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def is_flash(model: Any) -> bool:
    """Whether attention kernels take sequences of different lengths as one."""
    return "flash" in str(getattr(model.config, "_attn_implementation", None))
