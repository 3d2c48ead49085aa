"""A model's folder: what it says of itself, and its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForImageTextToText,
    DynamicCache,
)
from transformers.cache_utils import DynamicLayer

from kpray.errors import ConfigError
from kpray.models import model_path
from kpray.serving.config import ServedModel
from kpray.serving.engines.processors import load_processor
from kpray.serving.types import ModelCard

_DTYPES: Final = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
_FALLBACK_LENGTH: Final = 2048


class Loaded(msgspec.Struct, frozen=True):
    """A model that is ready to answer.

    Attributes:
        model: In eval mode, on its device.
        processor: With a chat template.
        card: What is told of it.
        ends: Tokens that end an answer.
        pad_token: Fills rows on the left.
    """

    model: Any
    processor: Any
    card: ModelCard
    ends: frozenset[int]
    pad_token: int


def read_card(served: ServedModel, *, engine: str) -> ModelCard:
    """What a model's files say of it; its weights are not read.

    Raises:
        ConfigError: It is no model that the engine can answer with.
    """
    config = _read_config(served, engine)
    folder = Path(model_path(served.path))
    weights = sorted(folder.glob("*.safetensors")) or [folder / "config.json"]
    created = int(weights[0].stat().st_mtime) if weights[0].exists() else 0
    lineage = folder / "lineage.json"
    return ModelCard(
        id=served.name,
        created=created,
        engine=engine,
        max_tokens=_max_length(served, config),
        lineage=json.loads(lineage.read_text()) if lineage.is_file() else {},
    )


def load(served: ServedModel) -> Loaded:
    """The model with its weights, on a GPU where the process has one.

    Raises:
        ConfigError: It cannot be loaded, has no chat template, or keeps a state that rows cannot share.
    """
    card = read_card(served, engine="transformers")
    gpu = torch.cuda.is_available()
    torch.set_num_threads(served.threads)
    dtype = _DTYPES[served.dtype or ("bfloat16" if gpu else "float32")]
    try:
        path = model_path(served.path)
        processor = load_processor(path)
        model = AutoModelForImageTextToText.from_pretrained(path, dtype=dtype)
    except (ImportError, OSError, ValueError) as error:
        raise ConfigError(_unusable(served, str(error).strip().splitlines()[0])) from error
    _check_usable(served, model, processor)
    model = model.to("cuda" if gpu else "cpu").eval()
    return Loaded(model, processor, card, _ends(model, processor.tokenizer), _pad_token(processor.tokenizer))


def _read_config(served: ServedModel, engine: str) -> Any:
    try:
        config = AutoConfig.from_pretrained(model_path(served.path))
    except (OSError, ValueError) as error:
        raise ConfigError(_unusable(served, str(error).splitlines()[0])) from error
    if engine != "vllm" and type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise ConfigError(_unusable(served, f"a model of type {config.model_type}"))
    return config


def _unusable(served: ServedModel, found: str) -> str:
    return (
        f"model {served.name}: {served.path} cannot be served. Expected a Hugging Face image-text-to-text model with "
        f"its processor (as `kpray train` and `kpray export` write it), or a hub's name; found: {found}"
    )


def _max_length(served: ServedModel, config: Any) -> int:
    own = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None) or _FALLBACK_LENGTH
    if served.max_length and served.max_length > own:
        raise ConfigError(
            f"model {served.name}: max_length {served.max_length} is more than the {own} tokens it was made for"
        )
    return int(served.max_length or own)


def _check_usable(served: ServedModel, model: Any, processor: Any) -> None:
    if not getattr(processor, "chat_template", None):
        raise ConfigError(_unusable(served, "a processor without a chat template"))
    if not all(isinstance(layer, DynamicLayer) for layer in DynamicCache(config=model.config).layers):
        raise ConfigError(_unusable(served, "layers whose state cannot be merged into a batch; use engine: vllm"))


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    named = model.generation_config.eos_token_id
    ends = set(named) if isinstance(named, list) else {named}
    return frozenset(token for token in ends | {tokenizer.eos_token_id} if token is not None)


def _pad_token(tokenizer: Any) -> int:
    found = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return int(found or 0)
