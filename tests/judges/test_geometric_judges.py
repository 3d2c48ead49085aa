from __future__ import annotations

import asyncio
from typing import Any

import pytest
from judge_items import items

from kpray.judges import geometric
from kpray.judges.geometric import GeometricJudge
from kpray.judges.types import Judgement
from kpray.scoring.judging.geometric import judge_geometrically
from kpray.scoring.types import JudgeItem


def judged(asked: list[JudgeItem], **options: Any) -> list[Judgement]:
    async def run() -> list[Judgement]:
        judge = GeometricJudge()
        try:
            return await judge.judgements(asked, **options)
        finally:
            await judge.aclose()

    return asyncio.run(run())


def test_it_computes_what_the_core_computes() -> None:
    asked = items(2)
    got = judged(asked)
    assert [j.verdict for j in got] == list(map(judge_geometrically, asked))
    assert {(j.source, j.usd, j.asked) for j in got} == {("computed", 0.0, 0)}
    assert judged([]) == []


def test_one_fault_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumbles(item: JudgeItem, codes: Any) -> Any:
        if item.question.question_id == "q1":
            raise ValueError("secret words")
        return judge_geometrically(item, codes)

    monkeypatch.setattr(geometric, "judge_geometrically", stumbles)
    got = judged(items(3))
    assert [j.verdict.unscored for j in got] == [None, None, "judge_failed", "judge_failed", None, None]
    assert "ValueError" in got[2].failure
    assert "secret" not in got[2].failure


def test_what_is_not_done_in_time_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    release = threading.Event()
    monkeypatch.setattr(geometric, "judge_geometrically", lambda item, codes: release.wait(20) and 0)

    async def run() -> list[Judgement]:
        judge = GeometricJudge()
        late = await judge.judgements(items(2), within_s=0.1)
        release.set()
        await judge.aclose()
        return late

    assert [j.verdict.unscored for j in asyncio.run(run())] == ["too_slow"] * 4
