"""Where items are judged: processes behind Ray Serve's handles, each for its own part of the scenes.

All items about a scene go to the same process, so that one that is asked for twice at the same time is paid once, and
no two processes need to know of each other.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

from kpray.judges.types import Judgement, none_of
from kpray.scoring.types import JudgeFingerprint, JudgeItem

_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.5
"""A killed process is back within seconds; what it had been paid for is in the ledger, so the items are sent again."""

_GONE: Final = (RayActorError, ReplicaUnavailableError)
_GRACE_S: Final = 5.0
"""For a process to say what it has not judged in time; after that it counts as gone."""


class ShardedBench:
    """A `kpray.serving.judging.exchange.Bench` of several processes."""

    def __init__(self, handles: Sequence[Any], who: Callable[[JudgeItem], JudgeFingerprint]) -> None:
        """Remember where to send.

        Args:
            handles: Of the deployments, one process each.
            who: Who is to judge an item that none of them judged.
        """
        self._handles, self._who = handles, who

    async def judgements(self, items: Sequence[JudgeItem], *, within_s: float | None = None) -> list[Judgement]:
        """See `Bench`."""
        parts: dict[int, list[int]] = {}
        for i, item in enumerate(items):
            parts.setdefault(shard_of(item.scene.scene_id, len(self._handles)), []).append(i)
        work = (self._part(shard, [items[i] for i in places], within_s) for shard, places in parts.items())
        judged: dict[int, Judgement] = {}
        for places, found in zip(parts.values(), await asyncio.gather(*work), strict=True):
            judged.update(zip(places, found, strict=True))
        return [judged[i] for i in range(len(items))]

    async def check_health(self) -> None:
        """See `Bench`."""
        await asyncio.gather(*(_called(handle.check_health.remote()) for handle in self._handles))

    async def _part(self, shard: int, items: list[JudgeItem], within_s: float | None) -> list[Judgement]:
        try:
            async with asyncio.timeout(None if within_s is None else within_s + _GRACE_S):
                return await self._retried(self._handles[shard], items, within_s)
        except TimeoutError:
            return [none_of(item, self._who(item), "too_slow", "the judge's process did not answer") for item in items]

    async def _retried(self, handle: Any, items: list[JudgeItem], within_s: float | None) -> list[Judgement]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                found: list[Judgement] = await _called(handle.judgements.remote(items, within_s))
                return found
            except (BackPressureError, DeploymentUnavailableError):
                break
            except RayTaskError as error:
                if not isinstance(error.cause, _GONE):
                    raise
            except _GONE:
                pass
            await asyncio.sleep(_PAUSE_S * attempt)
        return [
            none_of(item, self._who(item), "no_reply", "no process could take it", retry_after_s=5) for item in items
        ]


async def _called(response: Any) -> Any:
    """What a call to a process gives; whoever stops waiting for it stops it."""
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise


def shard_of(scene_id: str, count: int) -> int:
    """Which of some processes judges a scene's items; the same in every process and every time."""
    digest = hashlib.blake2b(scene_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % count
