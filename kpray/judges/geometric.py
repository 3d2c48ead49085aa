"""The embedded judge, which computes: see `kpray.scoring.judging.geometric`."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from kpray.judges.types import Judgement, none_of
from kpray.judges.waiting import judge_all
from kpray.pose import PoseCode
from kpray.pose.codes import scene_codes
from kpray.schemas import Scene
from kpray.scoring.judging.geometric import GEOMETRIC_JUDGE, judge_geometrically
from kpray.scoring.types import JudgeItem, Verdict

_LOGGER = logging.getLogger(__name__)


class GeometricJudge:
    """Judges one item after the other in a thread of its own; several processes judge side by side."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="geometric-judge")

    async def judgements(self, items: Sequence[JudgeItem], *, within_s: float | None = None) -> list[Judgement]:
        """See `kpray.judges.types.Judge`."""
        return await judge_all(items, self._judged, within_s=within_s, late=_late)

    async def judge(self, items: Sequence[JudgeItem]) -> list[Verdict]:
        """The verdicts of `judgements`."""
        return [judgement.verdict for judgement in await self.judgements(items)]

    async def aclose(self) -> None:
        """End the thread once it has nothing more to do."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def _judged(self, item: JudgeItem) -> Judgement:
        # An item whose turn has not come is taken out of the queue when this is cancelled.
        return await asyncio.get_running_loop().run_in_executor(self._thread, _judge, item)


def _judge(item: JudgeItem) -> Judgement:
    try:
        return Judgement(judge_geometrically(item, _codes(item.scene)), "computed")
    except Exception as error:  # noqa: BLE001 - texts come from anywhere; one that it stumbles over is one item's loss
        _LOGGER.error("the geometric judge failed on an item: %s", type(error).__name__)
        return none_of(item, GEOMETRIC_JUDGE, "judge_failed", f"the geometric judge failed ({type(error).__name__})")


@functools.lru_cache(maxsize=64)  # the answers to the questions about one picture come together
def _codes(scene: Scene) -> tuple[PoseCode, ...]:
    return scene_codes(scene)


def _late(item: JudgeItem) -> Judgement:
    return none_of(item, GEOMETRIC_JUDGE, "too_slow", "it was not judged in the time that was given")
