from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from PIL import Image  # noqa: E402
from transformers import AutoModelForImageTextToText, AutoProcessor  # noqa: E402

from kpray.coco.synthetic import as_scene, render, synthesize  # noqa: E402
from kpray.schemas import KIND_NAMES, Turn  # noqa: E402
from kpray.teachers.geometric import compose  # noqa: E402
from kpray.training.families import family_of  # noqa: E402
from kpray.training.tiny.model import PATCHES, build_model, build_processor, build_tokenizer  # noqa: E402
from kpray.training.tiny.recipe import teacher_texts  # noqa: E402
from kpray.training.tiny.scenes import shrink  # noqa: E402
from kpray.training.tiny.sight import pixels  # noqa: E402
from kpray.training.tiny.speech import encode_turns  # noqa: E402

TURNS = (
    Turn("human", "<image>\nWhat is the man doing?"),
    Turn("gpt", "He is waving."),
    Turn("human", "Is he sitting?"),
)
TURNS = (*TURNS, Turn("gpt", "No, he is on his feet."))


@pytest.fixture(scope="module")
def processor() -> Any:
    return build_processor(build_tokenizer(teacher_texts(0)[:1500]))


def test_the_same_texts_give_the_same_tokenizer() -> None:
    texts = teacher_texts(0)[:600]
    first, second = build_tokenizer(texts), build_tokenizer(texts)
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()


def test_no_text_is_unknown_and_all_comes_back(processor: Any) -> None:
    scene = as_scene(synthesize(4, 77))
    texts = [text for kind in KIND_NAMES for qa in compose(kind, scene, seed=5) for text in (qa.question, qa.answer)]
    for text in (*scene.captions, *filter(None, texts), "Ein Gähnen: 猫, 1,000 px."):
        ids = processor.tokenizer(text).input_ids
        assert processor.tokenizer.unk_token_id not in ids
        assert processor.tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_saved_model_is_small_and_loads_by_the_generic_classes(processor: Any, tmp_path: Path) -> None:
    model = build_model(processor.tokenizer, seed=0)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 10e6
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert 1.3e6 < sum(weight.numel() for weight in loaded.parameters()) < 1.8e6
    sample = family_of("llava").encode(AutoProcessor.from_pretrained(tmp_path), TURNS, Image.new("RGB", (64, 48)))
    with torch.no_grad():
        made = model(
            input_ids=torch.tensor(sample.input_ids)[None], pixel_values=torch.tensor(sample.extra["pixel_values"])
        )
        again = loaded(
            input_ids=torch.tensor(sample.input_ids)[None], pixel_values=torch.tensor(sample.extra["pixel_values"])
        )
    torch.testing.assert_close(made.logits, again.logits)


def test_another_seed_gives_other_weights(processor: Any) -> None:
    one, other = (build_model(processor.tokenizer, seed=seed).lm_head.weight for seed in (0, 1))
    assert not torch.equal(one, other)


def test_the_recipe_encodes_as_fine_tuning_does(processor: Any) -> None:
    sample = family_of("llava").encode(processor, TURNS, Image.new("RGB", (64, 48)))
    plain = (Turn("human", TURNS[0].value.removeprefix("<image>\n")), *TURNS[1:])
    texts = encode_turns(processor, [(0, plain)], with_image=True)
    np.testing.assert_array_equal(texts.input_ids[0], sample.input_ids)
    np.testing.assert_array_equal(texts.labels[0], sample.labels)
    assert (texts.input_ids[0] == processor.image_token_id).sum() == PATCHES


def test_the_recipe_sees_what_the_processor_makes_of_a_picture(processor: Any) -> None:
    picture = render(synthesize(3, 0))
    made = torch.from_numpy(family_of("llava").encode(processor, TURNS, picture).extra["pixel_values"])
    drawn = pixels(shrink(picture)[None])
    assert (made - drawn).abs().mean() < 0.02  # in standard deviations of colour: rounding, and a row of padding
