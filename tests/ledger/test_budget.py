from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.errors import BudgetSpentError
from kpray.ledger.budget import Budget, LocalPurse, most_usd
from kpray.ledger.prices import ModelPrice
from kpray.ledger.tokens import TokenMeter
from kpray.schemas import Message, Reply, Request, Sampling, Usage

PRICE = ModelPrice(prompt=2.0, completion=10.0, cached_prompt=1.0, batch_discount=0.5)


def request(text: str = "word " * 100, *, max_tokens: int | None = 100) -> Request:
    return Request("detailed", "1", (Message("user", text),), "openai/m", Sampling(max_tokens=max_tokens))


def reply(usage: Usage | None, *, usd: float | None = None, finish_reason: str = "stop") -> Reply:
    return Reply("r", "text", finish_reason, usage, usd, 0.1, "m", "2026-01-01T00:00:00+00:00")


def purse(limit: float, *, spent: float = 0.0) -> tuple[Budget, LocalPurse, float]:
    """A budget, a purse that pays from it, and what one `request` sets aside."""
    budget, meter = Budget(limit, spent=spent), TokenMeter()
    return budget, LocalPurse(budget, PRICE, meter), most_usd(request(), PRICE, meter)


def test_a_reservation_is_the_longest_reply_and_a_longer_prompt_than_expected() -> None:
    meter = TokenMeter()
    expected = meter.prompt_tokens(request())
    least = (1.1 * expected * PRICE.prompt + 100 * PRICE.completion) / 1e6
    assert least <= most_usd(request(), PRICE, meter) <= least + PRICE.prompt / 1e6
    assert most_usd(request(), PRICE, meter, batch=True) == pytest.approx(most_usd(request(), PRICE, meter) / 2)


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1)), max_size=60), st.floats(0, 20))
def test_no_order_of_reservations_and_payments_passes_the_limit(steps: list[tuple[float, float]], limit: float) -> None:
    budget = Budget(limit)
    under_way: list[tuple[float, float]] = []
    for usd, part in steps:
        if budget.try_reserve(usd):
            under_way.append((usd, usd * part))
        elif under_way:
            budget.settle(*under_way.pop(0))
        assert budget.spent + budget.reserved <= limit + 1e-6
    for reserved, actual in under_way:
        budget.settle(reserved, actual)
    assert budget.reserved == 0
    assert budget.spent <= limit + 1e-6


def test_a_budget_is_spent_to_within_one_reservation_and_never_passed() -> None:
    limit = 0.05
    budget, pays, most = purse(limit)
    draw = random.Random(0)

    async def ask() -> None:
        while True:
            reserved = await pays.reserve(request())
            assert budget.spent + budget.reserved <= limit + 1e-9
            await asyncio.sleep(0)
            pays.settle(reserved, reply(None, usd=reserved * draw.uniform(0.1, 1.0)))

    async def ask_all() -> list[BaseException | None]:
        return await asyncio.gather(*(ask() for _ in range(16)), return_exceptions=True)

    assert all(isinstance(error, BudgetSpentError) for error in asyncio.run(ask_all()))
    assert limit - most <= budget.spent <= limit


def test_it_waits_while_a_request_under_way_may_free_money() -> None:
    _, _, most = purse(0.0)
    budget, pays, _ = purse(1.5 * most)

    async def run() -> bool:
        first = await pays.reserve(request())
        second = asyncio.create_task(pays.reserve(request()))
        await asyncio.sleep(0.01)
        waited = not second.done()
        pays.settle(first, reply(None, usd=0.2 * most))
        assert await second == pytest.approx(most)
        return waited

    assert asyncio.run(run())
    assert budget.spent == pytest.approx(0.2 * most)


def test_it_says_so_when_nothing_can_free_money() -> None:
    _, _, most = purse(0.0)
    _, pays, _ = purse(3.0 + 0.5 * most, spent=3.0)
    with pytest.raises(BudgetSpentError, match=r"the budget of \$3\.00 is used up: \$3\.00 spent; .* larger --max-usd"):
        asyncio.run(pays.reserve(request()))


def test_waiting_ends_when_the_request_under_way_cost_all_of_its_reservation() -> None:
    _, _, most = purse(0.0)
    _, pays, _ = purse(1.5 * most)

    async def run() -> None:
        first = await pays.reserve(request())
        second = asyncio.create_task(pays.reserve(request()))
        await asyncio.sleep(0)
        pays.settle(first, reply(None, usd=first))
        await second

    with pytest.raises(BudgetSpentError):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "spent"),
    [
        (None, 0.0),
        (reply(None, finish_reason="error"), 0.0),
        (reply(Usage(1_000, 100), usd=0.5), 0.5),
        (reply(Usage(1_000, 100, 200)), (800 * 2 + 200 * 1 + 100 * 10) / 1e6),
        (reply(None), None),
    ],
)
def test_what_a_reply_counts(answer: Reply | None, spent: float | None) -> None:
    budget, pays, most = purse(1.0)
    pays.settle(asyncio.run(pays.reserve(request())), answer)
    assert budget.spent == pytest.approx(most if spent is None else spent)
    assert budget.reserved == 0


def test_a_reply_that_cost_more_than_was_set_aside_is_counted_in_full() -> None:
    budget, pays, most = purse(0.0)
    budget.limit = 1.5 * most
    pays.settle(asyncio.run(pays.reserve(request())), reply(None, usd=2 * most))
    assert budget.spent == pytest.approx(2 * most)
    with pytest.raises(BudgetSpentError):
        asyncio.run(pays.reserve(request()))
