"""One request on its way through the batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any, Literal

from kpray.serving.engines.prompts import Prompt
from kpray.serving.engines.sampling import draw_of
from kpray.serving.engines.text import Detokenizer, StopTexts
from kpray.serving.types import ChatSampling, Delta

Piece = Delta | Exception


class Row:
    """Turns one request's tokens into pieces of text, and hands them to the loop in which it is awaited.

    Everything but `pieces` and `leave` belongs to the thread that computes.

    Attributes:
        prompt: What the model reads.
        draw: How its tokens are drawn.
        token: The last one.
        done: Whether its last piece was made, or nobody waits for it any more.
    """

    def __init__(self, prompt: Prompt, sampling: ChatSampling, *, tokenizer: Any, ends: Collection[int]) -> None:
        self.prompt = prompt
        self.draw = draw_of(sampling.temperature, sampling.top_p, sampling.seed)
        self.token = 0
        self.done = False
        self.loop = asyncio.get_running_loop()
        self._most = min(sampling.max_tokens, prompt.room)
        self._ends = ends
        self._made = 0
        self._text, self._stop = Detokenizer(tokenizer), StopTexts(sampling.stop)
        self._pieces: asyncio.Queue[Piece] = asyncio.Queue()

    def take(self, token: int) -> Delta | None:
        """The text that this token adds; None while there is nothing to show."""
        self.token = token
        self._made += 1
        if token in self._ends:
            return self._last(*self._stop.push(self._text.rest()), "stop")
        text, stopped = self._stop.push(self._text.push(token))
        if stopped:
            return self._last(text, True, "stop")
        if self._made >= self._most:
            more, stopped = self._stop.push(self._text.rest())
            return self._last(text + more, stopped, "stop" if stopped else "length")
        return Delta(text) if text else None

    def _last(self, text: str, stopped: bool, reason: Literal["stop", "length"]) -> Delta:
        self.done = True
        text = text if stopped else text + self._stop.rest()
        return Delta(text, reason, self.prompt.length, self._made)

    def put(self, piece: Piece) -> None:
        """Called in `loop`."""
        self._pieces.put_nowait(piece)

    def leave(self) -> None:
        """Nobody waits for it any more."""
        self.done = True

    async def pieces(self) -> AsyncIterator[Delta]:
        """The answer; pieces that came while nobody looked are given together.

        Raises:
            Exception: What was put.
        """
        while True:
            piece = await self._pieces.get()
            while isinstance(piece, Delta) and not self._pieces.empty():
                later = self._pieces.get_nowait()
                piece = _joined(piece, later) if isinstance(later, Delta) else later
            if isinstance(piece, Exception):
                raise piece
            yield piece
            if piece.finish_reason:
                return


def _joined(piece: Delta, later: Delta) -> Delta:
    return Delta(piece.text + later.text, later.finish_reason, later.prompt_tokens, later.completion_tokens)
