"""From a checkpoint to a folder that transformers loads and vLLM serves."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch

from kpray import storage
from kpray.errors import ConfigError, InputError
from kpray.models import model_path
from kpray.training.card import write_card
from kpray.training.checkpoints import CheckpointAt, complete_checkpoints, local_copy, newest_checkpoint
from kpray.training.families import family_of, load_processor
from kpray.training.manifest import TrainManifest, read_train_manifest, versions
from kpray.training.metrics import read_metrics
from kpray.training.model import DTYPES, read_model_config
from kpray.training.weights import adapters, merged, plain_name, public_name, read_weights, write_weights


class Exported(msgspec.Struct, frozen=True):
    """What was written.

    Attributes:
        out: The folder.
        checkpoint: What it is from.
        step: Steps that the weights had taken.
        bytes: Of weights.
        adapter: Whether it is an adapter alone, which needs the base model.
    """

    out: str
    checkpoint: str
    step: int
    bytes: int
    adapter: bool


def export(run_or_checkpoint: str, out: str, *, merge_lora: bool = True) -> Exported:
    """Write a model folder from a training run.

    Args:
        run_or_checkpoint: A run's folder, for its newest complete checkpoint, or a checkpoint's.
        out: A local folder, new or empty; it appears when it is complete.
        merge_lora: False writes the adapter alone, in peft's form, with what else was trained beside it.

    Raises:
        ConfigError: The base model's configuration or processor cannot be had, there is no adapter to keep, or `out`
            is not empty.
        InputError: There is no complete checkpoint.
        StorageError: The checkpoint cannot be read.
    """
    run, checkpoint = _locate(run_or_checkpoint)
    manifest = read_train_manifest(run)
    if manifest is None:
        raise InputError(f"{run} has no run.json; expected the folder of a `kpray train` run")
    if not merge_lora and manifest.config.model.lora is None:
        raise ConfigError(f"{run} was trained without LoRA, so there is no adapter to keep; drop --keep-adapter")
    target = _empty(out)
    with tempfile.TemporaryDirectory(dir=_parent(target), prefix=f".{target.name}-") as aside:
        folder = Path(aside) / "model"
        folder.mkdir()
        with local_copy(checkpoint, first=True, barrier=lambda: None) as local:
            write = _write_model if merge_lora else _write_adapter
            size = write(manifest, local, folder)
        _write_lineage(manifest, checkpoint, folder, adapter=not merge_lora)
        write_card(manifest, read_metrics(run), folder, step=checkpoint.step, adapter=not merge_lora)
        with contextlib.suppress(FileNotFoundError):
            target.rmdir()
        folder.replace(target)
    return Exported(str(target), checkpoint.path, checkpoint.step, size, not merge_lora)


def require_token() -> str:
    """The hub's token, looked at before anything is written.

    Raises:
        ConfigError: There is none, or huggingface_hub is not installed.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        raise ConfigError("--push needs the package huggingface_hub: pip install huggingface_hub")
    token = os.environ.get("HF_TOKEN")
    if not token:
        raise ConfigError("--push needs a token that may write in the environment variable HF_TOKEN; none is set")
    return token


def push(folder: str, repo: str) -> str:
    """Upload an exported folder to a hub's repository, which is made (private) where there is none.

    Returns:
        The address of the upload.

    Raises:
        ConfigError: There is no token, or huggingface_hub is not installed.
    """
    token = require_token()
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    api.create_repo(repo, private=True, exist_ok=True)
    return str(api.upload_folder(repo_id=repo, folder_path=folder).commit_url)


def _locate(path: str) -> tuple[str, CheckpointAt]:
    """The run's folder and the checkpoint that a path means."""
    path = path.rstrip("/")
    if storage.exists(storage.join(path, "run.json")):
        newest = newest_checkpoint(path)
        if newest is None:
            raise InputError(f"{path} has no complete checkpoint yet; let it train on")
        return path, newest
    run = path.rpartition("/checkpoints/")[0]
    for checkpoint in complete_checkpoints(run) if run else []:
        if checkpoint.path.rstrip("/").endswith(path.rpartition("/")[2]):
            return run, checkpoint
    raise InputError(
        f"{path} is neither the folder of a `kpray train` run nor a complete checkpoint in it. Expected a folder with "
        "run.json, or one below its checkpoints/"
    )


def _empty(out: str) -> Path:
    if "://" in out:
        raise ConfigError(f"`--out` must be a local folder; found {out}. Copy it there afterwards")
    target = Path(out).expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target} is there already and not empty; choose another --out")
    return target


def _parent(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.parent


def _write_model(manifest: TrainManifest, checkpoint: Path, folder: Path) -> int:
    from transformers import AutoModelForImageTextToText

    settings = manifest.config.model
    config = read_model_config(settings.name)
    dtype = DTYPES[settings.dtype]
    with torch.device("meta"):
        built = AutoModelForImageTextToText.from_config(config, dtype=dtype)
    shapes = {name: parameter.data for name, parameter in built.named_parameters()}  # tied weights come once
    weights = merged(read_weights(checkpoint), settings.lora)
    size = write_weights(weights, shapes, folder, name_of=lambda name: public_name(name, config))
    config.architectures, config.dtype = [type(built).__name__], dtype
    config.save_pretrained(folder)
    _generation_config(settings.name, config).save_pretrained(folder)
    _write_processor(settings.name, config, folder)
    return size


def _generation_config(name: str, config: Any) -> Any:
    """The base model's own where it has one."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(model_path(name))
    except OSError:
        return GenerationConfig.from_model_config(config)


def _write_processor(name: str, config: Any, folder: Path) -> None:
    """Processor, tokenizer and chat template as they were in training."""
    try:
        processor = load_processor(name)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the processor of {name} cannot be loaded ({str(error).splitlines()[0]})") from error
    family_of(config.model_type).adapted(processor).save_pretrained(folder)


def _write_adapter(manifest: TrainManifest, checkpoint: Path, folder: Path) -> int:
    """The adapter in peft's form; modules of other parts that learned are among its ``modules_to_save``."""
    from peft import LoraConfig as PeftConfig
    from safetensors.torch import save_file

    settings = manifest.config.model
    assert settings.lora is not None
    config = read_model_config(settings.name)
    weights, part_of = read_weights(checkpoint), family_of(config.model_type).part_of
    low_rank = adapters(weights)
    learned = {
        name: get
        for name, get in weights.items()
        if name not in low_rank and part_of(plain_name(name)) not in ("language", *settings.frozen)
    }
    chosen = {name.replace(".default.", "."): get for name, get in (low_rank | learned).items()}
    tensors = {name: get().to(DTYPES[settings.dtype]).contiguous().clone() for name, get in chosen.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    PeftConfig(
        r=settings.lora.rank,
        lora_alpha=settings.lora.alpha,
        lora_dropout=settings.lora.dropout,
        target_modules=sorted({plain_name(name).rpartition(".lora_")[0] for name in low_rank}),
        modules_to_save=sorted({plain_name(name).rpartition(".")[0] for name in learned}) or None,
        base_model_name_or_path=settings.name,
        task_type="CAUSAL_LM",
        inference_mode=True,
    ).save_pretrained(folder)
    _write_processor(settings.name, config, folder)
    return sum(tensor.nbytes for tensor in tensors.values())


def _without_keys(value: Any) -> Any:
    """A configuration whose addresses lack the keys of object stores, as the folder may be published.

    >>> _without_keys({"data": {"path": "s3://name:secret@bucket/runs?region=us-east-1"}, "seed": 0})
    {'data': {'path': 's3://bucket/runs?region=us-east-1'}, 'seed': 0}
    """
    if isinstance(value, dict):
        return {key: _without_keys(one) for key, one in value.items()}
    return storage.without_keys(value) if isinstance(value, str) else value


def _write_lineage(manifest: TrainManifest, checkpoint: CheckpointAt, folder: Path, *, adapter: bool) -> None:
    lineage: Mapping[str, Any] = {
        "base_model": manifest.config.model.name,
        "adapter_alone": adapter,
        "checkpoint": storage.join("checkpoints", checkpoint.path.rstrip("/").rpartition("/")[2]),
        "step": checkpoint.step,
        "steps": manifest.steps,
        "workers": checkpoint.world,
        "global_batch": manifest.global_batch,
        "dataset": manifest.data,
        "config": _without_keys(msgspec.to_builtins(manifest.config)),
        "trained_with": manifest.software,
        "exported_with": versions(),
        "sessions": msgspec.to_builtins(manifest.sessions),
    }
    (folder / "lineage.json").write_text(json.dumps(lineage, indent=2) + "\n", encoding="utf-8")
