"""Waiting for many judgements, but not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from kpray.judges.types import Judgement
from kpray.scoring.types import JudgeItem

Work = Callable[[JudgeItem], Coroutine[Any, Any, Judgement]]


async def judge_all(
    items: Sequence[JudgeItem], work: Work, *, within_s: float | None, late: Callable[[JudgeItem], Judgement]
) -> list[Judgement]:
    """Judge all items side by side; those that are not done in time are cancelled and become what `late` says."""
    tasks = [asyncio.create_task(work(item)) for item in items]
    if not tasks:
        return []
    try:
        await asyncio.wait(tasks, timeout=within_s)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return [late(item) if task.cancelled() else task.result() for item, task in zip(items, tasks, strict=True)]
