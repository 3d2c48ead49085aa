"""Tokens become text as they come: no half characters, and nothing of a text at which the answer has to end."""

from __future__ import annotations

from typing import Any, Final

_HALF: Final = "\ufffd"
"""What a decoder writes for bytes that are no whole character, or not yet."""


class Detokenizer:
    """Text of a growing list of tokens, each character once.

    A token's text depends on the one before it (blanks, bytes of one character), so a short window is decoded twice,
    with and without what is new, and the difference is the new text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._window = 0  # where the decoded window begins
        self._told = 0  # tokens whose text was given out

    def push(self, token: int) -> str:
        """The text that is certain now; empty while a character is incomplete."""
        self._tokens.append(token)
        new = self._new_text()
        if not new or new.endswith(_HALF):
            return ""
        self._window, self._told = self._told, len(self._tokens)
        return new

    def rest(self) -> str:
        """What was held back, when no token follows any more."""
        return self._new_text()

    def _new_text(self) -> str:
        before = self._decode(self._tokens[self._window : self._told])
        return self._decode(self._tokens[self._window :])[len(before) :]

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


class StopTexts:
    """Ends an answer before the first of some texts, and holds back what may become one of them."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = tuple(text for text in stop if text)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """What may be given out now, and whether the answer has ended."""
        text = self._held + text
        found = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        if found:
            self._held = ""
            return text[: min(found)], True
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def rest(self) -> str:
        """What was held back, when no text follows any more."""
        return self._held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` with which `stop` begins."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
