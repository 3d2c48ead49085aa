"""How many held-out questions a model answers rightly, against the constant answer and against other pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from kpray.schemas import IMAGE_TOKEN, Turn
from kpray.training.families.base import to_messages
from kpray.training.tiny.model import PATCHES
from kpray.training.tiny.questions import Question
from kpray.training.tiny.sight import pixels
from kpray.training.tiny.speech import look

OPENING: Final = (
    Turn("human", f"{IMAGE_TOKEN}\nHow many people are in the image?"),
    Turn("gpt", "There is a single person in the image."),
)
"""What was said before a question, the same for all; the teacher's conversations begin so, never with a pose."""


class Score(msgspec.Struct, frozen=True):
    """Right answers to some questions.

    Attributes:
        asked: How many.
        right: How many of them were answered rightly.
        majority: How many the best constant answer of each form gets right.
    """

    asked: int
    right: int
    majority: int

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.asked


def answers(model: Any, processor: Any, questions: Sequence[Question], images: npt.NDArray[np.uint8]) -> list[str]:
    """The answer to each question that its picture speaks for most.

    An answer's probability is the sum over its wordings, divided by its mean over all questions of the form: the exam
    has every truth equally often and the data have not, so what a model finds likely without looking is no evidence
    (Holtzman et al. 2021, "Surface Form Competition", section 3).
    """
    with torch.no_grad():
        projected = model.model.multi_modal_projector(look(model, images).float())
        likely = [_probabilities(model, processor, question, projected[question.picture]) for question in questions]
    usual: dict[str, list[dict[str, float]]] = {}
    for question, by_answer in zip(questions, likely, strict=True):
        usual.setdefault(question.form, []).append(by_answer)
    return [
        max(by_answer, key=lambda answer: by_answer[answer] / _mean(usual[question.form], answer))
        for question, by_answer in zip(questions, likely, strict=True)
    ]


def _mean(by_question: Sequence[dict[str, float]], answer: str) -> float:
    return float(np.mean([by_answer[answer] for by_answer in by_question]))


def _probabilities(model: Any, processor: Any, question: Question, projected: torch.Tensor) -> dict[str, float]:
    asked = _prompt(processor, question.text)
    wordings = [(answer, text) for answer, texts in question.options.items() for text in texts]
    said = [_continuation(processor.tokenizer, text) for _, text in wordings]
    logs = _log_probabilities(model, torch.from_numpy(asked), said, projected)
    total = dict.fromkeys(question.options, 0.0)
    for (answer, _), log in zip(wordings, logs, strict=True):
        total[answer] += float(log.exp())
    return total


def _log_probabilities(
    model: Any, asked: torch.Tensor, said: Sequence[list[int]], projected: torch.Tensor
) -> torch.Tensor:
    """(W,) float64: of each continuation of one prompt, which is read only once."""
    embeddings = model.get_input_embeddings()(asked[None])
    embeddings = embeddings.masked_scatter((asked == model.config.image_token_id)[None, :, None], projected)
    language = model.model.language_model
    read = language(inputs_embeds=embeddings, use_cache=True)
    ids = torch.full((len(said), max(map(len, said))), -1)
    for row, tokens in zip(ids, said, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    states = read.last_hidden_state[:, -1:].expand(len(said), -1, -1)
    if ids.shape[1] > 1:
        read.past_key_values.batch_repeat_interleave(len(said))
        later = language(input_ids=ids.clamp(min=0)[:, :-1], past_key_values=read.past_key_values, use_cache=True)
        states = torch.cat([states, later.last_hidden_state], dim=1)
    logits = model.lm_head(states).double().log_softmax(dim=-1)
    logs = logits.gather(2, ids.clamp(min=0)[:, :, None])[:, :, 0]
    return logs.masked_fill(ids < 0, 0).sum(dim=1)


def _continuation(tokenizer: Any, text: str) -> list[int]:
    """Tokens of a text that follows a blank."""
    tokens: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return tokens


def _prompt(processor: Any, question: str) -> npt.NDArray[np.int64]:
    messages = to_messages((*OPENING, Turn("human", question)), with_image=True)
    text = processor.tokenizer.apply_chat_template(
        messages, chat_template=processor.chat_template, tokenize=False, add_generation_prompt=True
    )
    ids = np.array(processor.tokenizer(text, add_special_tokens=False).input_ids)
    return np.repeat(ids, np.where(ids == processor.image_token_id, PATCHES, 1))


def say(model: Any, processor: Any, image: npt.NDArray[np.uint8], question: str) -> str:
    """What the model answers, word by word the likeliest.

    Args:
        model: The model.
        processor: Its processor.
        image: (112, 112, 3), as `kpray.training.tiny.scenes.shrink` gives it.
        question: Plain text.
    """
    ids = torch.from_numpy(_prompt(processor, question))[None]
    with torch.no_grad():
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=pixels(image[None]),
            max_new_tokens=64,
            do_sample=False,
        )
    said: str = processor.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
    return said.strip()


def score(questions: Sequence[Question], given: Iterable[str]) -> dict[str, Score]:
    """Scores by topic and by form; ``all`` is over everything."""
    tallies: dict[str, list[tuple[Question, bool]]] = {}
    for question, answer in zip(questions, given, strict=True):
        for key in ("all", question.topic, f"{question.topic}: {question.form}"):
            tallies.setdefault(key, []).append((question, answer == question.truth))
    return {key: _score(tally) for key, tally in tallies.items()}


def _score(tally: Sequence[tuple[Question, bool]]) -> Score:
    truths: dict[str, dict[str, int]] = {}
    for question, _ in tally:
        form = truths.setdefault(question.form, {})
        form[question.truth] = form.get(question.truth, 0) + 1
    return Score(len(tally), sum(right for _, right in tally), sum(max(form.values()) for form in truths.values()))
