"""One copy of a model that transformers answers with, as Ray Serve runs it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

from kpray.serving.config import ServedModel
from kpray.serving.engines.transformers_engine import TransformersEngine
from kpray.serving.errors import ApiError
from kpray.serving.telemetry import Figure, Telemetry
from kpray.serving.types import ChatRequest, Delta

FIGURES: Final[Mapping[str, Figure]] = {
    "kpray_engine_waiting": Figure("gauge", "Requests that wait for a place in the batch", ("model",)),
    "kpray_engine_batch": Figure("gauge", "Requests in the batch", ("model",)),
}


class ModelReplica:
    """A `TransformersEngine` whose refusals are pieces, as `HandleEngine` wants them.

    Args:
        served: The model.
        prompt_tokens: Longest prompt; None is what the model can take.
    """

    def __init__(self, served: ServedModel, prompt_tokens: int | None) -> None:
        self._name = served.name
        self._engine = TransformersEngine(served, prompt_tokens=prompt_tokens)
        self._telemetry = Telemetry(to_ray=True, figures=FIGURES)

    async def answer(self, request: ChatRequest) -> AsyncGenerator[Delta | ApiError]:
        """The answer, piece by piece, or why there is none."""
        self._tell()
        try:
            async with aclosing(self._engine.answer(request)) as pieces:
                async for piece in pieces:
                    yield piece
        except ApiError as error:
            yield error
        finally:
            self._tell()

    async def check_health(self) -> None:
        """Raise if it can no longer answer; Serve then starts another copy."""
        self._tell()
        await self._engine.check_health()

    def _tell(self) -> None:
        self._telemetry.put("kpray_engine_waiting", self._engine.queued, model=self._name)
        self._telemetry.put("kpray_engine_batch", self._engine.running, model=self._name)
