"""The weights in a checkpoint, one at a time, and how they are written for others to load.

A DeepSpeed checkpoint holds slices of every weight; DeepSpeed's own ``zero_to_fp32`` tells where they are and puts one
together when it is asked for. So no more than one file of the model is in memory.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from kpray.errors import StorageError
from kpray.training.checkpoints import TAG
from kpray.training.config import LoraConfig

LARGEST_FILE = 5_000_000_000
"""Bytes in one file of weights, as transformers cuts them."""

_ADAPTER = re.compile(r"(.+)\.lora_[AB]\.default\.weight")
_CLIP_TOWERS = ("clip_vision_model", "siglip_vision_model")

_PUBLIC_NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "llava": (
        ("model.language_model.", "language_model.model."),
        ("lm_head.", "language_model.lm_head."),
        ("model.vision_tower.", "vision_tower."),
        ("model.multi_modal_projector.", "multi_modal_projector."),
        ("model.image_newline", "image_newline"),
    ),
    "qwen": (("model.visual.", "visual."), ("model.language_model.", "model.")),
}
"""Beginnings of names in transformers 5, and of the same in the published models, which vLLM and older transformers
read, and transformers 5 as well."""

Weights = Mapping[str, Callable[[], torch.Tensor]]
"""How to get each weight, by its name in the model as loaded; in 32 bits where they learned."""


def read_weights(checkpoint: Path) -> dict[str, Callable[[], torch.Tensor]]:
    """The weights of a checkpoint of any ZeRO stage, by DeepSpeed's names.

    Raises:
        StorageError: It is not one, or is damaged.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # where it tells what it takes for the accelerator
        from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    folder = checkpoint / TAG
    try:
        if not any(folder.glob("*_optim_states.pt")):
            state = torch.load(folder / "mp_rank_00_model_states.pt", map_location="cpu", weights_only=False)["module"]
            return {name: _constant(tensor) for name, tensor in state.items()}
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            lazy = get_fp32_state_dict_from_zero_checkpoint(str(checkpoint), tag=TAG, lazy_mode=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise StorageError(
            f"{folder} cannot be read as a DeepSpeed checkpoint ({error}); export another one"
        ) from error
    return {name: tensor.contiguous for name, tensor in lazy.items()}


def _constant(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
    return lambda: tensor


def plain_name(name: str) -> str:
    """A weight's name without what peft puts around it.

    >>> plain_name("base_model.model.lm_head.weight"), plain_name("base_model.model.a.q_proj.base_layer.weight")
    ('lm_head.weight', 'a.q_proj.weight')
    """
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".")


def adapters(weights: Weights) -> dict[str, Callable[[], torch.Tensor]]:
    """The low-rank adapters among a checkpoint's weights, by DeepSpeed's names; empty without LoRA."""
    return {name: get for name, get in weights.items() if _ADAPTER.fullmatch(name)}


def merged(weights: Weights, lora: LoraConfig | None) -> dict[str, Callable[[], torch.Tensor]]:
    """The model's own weights, each with its adapter added: ``W + alpha / rank * B A``."""
    pairs: dict[str, str] = {}
    for name in adapters(weights):
        module = name.rpartition(".lora_")[0]
        pairs[plain_name(module) + ".weight"] = module
    plain = {plain_name(name): get for name, get in weights.items() if not _ADAPTER.fullmatch(name)}
    if lora is None:
        return plain
    scale = lora.alpha / lora.rank
    return {
        name: _with_adapter(get, weights, pairs[name], scale) if name in pairs else get for name, get in plain.items()
    }


def _with_adapter(
    get: Callable[[], torch.Tensor], weights: Weights, module: str, scale: float
) -> Callable[[], torch.Tensor]:
    def together() -> torch.Tensor:
        down, up = (weights[f"{module}.lora_{side}.default.weight"]().float() for side in "AB")
        return get().float() + scale * (up @ down)

    return together


def public_name(name: str, config: Any) -> str:
    """A weight's name as the family's published models have it.

    Args:
        name: In the model as transformers has it.
        config: The model's configuration in transformers' form.
    """
    rules = next((rules for kind, rules in _PUBLIC_NAMES.items() if config.model_type.startswith(kind)), ())
    inside, outside = next((rule for rule in rules if name.startswith(rule[0])), ("", ""))
    if outside == "vision_tower." and config.vision_config.model_type in _CLIP_TOWERS:
        outside = "vision_tower.vision_model."
    return outside + name.removeprefix(inside)


def write_weights(
    weights: Weights, shapes: Mapping[str, torch.Tensor], out: Path, *, name_of: Callable[[str], str]
) -> int:
    """Write a model's weights as safetensors files, holding one file's worth at a time.

    Args:
        weights: At least those of `shapes`.
        shapes: Every weight that the model has, on the ``meta`` device, in the dtype to write.
        out: The folder.
        name_of: What a weight is called in the files.

    Returns:
        Bytes written.

    Raises:
        StorageError: A weight is missing, or of another shape.
    """
    missing = [name for name in shapes if name not in weights]
    if missing:
        raise StorageError(
            f"the checkpoint lacks {len(missing)} weights of the model, {missing[0]} among them; was it made with "
            "another model or another version?"
        )
    files = list(_files(shapes))
    index: dict[str, str] = {}
    for number, names in enumerate(files, start=1):
        file = "model.safetensors" if len(files) == 1 else f"model-{number:05d}-of-{len(files):05d}.safetensors"
        _write_file({name: (weights[name], shapes[name]) for name in names}, out / file, name_of)
        index |= {name_of(name): file for name in names}
    size = sum(int(tensor.nbytes) for tensor in shapes.values())
    if len(files) > 1:
        text = json.dumps({"metadata": {"total_size": size}, "weight_map": index}, indent=2)
        (out / "model.safetensors.index.json").write_text(text + "\n", encoding="utf-8")
    return size


def _files(shapes: Mapping[str, torch.Tensor]) -> Iterator[list[str]]:
    names: list[str] = []
    size = 0
    for name, tensor in shapes.items():
        if names and size + tensor.nbytes > LARGEST_FILE:
            yield names
            names, size = [], 0
        names.append(name)
        size += tensor.nbytes
    yield names


def _write_file(
    wanted: Mapping[str, tuple[Callable[[], torch.Tensor], torch.Tensor]], path: Path, name_of: Callable[[str], str]
) -> None:
    from safetensors.torch import save_file

    tensors = {}
    for name, (get, like) in wanted.items():
        tensor = get()
        if tensor.shape != like.shape:
            raise StorageError(f"{name} in the checkpoint is {tuple(tensor.shape)}; the model's is {tuple(like.shape)}")
        tensors[name_of(name)] = tensor.to(like.dtype).contiguous().clone()
    save_file(tensors, path, metadata={"format": "pt"})
