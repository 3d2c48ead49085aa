"""The tiny LLaVA itself: its tokenizer, its processor and its random weights, all built in code."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration
from transformers import PreTrainedTokenizerFast as FastTokenizer
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.llava.processing_llava import LlavaProcessor

from kpray.schemas import IMAGE_TOKEN
from kpray.training.families.llava import V1_TEMPLATE

IMAGE_PX: Final = 112
PATCH_PX: Final = 14
PATCHES: Final = (IMAGE_PX // PATCH_PX) ** 2
VOCABULARY: Final = 2048

_SPECIAL: Final = ("<unk>", "<s>", "</s>", "<pad>")
_LANGUAGE_STD: Final = 0.05
_PLACES_STD: Final = 0.5
"""With the usual 0.02, patches are told apart so late that the tower does not learn where things are."""


def build_tokenizer(texts: Iterable[str]) -> FastTokenizer:
    """A tokenizer of Llama's kind: words and pieces of words, with bytes behind them, so that nothing is unknown.

    Args:
        texts: What the pieces are learned from; the same texts give the same pieces.
    """
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    words = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True)
    # A full stop is no part of a word, or every word would be there twice.
    backend.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.Punctuation()])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 1, special_tokens=[*_SPECIAL, *byte_tokens], show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    backend = _bytes_are_plain(backend, byte_tokens)
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return FastTokenizer(
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=[IMAGE_TOKEN],
    )


def _bytes_are_plain(tokenizer: Tokenizer, byte_tokens: list[str]) -> Tokenizer:
    """The trainer makes control tokens of the bytes; in Llama's vocabulary they are ordinary entries."""
    specification = json.loads(tokenizer.to_str())
    specification["added_tokens"] = [t for t in specification["added_tokens"] if t["content"] not in byte_tokens]
    return Tokenizer.from_str(json.dumps(specification))


def build_processor(tokenizer: FastTokenizer) -> LlavaProcessor:
    """LLaVA's own: pad to a square with the mean colour, CLIP's steps, the v1 conversation."""
    images = LlavaImageProcessorPil(
        do_pad=True,
        size={"shortest_edge": IMAGE_PX},
        crop_size={"height": IMAGE_PX, "width": IMAGE_PX},
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        chat_template=V1_TEMPLATE,
        patch_size=PATCH_PX,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def build_model(tokenizer: FastTokenizer, *, seed: int) -> LlavaForConditionalGeneration:
    """The model with random weights in float32."""
    model = LlavaForConditionalGeneration(_configuration(tokenizer)).float()
    torch.manual_seed(seed)  # only now, so that the tower's draws do not depend on the size of the vocabulary
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "position_embedding" in name:
                weight.normal_(std=_PLACES_STD)
            elif weight.ndim > 1:
                weight.normal_(std=_LANGUAGE_STD)
    return model


def _configuration(tokenizer: FastTokenizer) -> Any:
    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=IMAGE_PX,
        patch_size=PATCH_PX,
        projection_dim=128,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=PATCHES,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
