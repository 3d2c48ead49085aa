"""Images, parts and golden masks of every family; to renew the masks: KPRAY_UPDATE_GOLDEN=1 pytest this file."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from PIL import Image  # noqa: E402
from tiny_families import IMAGE_PX, LLAVA_HF_TEMPLATE, MODEL_TYPES, chat, picture, tiny  # noqa: E402

from kpray.errors import ConfigError  # noqa: E402
from kpray.training.families import family_of, load_processor  # noqa: E402
from kpray.training.families.llava import V1_TEMPLATE  # noqa: E402
from kpray.training.families.qwen2_vl import mrope_positions  # noqa: E402
from kpray.training.types import IGNORED, CannotTrain, Encoded, Family  # noqa: E402

GOLDEN = Path(__file__).parents[1] / "golden" / "training"
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
SHAPES = {"wide": (91, 60), "high": (50, 83), "square": (64, 64), "small": (20, 31), "large": (333, 250)}


def test_an_unknown_model_type_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no family for model type 'blip'; known: llava, llava_next, qwen2_vl"):
        family_of("blip")


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_family_keeps_the_protocol(model_type: str) -> None:
    family: Family = family_of(model_type)
    assert model_type in family.model_types


# Parts


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_parameter_is_of_the_part_that_computes_with_it(model_type: str) -> None:
    model = tiny(model_type).model
    family = family_of(model_type)
    inner = model.model
    if model_type.startswith("qwen"):
        projector = list(inner.visual.merger.parameters())
        vision = list(inner.visual.parameters())
    else:
        newline = [inner.image_newline] if model_type == "llava_next" else []
        projector = [*inner.multi_modal_projector.parameters(), *newline]
        vision = list(inner.vision_tower.parameters())
    parts = {id(p): "vision" for p in vision} | {id(p): "projector" for p in projector}
    for name, parameter in model.named_parameters():
        wanted = parts.get(id(parameter), "language")
        assert family.part_of(name) == wanted, name
        assert family.part_of(f"base_model.model.{name}.lora_A.default.weight") == wanted


def test_a_parameter_of_no_part_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"'model.audio_tower.weight' is of no part of LLaVA-1.5"):
        family_of("llava").part_of("model.audio_tower.weight")


# Images


def expand2square(image: Image.Image, colour: tuple[int, ...]) -> Image.Image:
    """As LLaVA: the image in the middle of a square of one colour."""
    side = max(image.size)
    square = Image.new(image.mode, (side, side), colour)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def reference_pixels(image: Image.Image) -> np.ndarray[Any, Any]:
    """LLaVA's steps: square, shortest edge to the tower's size (bicubic), centre crop, 0..1, normalised."""
    square = expand2square(image, tuple(int(mean * 255) for mean in CLIP_MEAN))
    resized = square.resize((IMAGE_PX, IMAGE_PX), Image.Resampling.BICUBIC)
    pixels = np.asarray(resized, dtype=np.float64) / 255
    return ((pixels - CLIP_MEAN) / CLIP_STD).transpose(2, 0, 1)


@pytest.mark.parametrize("size", SHAPES.values(), ids=SHAPES)
def test_llavas_pixels_are_llavas(size: tuple[int, int]) -> None:
    image = picture(*size)
    encoded = family_of("llava").encode(tiny("llava").processor, chat("<image>\nWhat?", "An arm."), image)
    assert encoded.extra["pixel_values"].dtype == np.float32
    np.testing.assert_allclose(encoded.extra["pixel_values"][0], reference_pixels(image), atol=1e-5)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P"])
def test_images_of_other_modes_are_seen_in_colour(mode: str) -> None:
    image = picture(64, 64).convert(mode)
    encoded = family_of("llava").encode(tiny("llava").processor, chat("<image>\nWhat?", "An arm."), image)
    np.testing.assert_allclose(encoded.extra["pixel_values"][0], reference_pixels(image.convert("RGB")), atol=1e-5)


def test_towers_other_than_clip_keep_their_own_idea_of_shape() -> None:
    processor = copy.copy(tiny("llava").processor)
    processor.image_processor = tiny("qwen2_vl").processor.image_processor
    assert family_of("llava").adapted(processor).image_processor is processor.image_processor


@pytest.mark.parametrize("size", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("model_type", ["llava_next", "qwen2_vl", "qwen2_5_vl"])
def test_images_are_as_the_familys_own_processor_makes_them(model_type: str, size: tuple[int, int]) -> None:
    processor, image = tiny(model_type).processor, picture(*size)
    encoded = family_of(model_type).encode(processor, chat("<image>\nWhat?", "An arm."), image)
    own = processor.image_processor(images=[image], return_tensors="np")
    for key, value in own.items():
        np.testing.assert_array_equal(np.squeeze(encoded.extra[key]), np.squeeze(value), err_msg=key)


@pytest.mark.parametrize("size", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_an_image_has_as_many_tokens_as_the_model_makes_of_it(model_type: str, size: tuple[int, int]) -> None:
    model, processor = tiny(model_type)
    family = family_of(model_type)
    encoded = family.encode(processor, chat("<image>\nWhat?", "An arm."), picture(*size))
    batch = family.collate([[encoded]], pad_id=processor.tokenizer.pad_token_id)
    assert torch.isfinite(model(**batch, use_cache=False).loss)  # the model refuses other numbers


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_text_alone_is_a_sample_too(model_type: str) -> None:
    model, processor = tiny(model_type)
    family = family_of(model_type)
    encoded = family.encode(processor, chat("What is <image> for?", "It is text."), None)
    assert processor.image_token_id not in encoded.input_ids
    assert "pixel_values" not in encoded.extra
    batch = family.collate([[encoded]], pad_id=processor.tokenizer.pad_token_id)
    assert torch.isfinite(model(**batch, use_cache=False).loss)


@pytest.mark.parametrize(
    "said", [("What?", "An arm."), ("What?", "An arm <image>."), ("What?", "An arm.", "And <image>?", "None.")]
)
def test_an_image_without_a_place_is_malformed(said: tuple[str, ...]) -> None:
    with pytest.raises(CannotTrain, match="malformed: .*the first turn does not hold <image>"):
        family_of("llava").encode(tiny("llava").processor, chat(*said), picture())


def test_turns_that_do_not_alternate_are_malformed() -> None:
    twice = (*chat("<image>\nWhat?", "An arm."), *chat("a", "b")[1:])
    with pytest.raises(CannotTrain, match="malformed: turn 3 is from gpt, expected human"):
        family_of("llava").encode(tiny("llava").processor, twice, picture())


# Positions


@pytest.mark.parametrize("size", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("model_type", ["qwen2_vl", "qwen2_5_vl"])
def test_positions_are_the_models_own(model_type: str, size: tuple[int, int]) -> None:
    model, processor = tiny(model_type)
    encoded = family_of(model_type).encode(processor, chat("<image>\nWhat?", "An arm.", "And?", "No."), picture(*size))
    ids = torch.from_numpy(encoded.input_ids)[None]
    wanted, _ = model.model.get_rope_index(
        ids,
        mm_token_type_ids=(ids == processor.image_token_id).int(),
        image_grid_thw=torch.from_numpy(encoded.extra["image_grid_thw"]),
    )
    assert encoded.extra["position_ids"].tolist() == wanted[:, 0].tolist()


def test_positions_of_two_images_go_on_after_the_longer_side() -> None:
    is_image = np.array([0, 1, 1, 1, 0, 1, 0], dtype=bool)
    grids = np.array([[1, 1, 3], [1, 1, 1]])
    assert mrope_positions(is_image, grids).tolist() == [
        [0, 1, 1, 1, 4, 5, 6],
        [0, 1, 1, 1, 4, 5, 6],
        [0, 1, 2, 3, 4, 5, 6],
    ]


# Processors


@pytest.mark.parametrize("model_type", ["llava", "llava_next"])
@pytest.mark.parametrize("own", [LLAVA_HF_TEMPLATE, None])
def test_a_template_that_leaves_answers_open_gives_way_to_v1(model_type: str, own: str | None) -> None:
    processor = copy.copy(tiny(model_type).processor)
    processor.chat_template = own
    assert family_of(model_type).adapted(processor).chat_template == V1_TEMPLATE
    assert processor.chat_template == own  # the one given is left as it is


def test_a_template_that_ends_answers_is_kept() -> None:
    processor = copy.copy(tiny("llava").processor)
    processor.chat_template = tiny("llava_next").processor.chat_template
    assert family_of("llava").adapted(processor).chat_template == processor.chat_template


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_saved_processor_encodes_as_the_one_trained_with(model_type: str, tmp_path: Path) -> None:
    model, processor = tiny(model_type)
    family = family_of(model_type)
    family.adapted(processor).save_pretrained(tmp_path)
    model.config.save_pretrained(tmp_path)
    loaded = load_processor(str(tmp_path))
    sample = chat("<image>\nWhat is </s>?", "The left arm.", "And?", "It is bent.")
    ours, again = (family.encode(p, sample, picture()) for p in (processor, loaded))
    assert ours.input_ids.tolist() == again.input_ids.tolist()
    assert ours.labels.tolist() == again.labels.tolist()
    assert ours.extra.keys() == again.extra.keys()
    assert all(np.array_equal(ours.extra[key], again.extra[key]) for key in ours.extra)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_saved_processor_serves_what_was_trained(model_type: str, tmp_path: Path) -> None:
    """What a server makes of a question, through transformers alone, is the beginning of the training sample."""
    model, processor = tiny(model_type)
    family = family_of(model_type)
    family.adapted(processor).save_pretrained(tmp_path)
    model.config.save_pretrained(tmp_path)
    loaded = load_processor(str(tmp_path))
    asked = [{"role": "user", "content": [{"type": "image", "image": picture()}, {"type": "text", "text": "What?"}]}]
    served = loaded.apply_chat_template(
        asked, tokenize=True, return_dict=True, add_generation_prompt=True, return_tensors="np"
    )
    trained = family.encode(processor, chat("<image>\nWhat?", "The left arm."), picture())
    first = int((trained.labels != IGNORED).argmax())
    assert served["input_ids"][0].tolist() == trained.input_ids[:first].tolist()
    np.testing.assert_array_equal(np.squeeze(served["pixel_values"]), np.squeeze(trained.extra["pixel_values"]))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_other_processes_encode_the_same(model_type: str) -> None:
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    pair = family_of(model_type), tiny(model_type).processor
    sample = chat("<image>\nWhat?", "The left arm.")
    (family, processor), (sent_family, sent_processor) = pair, cloudpickle.loads(cloudpickle.dumps(pair))
    ours, theirs = (f.encode(p, sample, picture()) for f, p in ((family, processor), (sent_family, sent_processor)))
    assert ours.labels.tolist() == theirs.labels.tolist()
    assert np.array_equal(ours.extra["pixel_values"], theirs.extra["pixel_values"])


# Golden masks


SAMPLE = (
    "<image>\nWhat is the person doing with the left arm?",
    "The person's left arm is raised. ",
    "Is </s> or <|im_end|> or ASSISTANT: text?",
    "Yes, </s> and <|im_end|> and USER: are.",
    "And this?",
    "",
    "What of the right leg?",
    "It is bent.\nThe knee, too.",
)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_masks_are_as_they_were(model_type: str) -> None:
    processor = tiny(model_type).processor
    found = shown(processor, family_of(model_type).encode(processor, chat(*SAMPLE), picture()))
    file = GOLDEN / f"mask_{model_type}.txt"
    if os.environ.get("KPRAY_UPDATE_GOLDEN"):
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8"), "if meant, renew with KPRAY_UPDATE_GOLDEN=1"


def shown(processor: Any, encoded: Encoded) -> str:
    """One token a line: its place, ``+`` where it carries loss, its text; the image's tokens in one line."""
    lines = ["place, + carries loss, token"]
    image_id, count = processor.image_token_id, int((encoded.input_ids == processor.image_token_id).sum())
    for place, (token, label) in enumerate(zip(encoded.input_ids.tolist(), encoded.labels.tolist(), strict=True)):
        if token != image_id or encoded.input_ids[place - 1] != image_id:
            text = processor.tokenizer.convert_ids_to_tokens(token) + (f" x {count}" if token == image_id else "")
            lines.append(f"{place:4d} {' ' if label == IGNORED else '+'} {text}")
    return "\n".join(lines) + "\n"
