"""A conversation with pictures becomes what the model reads."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

import jinja2
import msgspec
import PIL.Image
import PIL.ImageOps
import torch
from torch.nn.functional import pad

from kpray.serving.errors import ApiError
from kpray.serving.types import ChatMessage, ChatRequest, Image

_BY_TOKEN: Final = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
"""What a processor gives for each token; all else belongs to pictures."""


class Prompt(msgspec.Struct, frozen=True):
    """What the model reads for one request.

    Attributes:
        by_token: (1, S) tensors.
        by_picture: Tensors whose first dimension counts pictures or their patches.
        room: How many tokens the answer may have at most.
    """

    by_token: dict[str, torch.Tensor]
    by_picture: dict[str, torch.Tensor]
    room: int

    @property
    def length(self) -> int:
        """Tokens, image tokens included."""
        return int(self.by_token["input_ids"].shape[1])

    @property
    def signature(self) -> tuple[Any, ...]:
        """Prompts with the same one can be read in one pass."""
        return tuple((name, tuple(tensor.shape[1:])) for name, tensor in sorted(self.by_picture.items()))


def collate(
    prompts: Sequence[Prompt], *, pad_token: int, device: torch.device, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """One tensor of each kind for all prompts, padded on the left; pictures in `dtype`."""
    longest = max(prompt.length for prompt in prompts)
    inputs = {}
    for name in prompts[0].by_token:
        fill = pad_token if name == "input_ids" else 0
        rows = [pad(p.by_token[name], (longest - p.length, 0), value=fill) for p in prompts]
        inputs[name] = torch.cat(rows).to(device)
    for name in prompts[0].by_picture:
        tensor = torch.cat([prompt.by_picture[name] for prompt in prompts]).to(device)
        inputs[name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
    return inputs


class PromptReader:
    """Makes prompts; several threads may use it at once.

    Args:
        processor: The model's, with its chat template.
        max_length: Of prompt and answer together, in tokens.
        prompt_tokens: Longest prompt; None is what `max_length` leaves.
    """

    def __init__(self, processor: Any, *, max_length: int, prompt_tokens: int | None = None) -> None:
        self._processor = processor
        self._tokenizer = processor.tokenizer
        self._max_length = max_length
        self._longest = min(prompt_tokens or max_length, max_length - 1)
        self._placeholder: str | None = getattr(processor, "image_token", None)
        self._longest_token = max((len(token) for token in self._tokenizer.get_vocab()), default=1)

    def read(self, request: ChatRequest) -> Prompt:
        """The prompt of a request.

        Raises:
            ApiError: 400; it is too long, a picture cannot be read, or the model's template does not take it.
        """
        self._check_texts(request.messages)
        text = self._render([_message(message) for message in request.messages])
        pictures = [_decode(part, place) for place, part in _pictures(request.messages)]
        # As apply_chat_template does it: a template that writes the beginning itself must not get a second one.
        begins = self._tokenizer.bos_token is not None and text.startswith(self._tokenizer.bos_token)
        inputs = self._processor(
            text=[text], images=pictures or None, add_special_tokens=not begins, return_tensors="pt"
        )
        by_token = {name: inputs[name] for name in _BY_TOKEN if name in inputs}
        by_picture = {name: tensor for name, tensor in inputs.items() if name not in by_token}
        length = int(by_token["input_ids"].shape[1])
        if length > self._longest:
            raise self._too_long(f"{length} tokens")
        return Prompt(by_token, by_picture, room=self._max_length - length)

    def _check_texts(self, messages: Sequence[ChatMessage]) -> None:
        texts = [part for message in messages for part in message.parts if isinstance(part, str)]
        characters = sum(map(len, texts))
        if characters > self._longest * self._longest_token:  # certain without counting tokens
            raise self._too_long(f"{characters} characters")
        if self._placeholder and any(self._placeholder in text for text in texts):
            raise ApiError(
                400,
                f"a message contains {self._placeholder}, which stands for a picture in this model's prompts; send "
                "pictures as parts of type image_url",
                code="invalid_prompt",
                param="messages",
            )

    def _render(self, conversation: list[dict[str, Any]]) -> str:
        try:
            text: str = self._processor.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
        except jinja2.TemplateError as error:
            message = f"this model's chat template does not take these messages: {error}"
            raise ApiError(400, message, code="invalid_prompt", param="messages") from error
        return text

    def _too_long(self, found: str) -> ApiError:
        return ApiError(
            400,
            f"the prompt has {found}; this model takes {self._longest} tokens of prompt, image tokens included, and "
            f"{self._max_length} together with the answer: shorten the messages or send fewer pictures",
            code="context_length_exceeded",
            param="messages",
        )


def _message(message: ChatMessage) -> dict[str, Any]:
    parts = [{"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in message.parts]
    return {"role": message.role, "content": parts}


def _pictures(messages: Sequence[ChatMessage]) -> list[tuple[str, Image]]:
    """Pictures with their places, in the client's order."""
    return [
        (f"messages[{m}].content[{p}]", part)
        for m, message in enumerate(messages)
        for p, part in enumerate(message.parts)
        if isinstance(part, Image)
    ]


def _decode(image: Image, place: str) -> PIL.Image.Image:
    try:
        with PIL.Image.open(io.BytesIO(image.encoded)) as opened:
            return PIL.ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        message = f"this {image.media_type} cannot be decoded: expected a whole picture, found a broken or cut one"
        raise ApiError(400, message, code="invalid_image", param=place) from error
