from __future__ import annotations

import random
import re
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from kpray.coco.synthetic import synthesize  # noqa: E402
from kpray.training.tiny.model import PATCHES, build_model, build_processor, build_tokenizer  # noqa: E402
from kpray.training.tiny.plain_questions import plain_conversation  # noqa: E402
from kpray.training.tiny.scenes import lone_scenes  # noqa: E402
from kpray.training.tiny.sight import pixels  # noqa: E402
from kpray.training.tiny.speech import encode_turns, language_loss, look, plain_samples  # noqa: E402
from kpray.training.types import IGNORED  # noqa: E402

CAPTIONS = ("A man in a red shirt waving in a park.", "A guy waving.", "In a grassy park, a man is waving.")
POSE_WORDS = re.compile(
    r"\b(arms?|hands?|legs?|knees?|elbows?|feet|foot|torso|posture|pos(e|ition)|standing|sitting)\b"
)


@pytest.fixture(scope="module")
def made() -> tuple[Any, Any]:
    processor = build_processor(build_tokenizer(CAPTIONS * 20))
    return build_model(processor.tokenizer, seed=0), processor


def test_plain_questions_are_never_about_a_pose() -> None:
    draws = random.Random(0)
    for index, _ in zip(lone_scenes(3), range(40), strict=False):
        for turn in plain_conversation(synthesize(index, 3).captions, draws):
            assert not POSE_WORDS.search(turn.value), turn.value


def test_plain_answers_are_what_the_captions_say() -> None:
    said = {turn.value for seed in range(60) for turn in plain_conversation(CAPTIONS, random.Random(seed))}
    assert {"It is a man.", "It is in a park.", "The shirt is red.", "No, the shirt is red."} <= said
    assert not any("beach." in text or "woman." in text for text in said)


def test_captions_that_say_nothing_are_not_asked_about() -> None:
    assert plain_conversation(("Something.",), random.Random(0)) == ()


def test_samples_repeat_by_seed() -> None:
    captions = np.array([(*CAPTIONS, "One.", "Two.")] * 3)
    assert plain_samples(captions, seed=4) == plain_samples(captions, seed=4)
    assert plain_samples(captions, seed=4) != plain_samples(captions, seed=5)


def test_the_loss_is_the_models_own(made: tuple[Any, Any]) -> None:
    model, processor = made
    images = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
    samples = plain_samples(np.array([(*CAPTIONS, "One.", "Two.")] * 2), seed=0)[:2]
    texts = encode_turns(processor, [(0, samples[0][1]), (1, samples[1][1])], with_image=True)
    assert (texts.labels[texts.input_ids == processor.image_token_id] == IGNORED).all()
    ids, labels = torch.from_numpy(texts.input_ids), torch.from_numpy(texts.labels)
    with torch.no_grad():
        seen = look(model, images).float()
        mine = language_loss(model, ids, labels, model.model.multi_modal_projector(seen))
        other = language_loss(model, ids, labels, model.model.multi_modal_projector(seen.flip(0)))
        whole = model(input_ids=ids, pixel_values=pixels(images), labels=labels, use_cache=False).loss
    assert seen.shape == (2, PATCHES, model.config.vision_config.hidden_size)
    torch.testing.assert_close(mine, whole, rtol=2e-2, atol=0)  # `look` computes in bfloat16
    assert abs(float(mine - other)) > 0
