from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from kpray.training.tiny.exam import _probabilities, _prompt, answers, say, score  # noqa: E402
from kpray.training.tiny.model import build_model, build_processor, build_tokenizer  # noqa: E402
from kpray.training.tiny.questions import Question  # noqa: E402

WORDS = ("Is the man standing up? Yes. No. That is so.", "There is a single person in the image.") * 20
IMAGES = np.zeros((2, 112, 112, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def made() -> tuple[Any, Any]:
    processor = build_processor(build_tokenizer(WORDS))
    return build_model(processor.tokenizer, seed=0).eval(), processor


YES_NO = {"yes": ("Yes",), "no": ("No",)}


def asked(form: str, truth: str, *, picture: int = 0) -> Question:
    return Question("posture", form, picture, "Is the man standing up?", YES_NO, truth)


def test_scores_count_by_topic_and_by_form_and_know_the_best_constant_answer() -> None:
    questions = [asked("standing", "yes"), asked("standing", "yes"), asked("standing", "no"), asked("lying", "no")]
    scores = score(questions, ["yes", "no", "no", "yes"])
    assert (scores["all"].right, scores["all"].asked, scores["all"].majority) == (2, 4, 3)
    assert (scores["posture: lying"].right, scores["posture: lying"].majority) == (0, 1)
    assert scores["posture"].accuracy == 0.5


def test_an_answer_is_as_likely_as_its_wordings_together(made: tuple[Any, Any]) -> None:
    """Against a plain forward pass over prompt and answer."""
    model, processor = made
    options = {"yes": ("Yes. The man is standing up.", "That is so."), "no": ("No.",)}
    question = Question("posture", "standing", 0, "Is the man standing up?", options, "yes")
    projected = torch.randn(64, model.config.text_config.hidden_size)
    with torch.no_grad():
        found = _probabilities(model, processor, question, projected)
        expected = {
            name: sum(plain(made, question, text, projected) for text in texts) for name, texts in options.items()
        }
    assert found == pytest.approx(expected, rel=1e-4)


def plain(made: tuple[Any, Any], question: Question, answer: str, projected: torch.Tensor) -> float:
    model, processor = made
    prompt = torch.from_numpy(_prompt(processor, question.text))
    said = torch.tensor(processor.tokenizer(answer, add_special_tokens=False).input_ids)
    ids = torch.cat([prompt, said])[None]
    embeddings = model.get_input_embeddings()(ids)
    embeddings = embeddings.masked_scatter((ids == model.config.image_token_id)[:, :, None], projected)
    states = model.model.language_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state
    logs = model.lm_head(states)[0].double().log_softmax(dim=-1)[len(prompt) - 1 : -1]
    return float(logs.gather(1, said[:, None]).sum().exp())


def test_what_is_likely_without_looking_is_no_evidence(made: tuple[Any, Any]) -> None:
    """One picture makes "yes" likelier than the other does, so "yes" is its answer, however likely "no" is."""
    model, processor = made
    lit = np.concatenate([IMAGES[:1], np.full_like(IMAGES[:1], 255)])
    questions = [asked("standing", "yes", picture=0), asked("standing", "no", picture=1)]
    for favoured in ("Yes", "No"):
        (token,) = processor.tokenizer(favoured, add_special_tokens=False).input_ids[:1]
        bias = torch.zeros(model.config.text_config.vocab_size)
        bias[token] = 5
        model.lm_head.bias = torch.nn.Parameter(bias)
        try:
            assert sorted(answers(model, processor, questions, lit)) == ["no", "yes"]
        finally:
            model.lm_head.bias = None


def test_a_model_says_something(made: tuple[Any, Any]) -> None:
    assert isinstance(say(*made, IMAGES[0], "Is the man standing up?"), str)
