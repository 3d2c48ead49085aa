"""An engine in another process, behind a Ray Serve handle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

from kpray.serving.errors import ApiError, overloaded
from kpray.serving.types import ChatRequest, Delta, ModelCard

_ATTEMPTS: Final = 3
"""The first replica may be dead without anyone's knowledge, and the second one may share its fate."""

_PAUSE_S: Final = 0.2
"""Long enough for Serve to hear that a replica is gone."""

_GONE: Final = (RayActorError, ReplicaUnavailableError)


class HandleEngine:
    """A `kpray.serving.types.Engine` whose replicas have a method ``answer``.

    That method yields `Delta`; what it refuses it yields as an `ApiError` in place of the last piece, for an exception
    would be logged by Serve as a fault of the replica.

    Args:
        handle: Of the deployment.
        card: What it serves.
        sleeps: Whether it may have no replica; looking after its health would wake it up.
    """

    def __init__(self, handle: Any, card: ModelCard, *, sleeps: bool) -> None:
        self._answer = handle.options(stream=True).answer
        self._check = handle.check_health
        self._card, self._sleeps = card, sleeps

    def card(self) -> ModelCard:
        """What it serves."""
        return self._card

    async def answer(self, request: ChatRequest) -> AsyncGenerator[Delta]:
        """The answer, piece by piece; closing the iterator frees the replica's place.

        A replica that dies before the first piece is replaced by another one; the client does not notice.

        Raises:
            ApiError: What the replica refused; 503 where there is no room, or a replica died in mid-answer.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            begun = False
            try:
                async with aclosing(self._stream(request)) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
                return
            except _GONE as error:
                if begun:
                    raise ApiError(
                        503, "the model's process ended during this answer; ask again", code="replica_lost"
                    ) from error
                if attempt == _ATTEMPTS:
                    raise overloaded("the model's processes are restarting", retry_after_s=5) from error
                await asyncio.sleep(_PAUSE_S)

    async def _stream(self, request: ChatRequest) -> AsyncGenerator[Delta]:
        pieces = self._answer.remote(request)
        finished = False
        try:
            async for piece in pieces:
                if isinstance(piece, ApiError):
                    raise piece
                yield piece
            finished = True
        except BackPressureError as error:
            raise overloaded(f"{self._card.id} has as many requests waiting as it may") from error
        except DeploymentUnavailableError as error:
            raise overloaded(f"{self._card.id} could not be started; see the server's log", retry_after_s=30) from error
        except RayTaskError as error:
            raise _lost(error) or error from None
        finally:
            if not finished:
                pieces.cancel()

    async def check_health(self) -> None:
        """Raise if it can no longer answer."""
        if not self._sleeps:
            await self._check.remote()


def _lost(error: RayTaskError) -> BaseException | None:
    """The death of an actor that came wrapped as a task's failure."""
    cause = error.cause
    return cause if isinstance(cause, _GONE) else None
