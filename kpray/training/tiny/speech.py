"""The stages of language: captions and plain questions, first by themselves, then about pictures."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from kpray.schemas import IMAGE_TOKEN, Turn
from kpray.training.families.base import to_messages
from kpray.training.labels import labeller
from kpray.training.tiny.fitting import Plan, fit
from kpray.training.tiny.model import PATCHES
from kpray.training.tiny.plain_questions import plain_conversation
from kpray.training.tiny.sight import features, pixels
from kpray.training.types import IGNORED

REQUESTS: Final = (
    "Describe the image.",
    "Give a short caption.",
    "What does the image show?",
    "Write one sentence about this picture.",
)
"""What a caption answers."""

_CAPTIONS: Final = 2
"""Of the five of each picture."""

_Ints = npt.NDArray[np.int64]

Sample = tuple[int, tuple[Turn, ...]]
"""The number of a picture, and what is said about it; without ``<image>``."""


class Texts(NamedTuple):
    """Samples as token sequences of one width.

    Attributes:
        input_ids: (M, L), right-padded.
        labels: (M, L), loss on what the assistant says.
        picture: (M,) which picture each is about.
    """

    input_ids: _Ints
    labels: _Ints
    picture: _Ints


def plain_samples(captions: npt.NDArray[np.str_], *, seed: int) -> list[Sample]:
    """For every picture some captions, each as the answer to a drawn request, and the questions that they answer."""
    draws = random.Random(seed)
    samples: list[Sample] = []
    for picture, texts in enumerate(map(list, captions)):
        for text in draws.sample(texts, _CAPTIONS):
            samples.append((picture, (Turn("human", draws.choice(REQUESTS)), Turn("gpt", str(text)))))
        if turns := plain_conversation(texts, draws):
            samples.append((picture, turns))
    return samples


def encode_turns(processor: Any, samples: Sequence[Sample], *, with_image: bool) -> Texts:
    """Samples with the number of their picture, as `kpray.training.families` encodes them."""
    encode = labeller(processor.tokenizer, processor.chat_template).encode
    image_id, pad_id = processor.image_token_id, processor.tokenizer.pad_token_id
    ids_of, labels_of = [], []
    for _, turns in samples:
        ids, labels = encode(to_messages(_marked(turns) if with_image else turns, with_image=with_image))
        repeats = np.where(ids == image_id, PATCHES, 1)
        ids_of.append(np.repeat(ids, repeats))
        labels_of.append(np.repeat(labels, repeats))
    numbers = np.array([picture for picture, _ in samples])
    return Texts(_stacked(ids_of, pad_id), _stacked(labels_of, IGNORED), numbers)


def _marked(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    first, *rest = turns
    return (Turn(first.role, f"{IMAGE_TOKEN}\n{first.value}"), *rest)


def _stacked(rows: list[_Ints], fill: int) -> _Ints:
    width = max(map(len, rows))
    return np.stack([np.pad(row, (0, width - len(row)), constant_values=fill) for row in rows])


def learn_to_speak(model: Any, texts: Texts, plan: Plan) -> float:
    """Teach the language model sentences without pictures."""

    def loss_of(batch: _Ints) -> torch.Tensor:
        return language_loss(model, *_cut(texts, batch), None)

    groups = [{"params": [*model.model.language_model.parameters()], "lr": plan.lr}]
    return fit(loss_of, groups, len(texts.input_ids), plan)


def learn_to_look(model: Any, texts: Texts, images: npt.NDArray[np.uint8], plan: Plan) -> float:
    """Teach projector and language model what the pictures show; the tower stays as it is, so it looks only once."""
    seen = look(model, images)

    def loss_of(batch: _Ints) -> torch.Tensor:
        projected = model.model.multi_modal_projector(seen[torch.from_numpy(texts.picture[batch])].float())
        return language_loss(model, *_cut(texts, batch), projected)

    parts = (model.model.multi_modal_projector, model.model.language_model)
    groups = [{"params": [weight for part in parts for weight in part.parameters()], "lr": plan.lr}]
    return fit(loss_of, groups, len(texts.input_ids), plan)


def look(model: Any, images: npt.NDArray[np.uint8], batch_size: int = 128) -> torch.Tensor:
    """(N, 64, D) bfloat16: what the tower makes of each picture."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        parts = [
            features(model.model.vision_tower, pixels(images[i : i + batch_size])).bfloat16()
            for i in range(0, len(images), batch_size)
        ]
    return torch.cat(parts)


def _cut(texts: Texts, batch: _Ints) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch's rows without the columns that only hold padding."""
    labels = texts.labels[batch]
    width = int(np.nonzero((labels != IGNORED).any(axis=0))[0][-1]) + 1
    return torch.from_numpy(texts.input_ids[batch, :width]), torch.from_numpy(labels[:, :width])


def language_loss(
    model: Any, input_ids: torch.Tensor, labels: torch.Tensor, projected: torch.Tensor | None
) -> torch.Tensor:
    """Mean loss per supervised token; padding stands on the right, where a causal model does not look."""
    embeddings = model.get_input_embeddings()(input_ids)
    if projected is not None:
        places = (input_ids == model.config.image_token_id)[:, :, None]
        embeddings = embeddings.masked_scatter(places, projected.to(embeddings.dtype))
    states = model.model.language_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state
    told = labels[:, 1:] != IGNORED
    logits = model.lm_head(states[:, :-1][told])
    return torch.nn.functional.cross_entropy(logits.float(), labels[:, 1:][told])
