"""What a model is made of, counted on torch's ``meta`` device: exact numbers without its weights or any memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import torch
from torch import nn

from kpray.errors import ConfigError
from kpray.training.config import LoraConfig, ModelConfig, PartName
from kpray.training.families import family_of
from kpray.training.model import read_model_config

PARTS: tuple[PartName, ...] = ("vision", "projector", "language")
_LAYER = re.compile(r"\.(?:layers|blocks)\.(\d+)\.")
_INTO = ("q_proj", "qkv")
_OUT_OF = ("o_proj", "out_proj", "proj")


class PartShape(msgspec.Struct, frozen=True):
    """One part of a model. FLOPs are of the forward pass; a multiplication and an addition are two.

    Attributes:
        parameters: Numbers of it, without adapters.
        adapters: Numbers of its low-rank adapters.
        learns: Whether its own weights do.
        first: FLOPs per row of a matrix product with nothing before it in the part (of patches, for the tower).
        layers: FLOPs per row of all other matrix products in it, without its head.
        idle: Those of `layers` whose result nothing uses (the tower's layers behind the one that is taken).
        last: Those of `layers` that end a layer in use; checkpointing need not compute them again.
        head: FLOPs per row of the product that makes logits; 0 in the others.
        lora: FLOPs per row of its adapters.
        pairs: FLOPs of attention per pair of rows that see each other.
        window_pairs: Likewise, of layers whose attention is windowed.
        idle_pairs: Those of `pairs` in idle layers.
        depth: Transformer layers.
        width: Of a row between its layers.
        inner: Widest row inside its feed-forward network.
        kv_width: Of keys and values, which may have fewer heads.
        heads: Of its attention.
        gated: Whether its feed-forward network has a gate, as Llama's.
    """

    parameters: int = 0
    adapters: int = 0
    learns: bool = True
    first: int = 0
    layers: int = 0
    idle: int = 0
    last: int = 0
    head: int = 0
    lora: int = 0
    pairs: int = 0
    window_pairs: int = 0
    idle_pairs: int = 0
    depth: int = 0
    width: int = 0
    inner: int = 0
    kv_width: int = 0
    heads: int = 0
    gated: bool = False

    @property
    def learning(self) -> int:
        """Numbers that have a gradient and optimizer states."""
        return self.adapters + (self.parameters if self.learns else 0)


class ModelShape(msgspec.Struct, frozen=True):
    """A model as far as time and memory go.

    Attributes:
        model_type: As its configuration names it.
        vision: The tower.
        projector: What makes rows of the tower into rows of the language model.
        language: The language model, its embedding and its head included.
        vocabulary: Different tokens.
        lora: Whether the language model learns through adapters.
    """

    model_type: str
    vision: PartShape
    projector: PartShape
    language: PartShape
    vocabulary: int
    lora: bool

    @property
    def parts(self) -> tuple[PartShape, PartShape, PartShape]:
        """All three, in the order in which they compute."""
        return self.vision, self.projector, self.language

    @property
    def parameters(self) -> int:
        """Numbers in the model, without adapters."""
        return sum(part.parameters for part in self.parts)

    @property
    def learning(self) -> int:
        """Numbers that learn."""
        return sum(part.learning for part in self.parts)


def image_text_config(name: str) -> Any:
    """The configuration of an image-text-to-text model, by folder or hub name, in transformers' form.

    Raises:
        ConfigError: It cannot be had, or is of another kind of model.
    """
    config = read_model_config(name)
    if not hasattr(config, "vision_config"):
        raise ConfigError(
            f"`model.name: {name}` is a {config.model_type} model; expected one that takes images and text"
        )
    return config


def model_shape(config: Any, model: ModelConfig) -> ModelShape:
    """Count a model.

    Args:
        config: The model's configuration in transformers' form.
        model: What of it learns, and how.

    Raises:
        ConfigError: Its family is not known.
    """
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        built = AutoModelForImageTextToText.from_config(config)
    part_of = family_of(config.model_type).part_of
    modules: dict[PartName, list[tuple[str, nn.Module]]] = {part: [] for part in PARTS}
    for name, module in built.named_modules():
        if list(module.children()) == [] or _out_projection(module) is not None:
            modules[part_of(f"{name}.weight")].append((name, module))
    parameters = dict.fromkeys(PARTS, 0)
    for name, parameter in built.named_parameters():  # tied ones come once
        parameters[part_of(name)] += parameter.numel()
    shapes = {part: _part_shape(part, modules[part], parameters[part], config, model) for part in PARTS}
    vocabulary = int(config.get_text_config().vocab_size)
    return ModelShape(config.model_type, **shapes, vocabulary=vocabulary, lora=model.lora is not None)


def _part_shape(
    part: PartName, modules: list[tuple[str, nn.Module]], parameters: int, config: Any, model: ModelConfig
) -> PartShape:
    lora = model.lora if part == "language" else None
    products = [(name, module) for name, module in modules if _product(module)]
    in_layers = [(name, module) for name, module in products if _layer_of(name) is not None]
    depth = 1 + max((_layer_of(name) or 0 for name, _ in in_layers), default=-1)
    idle_from = _used_layers(config, depth) if part == "vision" else depth
    first = products[0][1] if part == "vision" or modules[0] == products[0] else None  # a norm before it may learn
    head = products[-1][1] if part == "language" else None
    others = [(name, module) for name, module in products if module is not first and module is not head]
    ending = {_layer_of(name) or 0: module for name, module in in_layers}
    attention = list(_attention(modules, config if part == "vision" else None))
    return PartShape(
        parameters=parameters,
        adapters=sum(_adapter(module, lora) for _, module in in_layers),
        learns=part not in model.frozen and lora is None,
        first=_product(first) if first else 0,
        layers=sum(_product(module) for _, module in others),
        idle=sum(_product(module) for name, module in others if (_layer_of(name) or 0) >= idle_from),
        last=sum(_product(module) for layer, module in ending.items() if layer < idle_from),
        head=_product(head) if head else 0,
        lora=sum(2 * _adapter(module, lora) for _, module in in_layers),
        pairs=sum(flops for _, flops, windowed in attention if not windowed),
        window_pairs=sum(flops for _, flops, windowed in attention if windowed),
        idle_pairs=sum(flops for layer, flops, _ in attention if layer >= idle_from),
        depth=depth,
        **_sizes(modules, in_layers),
    )


def _sizes(modules: list[tuple[str, nn.Module]], in_layers: list[tuple[str, nn.Module]]) -> dict[str, Any]:
    linear = [module for _, module in in_layers if isinstance(module, nn.Linear)]
    into = [module for name, module in in_layers if name.rpartition(".")[2] in _INTO]
    outputs = [out for _, module in modules if (out := _out_projection(module))]
    heads = [int(getattr(module, "num_heads", 0)) or _heads(module) for _, module in modules if _out_projection(module)]
    width = into[0].in_features if into else max((m.in_features for m in linear), default=0)
    return {
        "width": width,
        "inner": max((m.out_features for m in linear if m not in into), default=0),
        "kv_width": next((m.out_features for name, m in in_layers if name.endswith(".k_proj")), width),
        "gated": any(name.endswith(".gate_proj") for name, _ in in_layers),
        "heads": heads[0] if outputs else 0,
    }


def _heads(attention: nn.Module) -> int:
    out = _out_projection(attention)
    return int(out.in_features // attention.head_dim) if out is not None else 0


def _attention(modules: list[tuple[str, nn.Module]], vision: Any) -> Iterator[tuple[int, int, bool]]:
    """Layer, FLOPs per pair (scores and weighted sum: 2 products of as many numbers as all heads have), windowed?"""
    full = getattr(vision.vision_config, "fullatt_block_indexes", None) if vision is not None else None
    for name, module in modules:
        out = _out_projection(module)
        if out is not None:
            layer = _layer_of(f"{name}.") or 0
            yield layer, 4 * out.in_features, full is not None and layer not in full


def _out_projection(module: nn.Module) -> nn.Linear | None:
    if not any(hasattr(module, name) for name in _INTO):
        return None
    return next(getattr(module, name) for name in _OUT_OF if hasattr(module, name))


def _used_layers(config: Any, depth: int) -> int:
    """How many of the tower's layers matter: LLaVA takes the rows before the last one."""
    taken = getattr(config, "vision_feature_layer", -1)
    last = max(layer if layer >= 0 else depth + 1 + layer for layer in ([taken] if isinstance(taken, int) else taken))
    return min(last, depth)


def _layer_of(name: str) -> int | None:
    found = _LAYER.search(name)
    return int(found[1]) if found else None


def _product(module: nn.Module | None) -> int:
    """FLOPs per row (per patch, for a convolution)."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
        return 2 * int(module.weight.numel())
    return 0


def _adapter(module: nn.Module, lora: LoraConfig | None) -> int:
    if lora is None or not isinstance(module, nn.Linear):
        return 0
    return lora.rank * int(module.in_features + module.out_features)
