"""Chats as tokens, with labels on what the assistant says and on nothing else.

The method: the chat is rendered by its template up to each assistant turn and past it. What lies between the two is
what the model would have to write, so it carries loss, to the last control token in it (the one that ends the turn;
a line break behind it is written by the template, never by the model). Characters become tokens through the
tokenizer's offsets.

A turn may hold a control token as literal text, for example ``</s>`` in an answer about HTML. It must not end the
turn. So the chat is not given to the tokenizer itself but to a copy in which the control tokens have names that no
text holds; those that the template wrote are renamed in the rendered chat, those that a person wrote are plain text.
Everything else, merges over the borders of turns included, is as the tokenizer does it.

Nothing here changes the tokenizer, so threads may share it.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from kpray.errors import ConfigError
from kpray.training.types import IGNORED, CannotTrain

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ChatMessage = Mapping[str, Any]
"""A message as chat templates take it: ``role``, and ``content`` as a list of images and texts."""

# Three of Unicode's noncharacters, which are in no text by definition.
_OPEN, _CLOSE, _SHIELD = "\ufdd0", "\ufdd1", "\ufdd2"
_NONCHARACTERS: Final = {ord(character): None for character in (_OPEN, _CLOSE, _SHIELD)}

_PROBE: Final = (
    {"role": "user", "content": [{"type": "text", "text": "q"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
)


class ChatLabeller:
    """One tokenizer with one chat template."""

    def __init__(self, tokenizer: Any, template: str) -> None:
        """Copy the tokenizer's backend, which takes as long as loading it.

        Args:
            tokenizer: Of transformers, with a backend in Rust.
            template: Jinja, as transformers renders it.

        Raises:
            ConfigError: The tokenizer has no such backend.
        """
        if not hasattr(tokenizer, "backend_tokenizer"):
            raise ConfigError(
                f"expected a tokenizer with offsets (a tokenizer.json); found {type(tokenizer).__name__}; "
                "convert it by saving it once with transformers"
            )
        self._tokenizer = tokenizer
        self._template = template
        controls = _control_tokens(tokenizer, template)
        self._control = re.compile("|".join(map(re.escape, sorted(controls, key=len, reverse=True))) or r"(?!)")
        self._written = re.compile(f"{_OPEN}[^{_CLOSE}]*{_CLOSE}")
        self._backend, self._id_of = _with_private_names(tokenizer, controls)
        plain = self._backend.get_vocab(with_added_tokens=False)
        self._forgeable = [plain[token] for token in controls - {tokenizer.unk_token} if token in plain]

    def closes_turns(self) -> bool:
        """Whether the template ends what the assistant says with a control token, as training needs it."""
        (span,) = self._spans(_PROBE, self._render(_PROBE))
        return self._closing(self._render(_PROBE), span) is not None

    def encode(self, messages: Sequence[ChatMessage]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Tokens of a chat, and which of them are learned.

        Args:
            messages: The chat.

        Returns:
            ``input_ids`` and ``labels``, (L,) each; an image is one token here.

        Raises:
            CannotTrain: No assistant turn says anything, or the tokenizer makes a control token of plain text.
            ConfigError: The template cannot be masked: see `_spans`.
        """
        shielded = [self._shielded(message) for message in messages]
        text = self._render(shielded)
        encoding = self._backend.encode(text, add_special_tokens=not self._starts_sequence(text))
        self._refuse_forged(encoding)
        ids = self._id_of[np.array(encoding.ids, dtype=np.int64)]
        loss = self._supervised(messages, text, encoding.offsets, self._spans(shielded, text))
        if not loss.any():
            raise CannotTrain("no_supervised_token", "no assistant turn says anything")
        return ids, np.where(loss, ids, IGNORED)

    def _refuse_forged(self, encoding: Any) -> None:
        # Vocabularies of pieces with scores (Unigram) find "</s>" in plain text; those of merges (BPE) do not.
        written = np.array(encoding.special_tokens_mask, dtype=np.bool_)
        forged = np.isin(encoding.ids, self._forgeable) & ~written
        if forged.any():
            token = encoding.tokens[int(forged.argmax())]
            raise CannotTrain("malformed", f"the model's tokenizer reads the text {token} as a control token")

    def _supervised(
        self,
        messages: Sequence[ChatMessage],
        text: str,
        offsets: Sequence[tuple[int, int]],
        spans: Sequence[tuple[int, int]],
    ) -> npt.NDArray[np.bool_]:
        begins, ends = np.array(offsets, dtype=np.int64).reshape(-1, 2).T
        loss = np.zeros(len(begins), dtype=np.bool_)
        for message, span in zip(_assistant(messages), spans, strict=True):
            if _text_of(message).strip():
                closing = self._closing(text, span)
                loss |= (ends > span[0]) & (begins < (closing if closing is not None else span[1]))
        return loss

    def _spans(self, messages: Sequence[ChatMessage], text: str) -> list[tuple[int, int]]:
        """Where in the rendered chat each assistant turn begins and ends, what the model does not write left out.

        Raises:
            ConfigError: A part of the chat is not rendered as the beginning of the whole.
        """
        spans = []
        for index, message in enumerate(messages):
            if message["role"] == "assistant":
                before = self._render(messages[:index], prompt=True)
                through = self._render(messages[: index + 1])
                if not (text.startswith(through) and through.startswith(before)):
                    raise ConfigError(
                        f"the chat template renders turn {index + 1} another way when more turns follow, so what it "
                        "adds cannot be told apart; give the processor a template whose beginning does not change"
                    )
                spans.append((_begin(message, text, len(before), len(through)), len(through)))
        return spans

    def _closing(self, text: str, span: tuple[int, int]) -> int | None:
        ends = [match.end() for match in self._written.finditer(text, *span)]
        return ends[-1] if ends else None

    def _render(self, messages: Sequence[ChatMessage], *, prompt: bool = False) -> str:
        """The chat as text, with the control tokens that the template wrote under their private names."""
        text = self._tokenizer.apply_chat_template(
            list(messages), chat_template=self._template, tokenize=False, add_generation_prompt=prompt
        )
        return self._control.sub(rf"{_OPEN}\g<0>{_CLOSE}", text).replace(_SHIELD, "")

    def _shielded(self, message: ChatMessage) -> ChatMessage:
        """The message with its literal control tokens broken up until it is rendered."""
        parts = [
            {**part, "text": self._control.sub(_break_up, part["text"].translate(_NONCHARACTERS))}
            if part["type"] == "text"
            else part
            for part in message["content"]
        ]
        return {**message, "content": parts}

    def _starts_sequence(self, text: str) -> bool:
        bos = self._tokenizer.bos_token
        return bos is not None and text.startswith(f"{_OPEN}{bos}{_CLOSE}")


@functools.lru_cache(maxsize=16)
def labeller(tokenizer: Any, template: str) -> ChatLabeller:
    """The labeller of a tokenizer and a template; making one takes as long as loading the tokenizer."""
    return ChatLabeller(tokenizer, template)


def _break_up(match: re.Match[str]) -> str:
    token = match.group()
    return f"{token[0]}{_SHIELD}{token[1:]}"


def _assistant(messages: Sequence[ChatMessage]) -> Iterator[ChatMessage]:
    return (message for message in messages if message["role"] == "assistant")


def _begin(message: ChatMessage, text: str, begin: int, end: int) -> int:
    """Where a turn begins, behind the header of a template that does not write it as its generation prompt."""
    at = text.find(_text_of(message).replace(_SHIELD, "").strip(), begin, end)
    return at if at > begin and text[begin:at].strip() else begin


def _text_of(message: ChatMessage) -> str:
    return "".join(part["text"] for part in message["content"] if part["type"] == "text")


def _control_tokens(tokenizer: Any, template: str) -> frozenset[str]:
    """Tokens that mean something to the model: the special ones, and others that the template writes."""
    return frozenset(
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if (token.special or token.content in template) and not token.content.isspace()
    )


def _with_private_names(tokenizer: Any, controls: frozenset[str]) -> tuple[Tokenizer, npt.NDArray[np.int64]]:
    """A copy of the backend that knows the control tokens by private names, and the true ids of the copy's ids."""
    from tokenizers import Tokenizer

    specification = json.loads(tokenizer.backend_tokenizer.to_str())
    true_ids = {}
    for token in specification["added_tokens"]:
        if token["content"] in controls:
            token["content"] = f"{_OPEN}{token['content']}{_CLOSE}"
            token["normalized"] = False
        true_ids[token["content"]] = token["id"]
    backend = Tokenizer.from_str(json.dumps(specification))
    backend.no_truncation()
    backend.no_padding()
    ids = backend.get_vocab(with_added_tokens=True)
    id_of = np.arange(max(*ids.values(), *true_ids.values()) + 1, dtype=np.int64)
    for content, true_id in true_ids.items():
        id_of[ids[content]] = true_id
    return backend, id_of
