"""The path that all families share: messages, template, tokens with labels, image tokens, rows."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from kpray.errors import ConfigError
from kpray.schemas import IMAGE_TOKEN, Turn
from kpray.training.families.rows import UNSEEN, collate
from kpray.training.labels import ChatMessage, labeller
from kpray.training.types import CannotTrain, Encoded

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from kpray.training.config import PartName


_ROLES: Final = {"human": "user", "gpt": "assistant"}
_Ints = npt.NDArray[np.int64]


class ImageTextFamily:
    """One image before the first question, and a chat template: a `kpray.training.types.Family`.

    Attributes:
        name: For messages.
        model_types: ``config.model_type`` of the models that belong to it.
        parts: Pieces of parameter names and the part they stand for; the first that a name holds counts.
        template: For processors whose own template does not end what the assistant says; None is an error then.
    """

    name: ClassVar[str]
    model_types: ClassVar[tuple[str, ...]]
    parts: ClassVar[tuple[tuple[str, PartName], ...]]
    template: ClassVar[str | None] = None

    def adapted(self, processor: Any) -> Any:
        """The processor as this family trains with it; it is what belongs beside the tuned weights.

        Raises:
            ConfigError: Its chat template does not end what the assistant says, and the family has none that does.
        """
        return _adapted(self, processor)

    def adapt_images(self, image_processor: Any) -> Any:
        """The image processor as the family trains with it."""
        return image_processor

    def extra_of(self, processor: Any, input_ids: _Ints, images: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
        """Inputs besides tokens; `images` is what the processor made of the image, empty without one."""
        return {key: np.asarray(value) for key, value in images.items()}

    def encode(self, processor: Any, turns: Sequence[Turn], image: Image | None) -> Encoded:
        """One sample as tokens, with loss on what the assistant says and on what ends it, and on nothing else.

        Args:
            processor: Of transformers; it is used as `adapted` makes it.
            turns: human and gpt in turn; with an image, the first holds ``<image>``.
            image: None for text alone.

        Raises:
            CannotTrain: There is nothing to learn from it, or it is not of that form.
        """
        processor = self.adapted(processor)
        messages = to_messages(turns, with_image=image is not None)
        ids, labels = labeller(processor.tokenizer, processor.chat_template).encode(messages)
        images: Mapping[str, Any] = {}
        if image is not None:
            images, count = _image(processor, image)
            ids, labels = _expand(ids, labels, processor, count)
        extra = self.extra_of(processor, ids, images)
        return Encoded(ids, labels, extra if image is not None else {**extra, **_unseen_image(self, processor)})

    def collate(
        self, rows: Sequence[Sequence[Encoded]], *, pad_id: int, multiple_of: int = 1
    ) -> dict[str, torch.Tensor]:
        """The model's keyword arguments for some rows; see `kpray.training.families.rows.collate`."""
        return collate(rows, pad_id=pad_id, multiple_of=multiple_of)

    def part_of(self, parameter: str) -> PartName:
        """Which part a parameter belongs to, by its dotted name; wrappers' prefixes do not matter.

        Raises:
            ConfigError: The name is of no part.
        """
        for piece, part in self.parts:
            if f".{piece}." in f".{parameter}.":
                return part
        raise ConfigError(f"parameter {parameter!r} is of no part of {self.name}; expected one of {self.parts}")


@functools.lru_cache(maxsize=16)
def _adapted(family: ImageTextFamily, processor: Any) -> Any:
    if getattr(processor, "patch_size", 0) is None:
        raise ConfigError(
            f"{family.name}'s processor must have `patch_size`, `vision_feature_select_strategy` and "
            "`num_additional_image_tokens` to know how many tokens an image has; found none: add them to its "
            'processor_config.json (14, "default" and 1 for CLIP ViT-L/14)'
        )
    adapted = copy.copy(processor)
    adapted.chat_template = _template(family, processor)
    adapted.image_processor = family.adapt_images(processor.image_processor)
    return adapted


def _template(family: ImageTextFamily, processor: Any) -> str:
    own = processor.chat_template or processor.tokenizer.chat_template
    if isinstance(own, str) and labeller(processor.tokenizer, own).closes_turns():
        return own
    if family.template is None:
        found = "none" if own is None else "one that leaves it open"
        raise ConfigError(
            f"{family.name} needs a chat template that ends what the assistant says with a special token; found "
            f"{found}; take the processor of a chat or instruct model"
        )
    return family.template


def to_messages(turns: Sequence[Turn], *, with_image: bool) -> list[ChatMessage]:
    """A sample's turns as chat templates take them, with the image first, as LLaVA places it.

    Only the first ``<image>`` stands for the image; others are text that somebody wrote.

    Raises:
        CannotTrain: The turns do not alternate from human to gpt, or no ``<image>`` says where the image belongs.
    """
    for index, turn in enumerate(turns):
        expected = ("human", "gpt")[index % 2]
        if turn.role != expected:
            raise CannotTrain("malformed", f"turn {index + 1} is from {turn.role}, expected {expected}")
    contents = [[{"type": "text", "text": turn.value}] for turn in turns]
    if with_image:
        if not turns or IMAGE_TOKEN not in turns[0].value:
            raise CannotTrain("malformed", f"there is an image, but the first turn does not hold {IMAGE_TOKEN}")
        question = turns[0].value.replace(IMAGE_TOKEN, "", 1).strip()
        contents[0] = [{"type": "image"}, {"type": "text", "text": question}]
    return [{"role": _ROLES[turn.role], "content": content} for turn, content in zip(turns, contents, strict=True)]


def _image(processor: Any, image: Image) -> tuple[Mapping[str, Any], int]:
    """The inputs of an image, and how many tokens it takes."""
    inputs = processor(images=[image.convert("RGB")], return_tensors="np")
    return inputs, processor.replace_image_token(inputs, image_idx=0).count(processor.image_token)


@functools.lru_cache(maxsize=16)
def _unseen_image(family: ImageTextFamily, processor: Any) -> dict[str, npt.NDArray[Any]]:
    from PIL import Image

    inputs, count = _image(processor, Image.new("RGB", (56, 56)))
    ids = np.full(count, processor.image_token_id, dtype=np.int64)
    extra = {"input_ids": ids, **family.extra_of(processor, ids, inputs)}
    return {f"{UNSEEN}{key}": value for key, value in extra.items()}


def _expand(ids: _Ints, labels: _Ints, processor: Any, count: int) -> tuple[_Ints, _Ints]:
    """Make the image's one token as many as the model's vision tower gives."""
    is_image = ids == processor.image_token_id
    if is_image.sum() != 1:
        raise ConfigError(
            f"the chat template must write {processor.image_token} once for an image; found {is_image.sum()} times; "
            "give the processor the template of its own model"
        )
    repeats = np.where(is_image, count, 1)
    return np.repeat(ids, repeats), np.repeat(labels, repeats)
