"""Small random models of every family with their processors, built in code: no network, no weights.

Tokenizers are trained on a templated corpus: BPE over characters with bytes behind them for the LLaVA families (as
Llama's), BPE over bytes for the Qwen families. `tiny(model_type)` gives the pair.
"""

from __future__ import annotations

import functools
import itertools
import json
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.processing_llava import LlavaProcessor
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.processing_llava_next import LlavaNextProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from kpray.schemas import Turn
from kpray.training.families.processors import still_processor

MODEL_TYPES = ("llava", "llava_next", "qwen2_vl", "qwen2_5_vl")
IMAGE_PX = 56
PATCH_PX = 14

LLAVA_HF_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' '}}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
"""As the public conversions of LLaVA-1.5 have it: no system sentence, and nothing ends an answer."""

MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' }}"
    "{% for part in message['content'] %}"
    "{{ '<image>\n' if part['type'] == 'image' else part['text'] }}{% endfor %}{{ ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'][0]['text'] | trim + eos_token }}{% endif %}{% endfor %}"
)
"""As LLaVA-NeXT on Mistral has it: it trims answers and ends them."""

CHATML_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As Qwen2-VL has it."""


class Tiny(NamedTuple):
    """A model of random weights in float32, and its processor."""

    model: Any
    processor: Any


def corpus() -> list[str]:
    """Sentences as kpray's datasets have them, and those of the chat templates."""
    sides, limbs, verbs = ("left", "right"), ("arm", "leg", "knee", "elbow"), ("raised", "bent", "straight", "lowered")
    said = [
        f"What is the person doing with the {s} {p}? The person's {s} {p} is {v}."
        for s, p, v in itertools.product(sides, limbs, verbs)
    ]
    return [
        *said,
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions. USER: Describe the pose. ASSISTANT: The person stands.",
        "system You are a helpful assistant. user assistant In HTML the tag ends a line and is text, as any other.",
    ]


def llama_tokenizer(*, legacy: bool = True) -> Any:
    """Like Llama's: BPE with bytes behind it; `legacy` puts a blank before the text behind a control token too."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    prepend = [normalizers.Prepend("▁")] if legacy else []
    tokenizer.normalizer = normalizers.Sequence([*prepend, normalizers.Replace(" ", "▁")])
    # Words are learned apart from each other, as sentencepiece does; a blank belongs to the word behind it.
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    special = ["<unk>", "<s>", "</s>"]
    tokenizer.train_from_iterator(
        corpus(), trainers.BpeTrainer(vocab_size=600, special_tokens=[*special, *byte_tokens], show_progress=False)
    )
    tokenizer = _bytes_are_plain(tokenizer, byte_tokens)
    if not legacy:
        tokenizer.normalizer = None
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["<image>"],
    )


def _bytes_are_plain(tokenizer: Tokenizer, byte_tokens: list[str]) -> Tokenizer:
    """The trainer makes control tokens of the bytes; in Llama's vocabulary they are ordinary entries."""
    specification = json.loads(tokenizer.to_str())
    specification["added_tokens"] = [t for t in specification["added_tokens"] if t["content"] not in byte_tokens]
    return Tokenizer.from_str(json.dumps(specification))


def qwen_tokenizer() -> Any:
    """Like Qwen's: BPE over bytes, no token at the beginning."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
    special += ["<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        corpus(), trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=special,
    )


@functools.cache
def tiny(model_type: str, attention: str = "sdpa") -> Tiny:
    """A small random model of the family and its processor; the same at each call, so leave them as they are."""
    processor = _processor(model_type)
    torch.manual_seed(0)
    config, model_class = _CONFIGS[model_type](processor)
    config._attn_implementation = attention
    model = model_class(config).float().eval()
    with torch.no_grad():  # so that attention looks somewhere, and a sample seen by another makes a difference
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "norm" not in name:
                parameter.normal_(std=0.15)
    return Tiny(model, processor)


def _processor(model_type: str) -> Any:
    if model_type.startswith("qwen"):
        image_processor = Qwen2VLImageProcessorPil(
            patch_size=PATCH_PX, merge_size=2, size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112}
        )
        return still_processor(
            model_type, image_processor=image_processor, tokenizer=qwen_tokenizer(), chat_template=CHATML_TEMPLATE
        )
    size = {"size": {"shortest_edge": IMAGE_PX}, "crop_size": {"height": IMAGE_PX, "width": IMAGE_PX}}
    shared = {
        "tokenizer": llama_tokenizer(),
        "patch_size": PATCH_PX,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    }
    if model_type == "llava":
        return LlavaProcessor(image_processor=CLIPImageProcessorPil(**size), chat_template=LLAVA_HF_TEMPLATE, **shared)
    image_processor = LlavaNextImageProcessorPil(**size, image_grid_pinpoints=_PINPOINTS)
    return LlavaNextProcessor(image_processor=image_processor, chat_template=MISTRAL_TEMPLATE, **shared)


_PINPOINTS = [[IMAGE_PX, 2 * IMAGE_PX], [2 * IMAGE_PX, IMAGE_PX], [2 * IMAGE_PX, 2 * IMAGE_PX]]


def _llava_parts(processor: Any) -> dict[str, Any]:
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=IMAGE_PX,
        patch_size=PATCH_PX,
    )
    text = LlamaConfig(
        vocab_size=len(processor.tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        pad_token_id=processor.tokenizer.pad_token_id,
    )
    return {
        "vision_config": vision,
        "text_config": text,
        "image_token_id": processor.image_token_id,
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    }


def _llava(processor: Any) -> tuple[Any, type]:
    return LlavaConfig(**_llava_parts(processor)), LlavaForConditionalGeneration


def _llava_next(processor: Any) -> tuple[Any, type]:
    config = LlavaNextConfig(**_llava_parts(processor), image_grid_pinpoints=_PINPOINTS)
    return config, LlavaNextForConditionalGeneration


def _qwen_parts(processor: Any) -> dict[str, Any]:
    text = {
        "vocab_size": len(processor.tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 2048,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
        "pad_token_id": processor.tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": processor.tokenizer.eos_token_id,
    }
    ids = {
        f"{name}_token_id": processor.tokenizer.convert_tokens_to_ids(token)
        for name, token in (
            ("image", "<|image_pad|>"),
            ("video", "<|video_pad|>"),
            ("vision_start", "<|vision_start|>"),
            ("vision_end", "<|vision_end|>"),
        )
    }
    return {"text_config": text, **ids}


def _qwen2_vl(processor: Any) -> tuple[Any, type]:
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "patch_size": PATCH_PX}
    return Qwen2VLConfig(vision_config=vision, **_qwen_parts(processor)), Qwen2VLForConditionalGeneration


def _qwen2_5_vl(processor: Any) -> tuple[Any, type]:
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 32,
        "patch_size": PATCH_PX,
        "window_size": 56,
        "fullatt_block_indexes": [1],
    }
    return Qwen2_5_VLConfig(vision_config=vision, **_qwen_parts(processor)), Qwen2_5_VLForConditionalGeneration


_CONFIGS = {"llava": _llava, "llava_next": _llava_next, "qwen2_vl": _qwen2_vl, "qwen2_5_vl": _qwen2_5_vl}


def picture(width: int = 90, height: int = 60, *, seed: int = 0) -> Image.Image:
    """Coloured noise with something in it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[height // 4 : height // 2, width // 4 : width // 2] = (200, 30, 60)
    return Image.fromarray(pixels)


def chat(*said: str) -> tuple[Turn, ...]:
    """Human and gpt in turn."""
    return tuple(Turn(("human", "gpt")[index % 2], text) for index, text in enumerate(said))
