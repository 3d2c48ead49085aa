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
from kpray.training.tiny.questions import Options, Question
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


def answers(
    model: Any,
    processor: Any,
    questions: Sequence[Question],
    images: npt.NDArray[np.uint8],
    *,
    batch_size: int = 64,
) -> list[str]:
    """The answer that the model finds likeliest, for each question."""
    given = []
    with torch.no_grad():
        projected = model.model.multi_modal_projector(look(model, images).float())
        for start in range(0, len(questions), batch_size):
            batch = questions[start : start + batch_size]
            logits = _next_word(model, processor, batch, projected)
            given += [_likeliest(row, q.options, processor.tokenizer) for row, q in zip(logits, batch, strict=True)]
    return given


def _next_word(model: Any, processor: Any, batch: Sequence[Question], projected: torch.Tensor) -> torch.Tensor:
    """(B, V): what the model would say next."""
    rows = [_prompt(processor, question.text, question.beginning) for question in batch]
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.full((len(rows), int(lengths.max())), processor.tokenizer.pad_token_id)
    for target, row in zip(ids, rows, strict=True):
        target[: len(row)] = torch.from_numpy(row)
    embeddings = model.get_input_embeddings()(ids)
    seen = projected[[question.picture for question in batch]]
    embeddings = embeddings.masked_scatter((ids == model.config.image_token_id)[:, :, None], seen)
    states = model.model.language_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state
    logits: torch.Tensor = model.lm_head(states[torch.arange(len(rows)), lengths - 1])
    return logits


def _prompt(processor: Any, question: str, beginning: str = "") -> npt.NDArray[np.int64]:
    messages = to_messages((*OPENING, Turn("human", question)), with_image=True)
    text = processor.tokenizer.apply_chat_template(
        messages, chat_template=processor.chat_template, tokenize=False, add_generation_prompt=True
    )
    joined = f"{text} {beginning}" if beginning else text
    ids = np.array(processor.tokenizer(joined, add_special_tokens=False).input_ids)
    return np.repeat(ids, np.where(ids == processor.image_token_id, PATCHES, 1))


def _likeliest(logits: torch.Tensor, options: Options, tokenizer: Any) -> str:
    probability = logits.float().softmax(dim=-1)
    return max(options, key=lambda answer: sum(float(probability[_token(tokenizer, w)]) for w in options[answer]))


def _token(tokenizer: Any, word: str) -> int:
    """The first piece of a word that follows a blank."""
    pieces: list[int] = tokenizer(word, add_special_tokens=False).input_ids
    return pieces[0]


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
