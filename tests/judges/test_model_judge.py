from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judge_items import items, model_judge
from judge_server import JudgeServer
from openai_server import KEY

from kpray.errors import ConfigError, TeacherError
from kpray.judges import asking
from kpray.judges.asking import Calls
from kpray.judges.books import known_about, spent_by_judges
from kpray.judges.connect import Server, Spending, preflight
from kpray.judges.types import Judgement
from kpray.ledger.inspection import survey
from kpray.ledger.prices import ModelPrice
from kpray.scoring.types import JudgeItem

PRICE = ModelPrice(prompt=2.5, completion=10.0, cached_prompt=1.25)


@pytest.fixture(scope="module")
def shared() -> Iterator[JudgeServer]:
    with JudgeServer() as server:
        yield server


@pytest.fixture
def server(shared: JudgeServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    shared.set_faults()
    yield shared
    shared.change(latency_s=0.0)


def answered(server: JudgeServer) -> int:
    return server.stats().get("answered", 0)


def judged(
    server: JudgeServer, ledger: Path, asked: list[JudgeItem], *, within_s: float | None = None, **options: Any
) -> list[Judgement]:
    async def run() -> list[Judgement]:
        judge = model_judge(server.base_url, ledger, **options)
        try:
            return await judge.judgements(asked, within_s=within_s)
        finally:
            await judge.aclose()

    return asyncio.run(run())


def test_both_orders_are_judged_and_never_paid_again(server: JudgeServer, tmp_path: Path) -> None:
    asked, before = items(3), answered(server)
    first = judged(server, tmp_path, asked, price=PRICE)
    assert [j.source for j in first] == ["asked"] * 6
    assert [j.verdict.swapped for j in first] == [False, True] * 3
    assert first[0].verdict.scores is not None
    assert first[0].verdict.judge.model == "gpt-4o-2024-08-06"
    assert first[0].verdict.explanation == "The arms are as said."
    assert all(j.usd and j.usage.prompt_tokens for j in first)
    again = judged(server, tmp_path, asked, run="judge-other")
    assert [j.source for j in again] == ["ledger"] * 6
    assert [j.verdict for j in again] == [j.verdict for j in first]
    assert (again[0].usd, again[0].asked) == (0.0, 0)
    assert answered(server) == before + 6
    assert spent_by_judges(str(tmp_path), "judge-test") == pytest.approx(sum(j.usd or 0 for j in first))
    assert spent_by_judges(str(tmp_path), "judge-other") == 0.0
    assert [folder.name for folder in tmp_path.iterdir()] == ["7..7"]
    found = survey(str(tmp_path))
    assert (found.replies, found.damage, found.bought_again) == (6, [], 0)


def test_equal_items_under_way_are_asked_once(server: JudgeServer, tmp_path: Path) -> None:
    server.change(latency_s=0.3)
    before = answered(server)

    async def run() -> list[list[Judgement]]:
        judge = model_judge(server.base_url, tmp_path)
        two = await asyncio.gather(judge.judgements(items(2) + items(1)), judge.judgements(items(2)))
        await judge.aclose()
        return two

    one, other = asyncio.run(run())
    assert answered(server) == before + 4
    assert [j.verdict for j in one[:4]] == [j.verdict for j in other]
    assert one[4:] == [j for j in one[4:] if j.source == "ledger"]
    assert sum(j.asked for j in one + other) == 4


def test_repeats_are_asked_each_for_itself(server: JudgeServer, tmp_path: Path) -> None:
    before = answered(server)
    got = judged(server, tmp_path, items(1, mode="single", repeats=3))
    assert [j.verdict.repeat for j in got] == [0, 1, 2]
    assert len({j.verdict.request_id for j in got}) == 3
    assert len({j.verdict.judge for j in got}) == 1
    assert answered(server) == before + 3


@pytest.mark.parametrize("text", ["8 9", "Assistant 1: 8/10, Assistant 2: 9/10", '{"scores": [8, 9]}'])
def test_other_forms_are_read(server: JudgeServer, tmp_path: Path, text: str) -> None:
    server.set_faults({"text": text, "times": 9})
    got = judged(server, tmp_path, items())
    assert [j.verdict.scores for j in got] == [(8.0, 9.0)] * 2


def test_what_cannot_be_read_is_asked_once_more(server: JudgeServer, tmp_path: Path) -> None:
    server.set_faults({"text": "I like both.", "times": 2})
    mended = judged(server, tmp_path, items())
    assert all(j.verdict.scores for j in mended)
    assert [j.asked for j in mended] == [2, 2]
    assert "I like both." in server.stats()["last_text"]
    server.set_faults({"text": "I like both.", "times": 99})
    unread = judged(server, tmp_path, items(scene_id="8"))
    assert [(j.verdict.scores, j.verdict.unscored, j.asked) for j in unread] == [(None, "no_scores", 2)] * 2
    assert judged(server, tmp_path, items(scene_id="8")) == [
        j.__class__(j.verdict, "ledger") for j in unread
    ]  # also these are paid once


def test_a_refusal_is_unscored_and_not_asked_again(server: JudgeServer, tmp_path: Path) -> None:
    server.set_faults({"refusal": "I cannot judge this.", "text": None, "times": 1})
    got = judged(server, tmp_path, items())
    assert sorted(j.verdict.unscored or "" for j in got) == ["", "refusal"]
    assert [j.asked for j in got] == [1, 1]


def test_one_failure_takes_no_other_with_it_and_is_asked_later(server: JudgeServer, tmp_path: Path) -> None:
    server.set_faults({"match": "kicks ball 1", "status": 503, "times": 99, "headers": {"x-should-retry": "false"}})
    got = judged(server, tmp_path, items(3))
    assert [j.verdict.unscored for j in got] == [None, None, "no_reply", "no_reply", None, None]
    assert "503" in got[2].failure
    server.set_faults()
    again = judged(server, tmp_path, items(3))
    assert [j.source for j in again] == ["ledger", "ledger", "asked", "asked", "ledger", "ledger"]


def test_rate_limits_are_waited_for(server: JudgeServer, tmp_path: Path) -> None:
    server.set_faults({"status": 429, "retry_after": 0.2, "times": 2})
    got = judged(server, tmp_path, items(2))
    assert all(j.verdict.scores for j in got)


def test_a_server_that_wants_a_long_pause_is_away(server: JudgeServer, tmp_path: Path) -> None:
    server.set_faults({"status": 429, "retry_after": 3600, "times": 1})
    before = server.stats()["requests"]
    got = judged(server, tmp_path, items(2), calls=Calls(in_flight=1, patience_s=5.0))
    assert [j.verdict.unscored for j in got] == ["no_reply"] * 4
    assert "asks everyone to wait 3600 s" in got[0].failure
    assert got[0].retry_after_s == pytest.approx(3600, abs=60)
    assert server.stats()["requests"] == before + 1


def test_what_takes_too_long_is_kept_for_the_next_time(server: JudgeServer, tmp_path: Path) -> None:
    server.change(latency_s=3.0)
    before = answered(server)
    late = judged(server, tmp_path, items(), within_s=1.5)
    assert [j.verdict.unscored for j in late] == ["too_slow"] * 2
    assert [j.source for j in judged(server, tmp_path, items())] == ["ledger"] * 2
    assert answered(server) == before + 2


def test_a_refused_key_rests_and_is_tried_again(
    server: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.set_faults({"status": 401, "code": "invalid_api_key", "message": "Incorrect API key.", "times": 1})

    async def run() -> tuple[list[Judgement], list[Judgement], list[Judgement]]:
        judge = model_judge(server.base_url, tmp_path, calls=Calls(in_flight=1))
        stopped = await judge.judgements(items()[:1])
        resting = await judge.judgements(items()[1:])
        monkeypatch.setattr(asking.time, "monotonic", lambda now=asking.time.monotonic: now() + 31)
        mended = await judge.judgements(items())
        await judge.aclose()
        return stopped, resting, mended

    stopped, resting, mended = asyncio.run(run())
    assert stopped[0].verdict.unscored == "no_reply"
    assert "Incorrect API key" in stopped[0].failure
    assert (resting[0].failure, resting[0].asked) == (stopped[0].failure, 0)
    assert resting[0].retry_after_s == pytest.approx(30, abs=5)
    assert [j.source for j in mended] == ["asked", "asked"]


def test_a_budget_is_kept_over_restarts(server: JudgeServer, tmp_path: Path) -> None:
    one = judged(server, tmp_path, items(), price=PRICE)
    spent = sum(j.usd or 0.0 for j in one)
    budget = Spending(spent + 1e-5, spent)
    got = judged(server, tmp_path, items(2), price=PRICE, spending=budget)
    assert [j.source for j in got] == ["ledger", "ledger", "none", "none"]
    assert [j.verdict.unscored for j in got[2:]] == ["budget_spent"] * 2
    more = judged(server, tmp_path, items(2), price=PRICE, spending=Spending(1.0, spent))
    assert [j.source for j in more] == ["ledger", "ledger", "asked", "asked"]


def test_a_budget_needs_a_price(server: JudgeServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs the price of gpt-4o"):
        model_judge(server.base_url, tmp_path, spending=Spending(1.0))


def test_who_goes_away_leaves_what_was_sent_and_takes_back_the_rest(server: JudgeServer, tmp_path: Path) -> None:
    server.change(latency_s=0.5)
    before = server.stats().get("requests", 0)

    async def run() -> None:
        judge = model_judge(server.base_url, tmp_path, calls=Calls(in_flight=2))
        waiting = asyncio.create_task(judge.judgements(items(4)))
        while server.stats().get("requests", 0) < before + 2:
            await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await judge.aclose()

    asyncio.run(run())
    assert server.stats()["requests"] == before + 2
    known = known_about(str(tmp_path), ["7"])
    assert (len(known.replies), known.in_doubt) == (2, frozenset())


@pytest.mark.parametrize(
    ("key", "model", "said"),
    [("sk-wrong", "gpt-4o", "refuses the key in JUDGE_KEY"), (KEY, "gpt-9", "no model 'gpt-9'; it has gpt-4o")],
)
def test_preflight_names_what_is_wrong(
    server: JudgeServer, monkeypatch: pytest.MonkeyPatch, key: str, model: str, said: str
) -> None:
    monkeypatch.setenv("JUDGE_KEY", key)
    with pytest.raises(TeacherError, match=said) as caught:
        asyncio.run(preflight(Server(model, server.base_url, "JUDGE_KEY")))
    assert key not in str(caught.value)
    asyncio.run(preflight(Server("gpt-4o", server.base_url)))


def test_preflight_without_a_key_or_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="set OPENAI_API_KEY"):
        asyncio.run(preflight(Server("gpt-4o")))
    with pytest.raises(TeacherError, match="cannot be reached"):
        asyncio.run(preflight(Server("gpt-4o", "http://127.0.0.1:9/v1")))
