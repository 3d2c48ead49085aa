# ruff: noqa: E402 - what needs torch is imported where torch is there
from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from tiny_families import MODEL_TYPES, chat, picture, tiny
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForImageTextToText, LlavaConfig, LlavaNextConfig, Qwen2_5_VLConfig, Qwen2VLConfig

from kpray.training.config import LoraConfig, ModelConfig
from kpray.training.families import FORWARD_ARGUMENTS, family_of
from kpray.training.flops import training_flops, utilisation
from kpray.training.loads import Load, image_load
from kpray.training.model import prepare_model
from kpray.training.shape import ModelShape, model_shape

pytestmark = [  # names that transformers 5.23 has renamed; peft and our model.py use the old ones
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable`:FutureWarning"),
]

WAYS = {
    "all learns": ModelConfig(frozen=(), gradient_checkpointing=False),
    "tower frozen": ModelConfig(gradient_checkpointing=False),
    "projector alone": ModelConfig(frozen=("vision", "language"), gradient_checkpointing=False),
    "language alone": ModelConfig(frozen=("vision", "projector"), gradient_checkpointing=False),
    "LoRA": ModelConfig(lora=LoraConfig(rank=4, dropout=0.0), gradient_checkpointing=False),
}
WIDTH, HEIGHT = 90, 60


def built(model_type: str, way: ModelConfig) -> tuple[Any, ModelShape]:
    """A tiny model with scores that are counted (the fused kernels of a CPU are not), and its shape."""
    config = tiny(model_type).model.config
    model = AutoModelForImageTextToText.from_config(config, attn_implementation="eager")
    return prepare_model(model, way, family_of(model_type)), model_shape(config, way)


def batch(model_type: str) -> tuple[dict[str, Any], Load]:
    """Two rows of one sample each, alike so that nothing is padded, and what they are to the model."""
    processor = tiny(model_type).processor
    family = family_of(model_type)
    said = chat("<image>\nWhat is the person doing?", "The person's left arm is raised.")
    rows = [[family.encode(processor, said, picture(WIDTH, HEIGHT, seed=seed))] for seed in (0, 1)]
    length = len(rows[0][0].input_ids)
    one = Load(length, length**2, _picture(model_type, rows[0][0]))
    return family.collate(rows, pad_id=processor.tokenizer.pad_token_id) | FORWARD_ARGUMENTS, one * 2


def _picture(model_type: str, encoded: Any) -> Any:
    from kpray.training.loads import grid_load

    config = tiny(model_type).model.config
    if "image_grid_thw" not in encoded.extra:
        return image_load(config, height=HEIGHT, width=WIDTH)
    frames, height, width = encoded.extra["image_grid_thw"].reshape(-1).tolist()  # the tiny processor's own limits
    return grid_load(config.vision_config, frames=frames, height=height, width=width)


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_operations_are_those_that_torch_counts(model_type: str, way: str) -> None:
    model, shape = built(model_type, WAYS[way])
    inputs, load = batch(model_type)
    with FlopCounterMode(display=False) as forward:
        loss = model(**inputs).loss
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    flops = training_flops(shape, load, checkpointing=False)
    assert flops.forward == pytest.approx(forward.get_total_flops(), rel=0.02)
    assert flops.backward == pytest.approx(backward.get_total_flops(), rel=0.02)


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_numbers_are_those_of_the_model(model_type: str, way: str) -> None:
    model, shape = built(model_type, WAYS[way])
    adapters = sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)
    assert shape.parameters == sum(p.numel() for p in model.parameters()) - adapters
    assert shape.learning == sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("way", ["tower frozen", "all learns", "LoRA"])
@pytest.mark.parametrize("model_type", ["llava", "qwen2_5_vl"])
def test_what_checkpointing_computes_again_is_counted_apart(model_type: str, way: str) -> None:
    model, shape = built(model_type, WAYS[way])
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.disable_input_require_grads()  # else gradients flow through a frozen tower too, for nothing
    inputs, load = batch(model_type)
    loss = model.train()(**inputs).loss
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    flops = training_flops(shape, load, checkpointing=True)
    plain = training_flops(shape, load, checkpointing=False)
    assert flops.model == plain.model
    assert plain.hardware == plain.model
    assert flops.backward + flops.again == pytest.approx(backward.get_total_flops(), rel=0.01)


def test_a_picture_takes_as_many_tokens_as_the_processors_say() -> None:
    for model_type in ("llava", "llava_next"):
        model, processor = tiny(model_type)
        for width, height in ((90, 60), (60, 90), (200, 40), (56, 56), (100, 100)):
            images = processor(images=[picture(width, height)], return_tensors="np")
            count = processor.replace_image_token(images, image_idx=0).count(processor.image_token)
            assert image_load(model.config, height=height, width=width).tokens == count, (model_type, width, height)


def test_windows_hold_all_rows_and_see_less_than_all() -> None:
    config = Qwen2_5_VLConfig()
    load = image_load(config, height=480, width=640)
    assert load.rows == 34 * 46  # 480 and 640 to multiples of 28, in patches of 14
    assert load.tokens == load.rows // 4
    window = (config.vision_config.window_size // config.vision_config.patch_size) ** 2
    assert load.rows * window * 0.5 < load.window_pairs <= load.rows * window < load.pairs


def test_known_models_have_their_published_size() -> None:
    llava = LlavaConfig()
    llava.text_config.vocab_size = 32_064
    assert model_shape(llava, ModelConfig()).parameters == pytest.approx(7.06e9, rel=0.001)
    assert model_shape(LlavaNextConfig(), ModelConfig()).parameters == pytest.approx(7.06e9, rel=0.001)
    text = {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28}
    qwen = Qwen2VLConfig(text_config={**text, "num_key_value_heads": 4, "vocab_size": 152_064})
    assert model_shape(qwen, ModelConfig()).parameters == pytest.approx(8.29e9, rel=0.001)


def test_operations_of_llava_are_near_six_a_number_and_token() -> None:
    config = LlavaConfig()
    shape = model_shape(config, ModelConfig())
    load = Load(800, 800**2, image_load(config, height=480, width=640))
    flops = training_flops(shape, load, checkpointing=True)
    assert flops.model == pytest.approx(6 * shape.language.parameters * 800, rel=0.06)
    assert 1.15 < flops.hardware / flops.model < 1.34


def test_utilisation_is_a_share_of_the_peak() -> None:
    assert utilisation(624e12, seconds=2.0, gpus=2, peak_tflops=312.0) == pytest.approx(0.5)
