"""Judges items in a process of its own, to be killed: ``python judging_process.py BASE_URL LEDGER COUNT``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))

from judge_items import items, model_judge


async def _run(base_url: str, ledger: str, count: int) -> None:
    judge = model_judge(base_url, Path(ledger))
    judged = await judge.judge(items(count))
    await judge.aclose()
    print(sum(verdict.scores is not None for verdict in judged))


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], sys.argv[2], int(sys.argv[3])))
