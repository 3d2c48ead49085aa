"""Any image-text-to-text model of transformers, with continuous batching and token streaming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from kpray.serving.config import ServedModel
from kpray.serving.engines.batch import Batch
from kpray.serving.engines.loading import Loaded, load
from kpray.serving.engines.prompts import Prompt, PromptReader
from kpray.serving.engines.rows import Row
from kpray.serving.engines.scheduler import Scheduler
from kpray.serving.errors import ApiError
from kpray.serving.types import ChatRequest, Delta, ModelCard

_READERS: Final = 2
"""Threads that decode pictures and tokenize, beside the one that computes."""


class TransformersEngine:
    """A `kpray.serving.types.Engine` in this process.

    Args:
        served: The model and how it is batched.
        prompt_tokens: Longest prompt; None is what the model can take.

    Raises:
        ConfigError: The model cannot be loaded.
    """

    def __init__(self, served: ServedModel, *, prompt_tokens: int | None = None) -> None:
        self._loaded: Loaded = load(served)
        self._reader = PromptReader(
            self._loaded.processor, max_length=self._loaded.card.max_tokens, prompt_tokens=prompt_tokens
        )
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="kpray-read")
        self._reading = 0
        self._scheduler = Scheduler(
            Batch(self._loaded.model, pad_token=self._loaded.pad_token),
            size=served.batch_size,
            wait_s=served.batch_wait_ms / 1000,
            coming=lambda: self._reading,
        )

    @property
    def queued(self) -> int:
        """Requests that wait for a place in the batch, those whose pictures are being read among them."""
        return self._scheduler.queued + self._reading

    @property
    def running(self) -> int:
        """Requests in the batch."""
        return self._scheduler.running

    def card(self) -> ModelCard:
        """What it serves."""
        return self._loaded.card

    async def answer(self, request: ChatRequest) -> AsyncGenerator[Delta]:
        """The answer, piece by piece; closing the iterator frees the request's place.

        Raises:
            ApiError: 400 for what this model cannot read, 503 where it failed or is going away.
        """
        if request.sampling.json_schema is not None:
            message = "this model's engine (transformers) cannot hold an answer to a JSON schema; ask for it in words"
            raise ApiError(400, message, code="unsupported_parameter", param="response_format")
        prompt = await self._read(request)
        row = Row(prompt, request.sampling, tokenizer=self._loaded.processor.tokenizer, ends=self._loaded.ends)
        self._scheduler.submit(row)
        try:
            async for piece in row.pieces():
                yield piece
        finally:
            row.leave()

    async def check_health(self) -> None:
        """Raise if it can no longer answer."""
        self._scheduler.check()

    def close(self) -> None:
        """Finish the answers that are under way, then free the threads."""
        self._readers.shutdown(cancel_futures=True)
        self._scheduler.close()

    async def _read(self, request: ChatRequest) -> Prompt:
        self._reading += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._reader.read, request)
        finally:
            self._reading -= 1
