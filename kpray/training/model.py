"""The model that is tuned: loaded, its parts frozen or adapted, its weights in groups with their learning rates."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel
from transformers.utils import is_flash_attn_2_available

from kpray.errors import ConfigError
from kpray.models import model_path
from kpray.training.config import LoraConfig, ModelConfig, OptimConfig, PartName
from kpray.training.types import Family

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def read_model_config(name: str) -> Any:
    """A model's configuration, by folder or hub name.

    Raises:
        ConfigError: There is none.
    """
    try:
        return AutoConfig.from_pretrained(model_path(name))
    except (OSError, ValueError) as error:
        raise ConfigError(_not_loadable(name, error)) from error


def _not_loadable(name: str, error: Exception) -> str:
    kind = "the folder" if Path(name).exists() else "the hub's name"
    return (
        f"`model.name: {name}` cannot be loaded ({str(error).splitlines()[0]}). Expected a Hugging Face image-text-to-"
        f"text model: a folder with config.json and weights, or a hub's name; found {kind} {name}"
    )


def load_model(config: ModelConfig, *, gpu: bool) -> PreTrainedModel:
    """The model with its weights, in its dtype, ready to be frozen and adapted.

    Where transformers' DeepSpeed configuration is set (stage 3), every worker keeps only its part of each weight as
    it is read.

    Raises:
        ConfigError: It cannot be loaded.
    """
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            model_path(config.name),
            dtype=DTYPES[config.dtype],
            attn_implementation=config.attention or _attention(gpu),
        )
    except (OSError, ValueError) as error:
        raise ConfigError(_not_loadable(config.name, error)) from error
    model.config.use_cache = False
    if uses_liger(config, gpu=gpu):
        _apply_liger(model)
    return model


def _attention(gpu: bool) -> str:
    return "flash_attention_2" if gpu and is_flash_attn_2_available() else "sdpa"


def uses_liger(config: ModelConfig, *, gpu: bool) -> bool:
    """Whether liger's kernels are used.

    Raises:
        ConfigError: They are asked for and not installed.
    """
    installed = importlib.util.find_spec("liger_kernel") is not None
    if config.liger and not installed:
        raise ConfigError("`model.liger: true` needs the package liger-kernel: pip install liger-kernel")
    return (installed and gpu) if config.liger is None else config.liger


def _apply_liger(model: PreTrainedModel) -> None:
    from liger_kernel.transformers import _apply_liger_kernel_to_instance

    _apply_liger_kernel_to_instance(model=model)


def prepare_model(model: PreTrainedModel, config: ModelConfig, family: Family) -> Any:
    """Freeze, adapt, and choose what is kept for the backward pass; returns the model to train."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(family.part_of(name) not in config.frozen)
    prepared = add_lora(model, config.lora, family) if config.lora else model
    if config.gradient_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        # transformers hooks the embeddings so that reentrant checkpoints pass gradients on. These need no hook, and
        # with it a frozen vision tower would keep its activations and run backward.
        model.disable_input_require_grads()
    return prepared


def add_lora(model: PreTrainedModel, lora: LoraConfig, family: Family) -> Any:
    """The model with adapters on the language part's linear layers but the last, as LLaVA; the projector still learns.

    Raises:
        ConfigError: peft is not installed.
    """
    if not importlib.util.find_spec("peft"):
        raise ConfigError("`model.lora` needs the package peft: pip install peft")
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    targets = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and family.part_of(f"{name}.weight") == "language"
        and not name.endswith("lm_head")
    ]
    learning = {
        id(parameter)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and family.part_of(name) != "language"
    }
    adapted = get_peft_model(
        model,
        PeftConfig(
            r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type="CAUSAL_LM"
        ),
    )
    for parameter in model.parameters():  # peft froze everything but its own
        if id(parameter) in learning:
            parameter.requires_grad_(True)
    return adapted


def base_name(parameter: str) -> str:
    """A parameter's name in the model as loaded, without what peft puts around it.

    >>> base_name("base_model.model.model.language_model.layers.0.mlp.up_proj.lora_A.default.weight")
    'model.language_model.layers.0.mlp.up_proj.weight'
    """
    name = parameter.removeprefix("base_model.model.")
    for part in (".lora_A.default", ".lora_B.default", ".base_layer"):
        name = name.replace(part, "")
    return name


def parameter_groups(model: Any, family: Family, optim: OptimConfig) -> list[dict[str, Any]]:
    """The weights that learn, by part and by whether they decay, for torch's optimizers.

    Each group has a `name` and a `peak_lr` besides what the optimizer knows. Biases and norms (one dimension) do not
    decay; where nothing does, they are no groups of their own.

    Raises:
        ConfigError: Nothing learns, or `optim.part_lr` names a part of which nothing does.
    """
    members: dict[tuple[PartName, bool], list[Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decays = optim.weight_decay == 0 or len(_shape(parameter)) > 1
            members.setdefault((family.part_of(base_name(name)), decays), []).append(parameter)
    _require_learning({part for part, _ in members}, optim.part_lr)
    groups = []
    for (part, decays), parameters in sorted(members.items()):
        lr = optim.part_lr.get(part, optim.lr)
        decay = optim.weight_decay if decays else 0.0
        name = part if decays else f"{part}-no-decay"
        groups.append({"params": parameters, "lr": lr, "weight_decay": decay, "name": name, "peak_lr": lr})
    return groups


def _require_learning(parts: Iterable[str], part_lr: Mapping[PartName, float]) -> None:
    learning = set(parts)
    if not learning:
        raise ConfigError("nothing of the model learns; check `model.frozen` and `model.lora`")
    idle = set(part_lr) - learning
    if idle:
        raise ConfigError(
            f"`optim.part_lr` names {sorted(idle)}, of which nothing learns; learning: {sorted(learning)}"
        )


def _shape(parameter: Any) -> tuple[int, ...]:
    """A weight's own shape, also while ZeRO-3 keeps only a flat part of it here."""
    return tuple(getattr(parameter, "ds_shape", parameter.shape))
