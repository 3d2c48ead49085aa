from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from kpray.training.tiny.exam import answers, say, score  # noqa: E402
from kpray.training.tiny.model import build_model, build_processor, build_tokenizer  # noqa: E402
from kpray.training.tiny.questions import YES_NO, Question  # noqa: E402

WORDS = ("Is the man standing up? Yes. No. That is so.", "There is a single person in the image.") * 20
IMAGES = np.zeros((2, 112, 112, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def made() -> tuple[Any, Any]:
    processor = build_processor(build_tokenizer(WORDS))
    return build_model(processor.tokenizer, seed=0).eval(), processor


def asked(form: str, truth: str, *, picture: int = 0) -> Question:
    return Question("posture", form, picture, "Is the man standing up?", "", YES_NO, truth)


def test_scores_count_by_topic_and_by_form_and_know_the_best_constant_answer() -> None:
    questions = [asked("standing", "yes"), asked("standing", "yes"), asked("standing", "no"), asked("lying", "no")]
    scores = score(questions, ["yes", "no", "no", "yes"])
    assert (scores["all"].right, scores["all"].asked, scores["all"].majority) == (2, 4, 3)
    assert (scores["posture: lying"].right, scores["posture: lying"].majority) == (0, 1)
    assert scores["posture"].accuracy == 0.5


def test_the_likeliest_of_the_options_is_the_answer(made: tuple[Any, Any]) -> None:
    model, processor = made
    (token,) = processor.tokenizer(" No", add_special_tokens=False).input_ids[:1]
    bias = torch.zeros(model.config.text_config.vocab_size)
    bias[token] = 1e3
    model.lm_head.bias = torch.nn.Parameter(bias)
    try:
        assert answers(model, processor, [asked("standing", "yes")] * 3, IMAGES) == ["no"] * 3
    finally:
        model.lm_head.bias = None


def test_a_question_in_a_batch_is_answered_as_alone(made: tuple[Any, Any]) -> None:
    model, processor = made
    short = asked("standing", "yes")
    long = Question("posture", "lying", 1, short.text * 3, "That is so", {"a": ("Yes",), "b": ("No",)}, "a")
    together = answers(model, processor, [short, long], IMAGES)
    alone = [answers(model, processor, [question], IMAGES)[0] for question in (short, long)]
    assert together == alone


def test_a_model_says_something(made: tuple[Any, Any]) -> None:
    assert isinstance(say(*made, IMAGES[0], "Is the man standing up?"), str)
