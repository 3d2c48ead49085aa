"""What the training benchmarks beside this share: LLaVAs of random weights, pictures, and a record's form."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from kpray.schemas import IMAGE_TOKEN
from kpray.training.tiny.model import PATCH_PX, build_processor, build_tokenizer

SENTENCES = (
    "The {who} on the {side} is standing with the {side} arm raised above the head.",
    "A {who} sits on a bench, leaning to the {side}, with both knees bent.",
    "The {side} elbow of the {who} is bent and the hand is near the face.",
    "Two people face the camera; the {who} stands at the {side} of the picture.",
)


class Size(NamedTuple):
    """A LLaVA's build; `width`, `inner` and so on are the language model's.

    Attributes:
        image_px: Side of its square pictures; 112 px make 64 tokens, 336 px 576, as LLaVA-1.5's.
        vision: Width, inner width, layers and heads of the tower.
        width: Of a token's row.
        inner: Of the feed-forward network.
        layers: How many.
        heads: Of attention.
        kv_heads: Of keys and values.
        vocabulary: Rows of the embedding; None is as many as the tokenizer has.
    """

    image_px: int
    vision: tuple[int, int, int, int]
    width: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int | None = None


SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
"""Of the v1 conversation; learned by the tokenizer, or its every letter would be a token."""

SMALL = Size(112, (192, 768, 4, 4), 256, 688, 6, 4, 4)
"""8 million weights."""

CLIP_L = (1024, 4096, 24, 16)
"""The tower of LLaVA-1.5, 304 million weights."""


def save_llava(folder: Path, texts: Iterable[str], size: Size, *, dtype: torch.dtype = torch.float32) -> Path:
    """Write a LLaVA with weights drawn by its own rules, and its processor, with a tokenizer learned from `texts`."""
    processor = build_processor(build_tokenizer([*texts, *[SYSTEM] * 1000]))
    images = processor.image_processor.to_dict() | {
        "size": {"shortest_edge": size.image_px},
        "crop_size": {"height": size.image_px, "width": size.image_px},
    }
    images.pop("image_processor_type", None)
    processor.image_processor = type(processor.image_processor)(**images)
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        model = LlavaForConditionalGeneration(llava_config(size, processor.tokenizer))
    finally:
        torch.set_default_dtype(default)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def llava_config(size: Size, tokenizer: Any) -> LlavaConfig:
    width, inner, layers, heads = size.vision
    vision = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=size.image_px,
        patch_size=PATCH_PX,
    )
    text = LlamaConfig(
        vocab_size=size.vocabulary or len(tokenizer),
        hidden_size=size.width,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=(size.image_px // PATCH_PX) ** 2,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )


def draw_pictures(folder: Path, count: int) -> list[str]:
    """Write JPEG files of 640 x 480 px that take a photograph's time to decode; gives their names."""
    folder.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(0)
    names = [f"{number:04}.jpg" for number in range(count)]
    for name in names:
        coarse = draws.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)
        grain = draws.integers(-12, 13, (480, 640, 3))
        pixels = (np.asarray(picture, dtype=np.int16) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name, quality=92)
    return names


def made_up_answer(draws: random.Random) -> str:
    """One to eight sentences about people's poses."""
    chosen = draws.choices(SENTENCES, k=draws.randint(1, 8))
    return " ".join(
        s.format(who=draws.choice(("man", "woman", "child")), side=draws.choice(("left", "right"))) for s in chosen
    )


def write_records(path: Path, pictures: Sequence[str], count: int) -> list[str]:
    """Write so many records in LLaVA's form about pictures in turn; gives their answers."""
    draws = random.Random(0)
    answers = [made_up_answer(draws) for _ in range(count)]
    question = f"{IMAGE_TOKEN}\nHow are the people in the picture posed?"
    records = [
        {
            "id": str(number),
            "image": pictures[number % len(pictures)],
            "conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}],
        }
        for number, answer in enumerate(answers)
    ]
    path.write_text(json.dumps(records))
    return [question, *answers]
