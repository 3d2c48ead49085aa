from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from kpray.errors import BudgetSpentError
from kpray.ledger.budget import most_usd
from kpray.ledger.prices import ModelPrice
from kpray.ledger.tokens import TokenMeter
from kpray.pipelines.treasury import LeasedPurse, Treasury, open_treasury
from kpray.schemas import Message, Reply, Request, Sampling

PRICE = ModelPrice(prompt=2.0, completion=10.0, cached_prompt=1.0)
REQUEST = Request("detailed", "1", (Message("user", "word " * 100),), "openai/m", Sampling(max_tokens=100))
MOST = most_usd(REQUEST, PRICE, TokenMeter())
"""What one request sets aside, in USD."""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def treasury(path: Path, limit: float, **changes: Any) -> Treasury:
    return Treasury(str(path / "treasury.json"), **{"session": "s", "limit_usd": limit, **changes})


def test_pieces_shrink_towards_the_end_and_never_pass_the_limit(tmp_path: Path) -> None:
    books = treasury(tmp_path, 100.0)
    pieces, spent = [], {"a": 0.0, "b": 0.0}
    for i in range(1_000):
        worker = "ab"[i % 2]
        lease = books.lease(worker, spent[worker], 0.0, 1.0)
        if lease.lent < spent[worker] + 1.0:
            break
        pieces.append(lease.lent - spent[worker])
        spent[worker] = lease.lent
        assert sum(spent.values()) <= 100.0
    assert pieces[0] > 10 * pieces[-1]
    assert sum(spent.values()) > 99.0


def test_what_earlier_sessions_spent_counts(tmp_path: Path) -> None:
    books = treasury(tmp_path, 10.0, spent_usd=9.5)
    lease = books.lease("a", 0.0, 0.0, 1.0)
    assert (lease.lent, lease.hope, lease.spent) == (0.0, False, 9.5)


def test_a_question_asked_twice_is_lent_once(tmp_path: Path) -> None:
    books = treasury(tmp_path, 10.0)
    first = books.lease("a", 0.0, 0.0, 1.0)
    assert books.lease("a", 0.0, 0.0, 1.0) == first


def test_after_a_restart_no_more_is_lent_than_is_left(tmp_path: Path) -> None:
    first = treasury(tmp_path, 10.0).lease("a", 0.0, 0.0, 8.0)
    assert first.lent >= 8.0
    again = treasury(tmp_path, 10.0)
    assert again.lease("b", 0.0, 0.0, 10.5 - first.lent).lent == 0.0
    assert again.lease("a", 0.0, 0.0, 8.0) == first


def test_another_session_begins_with_empty_books(tmp_path: Path) -> None:
    treasury(tmp_path, 10.0).lease("a", 0.0, 0.0, 8.0)
    assert treasury(tmp_path, 10.0, session="next").lease("b", 0.0, 0.0, 8.0).lent >= 8.0


def test_a_worker_without_anything_under_way_gives_back_what_it_holds(tmp_path: Path) -> None:
    books = treasury(tmp_path, 10.0)
    held = books.lease("a", 0.0, 0.0, 6.0)
    refused = books.lease("b", 0.0, 0.0, 6.0)
    assert held.lent >= 6.0
    assert (refused.lent, refused.hope) == (0.0, True)
    assert books.report("a", 2.0, 0.0).lent == 2.0
    assert books.lease("b", 0.0, 0.0, 6.0).lent >= 6.0


def test_two_workers_that_hold_half_a_reservation_each_do_not_wait_for_each_other(tmp_path: Path) -> None:
    books = treasury(tmp_path, 10.0)
    books.lease("a", 0.0, 0.0, 5.0)
    books.lease("b", 0.0, 0.0, 5.0)
    first = books.lease("a", 0.0, 0.0, 6.0)  # refused, and it gives its 5 back
    second = books.lease("b", 0.0, 0.0, 6.0)
    assert (first.lent, first.hope) == (0.0, True)
    assert second.lent >= 6.0


def test_nothing_is_hoped_for_from_a_worker_that_is_gone(tmp_path: Path) -> None:
    clock = Clock()
    books = treasury(tmp_path, 10.0, clock=clock)
    books.lease("gone", 0.0, 0.0, 9.0)
    clock.now = 59.0
    assert books.lease("b", 0.0, 0.0, 2.0).hope
    clock.now = 61.0
    lease = books.lease("b", 0.0, 0.0, 2.0)
    assert (lease.lent, lease.hope) == (0.0, False)


def test_what_cost_more_than_was_lent_is_counted_in_full(tmp_path: Path) -> None:
    books = treasury(tmp_path, 10.0)
    books.lease("a", 0.0, 0.0, 4.0)
    books.report("a", 9.5, 0.0)
    assert books.spent() == 9.5
    assert not books.lease("b", 0.0, 0.0, 1.0).hope


@ray.remote(num_cpus=0)
class Worker:
    """Asks until the money is gone; every answer costs some part of what was set aside for it."""

    def __init__(self, books: Any, limit: float, seed: int) -> None:
        self._purse = LeasedPurse(books, limit_usd=limit, price=PRICE, meter=TokenMeter())
        self._draw = random.Random(seed)
        self._spent = 0.0

    async def ask(self) -> tuple[float, str]:
        errors = await asyncio.gather(*(self._ask_on() for _ in range(8)))
        return self._spent, errors[0]

    async def _ask_on(self) -> str:
        while True:
            try:
                reserved = await self._purse.reserve(REQUEST)
            except BudgetSpentError as error:
                return str(error)
            await asyncio.sleep(0.002)
            usd = reserved * self._draw.uniform(0.1, 1.0)
            self._spent += usd
            self._purse.settle(reserved, Reply("r", "", "stop", None, usd, 0.1, "m", "2026-01-01T00:00:00+00:00"))


@pytest.mark.ray
@pytest.mark.parametrize("kill", [False, True], ids=["undisturbed", "treasury killed"])
def test_many_workers_together_spend_the_budget_to_within_one_reservation(
    ray_local: None, tmp_path: Path, kill: bool
) -> None:
    limit = 400 * MOST
    books = open_treasury(str(tmp_path), limit_usd=limit, spent_usd=0.0)
    workers = [Worker.remote(books, limit, seed) for seed in range(3)]
    asked = [worker.ask.remote() for worker in workers]
    for _ in range(3 if kill else 0):
        time.sleep(0.3)
        ray.kill(books, no_restart=False)
    results = ray.get(asked, timeout=120)
    total = sum(spent for spent, _ in results)
    assert limit - MOST <= total <= limit + 1e-9
    assert all("is used up" in message for _, message in results)


@pytest.mark.ray
def test_a_treasury_that_is_gone_for_good_stops_the_run_with_a_sentence(ray_local: None, tmp_path: Path) -> None:
    from kpray.errors import TeacherStoppedError

    books = open_treasury(str(tmp_path), limit_usd=1.0, spent_usd=0.0)
    ray.get(books.spent.remote())
    ray.kill(books)
    purse = LeasedPurse(books, limit_usd=1.0, price=PRICE, meter=TokenMeter())
    with pytest.raises(TeacherStoppedError, match="run the same command again"):
        asyncio.run(purse.reserve(REQUEST))
