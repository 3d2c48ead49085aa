"""How many tokens a request will take, before it is sent."""

from __future__ import annotations

import functools
import re
from typing import Final

import msgspec

from kpray.schemas import Request, Usage

_PIECES: Final = re.compile(r" ?[^\W\d_]+|\d{1,3}|\s+(?=\d)|[^\s\w]+")
"""Where the tokenizers of OpenAI's models cut a text before they look into their vocabulary: words with the space
before them, up to three digits, a space before digits, runs of punctuation. English words and coordinates are seldom
cut further, so that counting the pieces comes within 2 % of the tokens of our prompts (docs/costs.md)."""

PER_MESSAGE: Final = 4
"""What the chat format puts around a message, in tokens."""

_COMPLETION_TOKENS: Final = 300.0
"""Before the first reply."""

_LARGEST_COMPLETION: Final = 1_024.0
_MARGIN: Final = 1.25
"""By how much the next reply may be larger than the largest so far."""

_MEMORY: Final = 0.02
"""Weight of the newest reply in a running mean: about the last hundred count."""


class _Learned:
    """What the replies to one kind of request have shown."""

    def __init__(self) -> None:
        self.tokens_per_piece = 1.0
        self.completion = _COMPLETION_TOKENS
        self.largest_completion = 0
        self.replies = 0


class TokenMeter:
    """Estimates a request's tokens from its text, and learns from what servers count, kind by kind."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Learned] = {}

    def prompt_tokens(self, request: Request) -> int:
        """Expected tokens of the prompt."""
        return round(self._of(request).tokens_per_piece * rough_tokens(request))

    def completion_tokens(self, request: Request) -> int:
        """Expected tokens of the reply."""
        return round(self._of(request).completion)

    def most_completion_tokens(self, request: Request) -> int:
        """A bound for the reply: the limit that is sent, or some more than the largest reply so far."""
        if request.sampling.max_tokens is not None:
            return request.sampling.max_tokens
        return round(max(_LARGEST_COMPLETION, _MARGIN * self._of(request).largest_completion))

    def observe(self, request: Request, usage: Usage | None) -> None:
        """Learn from a reply; one without counts teaches nothing."""
        if usage is None or not usage.prompt_tokens:
            return
        learned = self._of(request)
        learned.replies += 1
        weight = max(_MEMORY, 1 / learned.replies)
        ratio = usage.prompt_tokens / rough_tokens(request)
        learned.tokens_per_piece += weight * (ratio - learned.tokens_per_piece)
        learned.completion += weight * (usage.completion_tokens - learned.completion)
        learned.largest_completion = max(learned.largest_completion, usage.completion_tokens)

    def _of(self, request: Request) -> _Learned:
        return self._kinds.setdefault(request.kind, _Learned())


def rough_tokens(request: Request) -> int:
    """Tokens of the messages, and of the schema that goes with them, without any tokenizer; at least 1."""
    messages = sum(PER_MESSAGE + _rough(message.content) for message in request.messages)
    if request.response_schema is None:
        return max(1, messages)
    return messages + _rough(msgspec.json.encode(request.response_schema).decode())


@functools.lru_cache(maxsize=4_096)  # most messages are the same in every request
def _rough(text: str) -> int:
    beyond_ascii = len(text.encode()) - len(text)  # such letters take a token or more each
    return len(_PIECES.findall(text)) + beyond_ascii
