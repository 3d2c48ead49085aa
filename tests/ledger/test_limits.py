from __future__ import annotations

import asyncio
import random

import pytest

from kpray.ledger.limits import Ask, Lease, LocalGate, RateLimiter, ServerLimits
from kpray.ledger.rate_headers import parse_duration


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def headers(limit: float, remaining: float, reset: str, what: str = "requests") -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": str(limit),
        f"x-ratelimit-remaining-{what}": str(remaining),
        f"x-ratelimit-reset-{what}": reset,
    }


def run_for(limiter: RateLimiter, clock: Clock, seconds: float, tokens: float = 1.0) -> list[float]:
    """Take as fast as it lets; the times at which it let one through."""
    times, end = [], clock.now + seconds
    while clock.now < end:
        wait_s = limiter.take(tokens)
        if wait_s:
            clock.now += wait_s + 1e-9
        else:
            times.append(clock.now)
    return times


def most_in_a_minute(times: list[float]) -> int:
    return max(sum(start <= t < start + 60 for t in times) for start in times[:: max(1, len(times) // 200)])


# --- what servers say ---------------------------------------------------------------------------------------------


def test_the_headers_of_openai() -> None:
    limits = ServerLimits.from_headers(headers(500, 499, "120ms") | headers(30000, 29000, "2s", "tokens"))
    assert limits == ServerLimits(500, 30000, 499, 29000, 0.12, 2.0)


def test_no_headers_no_limits() -> None:
    assert ServerLimits.from_headers({"content-type": "application/json"}) is None


@pytest.mark.parametrize(
    ("limit", "remaining", "reset"),
    [(10000, 9999, "8.64s"), (14400, 14370, "2m59.56s"), (200, 199, "7m12s")],
    ids=["10,000 a day", "14,400 a day", "200 a day"],
)
def test_a_limit_per_day_is_not_taken_for_one_per_minute(limit: int, remaining: int, reset: str) -> None:
    found = ServerLimits.from_headers(headers(limit, remaining, reset))
    assert found is not None
    assert found.requests_per_minute is None
    assert found.remaining_requests == remaining


@pytest.mark.parametrize("text", ["", "-1", "none", "nan", "inf", "0"])
def test_a_limit_that_cannot_be_read_is_none(text: str) -> None:
    found = ServerLimits.from_headers({"x-ratelimit-limit-requests": text})
    assert found is not None
    assert found.requests_per_minute is None


def test_durations() -> None:
    assert [parse_duration(text) for text in ("1h2m3s", "1m0.5s", "17ms", None)] == [3723.0, 60.5, 0.017, None]


# --- one limiter --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [60, 500, 6_000])
def test_no_minute_holds_more_requests_than_the_limit_and_hardly_fewer(limit: int) -> None:
    clock = Clock()
    times = run_for(RateLimiter(limit, clock=clock), clock, 180)
    assert limit * 0.97 <= most_in_a_minute(times) <= limit


def test_a_limit_of_less_than_one_a_second() -> None:
    clock = Clock()
    times = run_for(RateLimiter(3, clock=clock), clock, 600)
    assert most_in_a_minute(times) <= 4
    assert 29 <= len(times) <= 31


def test_tokens_are_limited_too_and_a_large_request_only_owes() -> None:
    clock = Clock()
    times = run_for(RateLimiter(None, 30_000, clock=clock), clock, 600, tokens=2_300)
    assert len(times) == pytest.approx(10 * 30_000 / 2_300, rel=0.03)
    assert most_in_a_minute(times) * 2_300 <= 30_000 + 2_300


def test_what_was_estimated_wrongly_is_settled() -> None:
    clock = Clock()
    limiter = RateLimiter(None, 60_000, clock=clock)
    assert limiter.take(500) == 0
    limiter.owe(9_500)
    assert limiter.take(500) == pytest.approx(9, rel=0.1)  # it used 10,000 of the thousand a second
    limiter.owe(-9_500)
    assert limiter.take(500) == 0


def test_without_limits_nothing_waits() -> None:
    limiter = RateLimiter(clock=Clock())
    assert not any(limiter.take(10**6) for _ in range(10_000))


def test_a_pause_holds_for_everyone_and_the_longest_counts() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    limiter.pause(5)
    limiter.pause(2)
    assert limiter.take(1) == 5
    clock.now += 5
    assert limiter.take(1) == 0


def test_a_limit_is_learned_and_kept_when_the_server_says_nothing() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    limiter.learn(ServerLimits(requests_per_minute=600))
    limiter.learn(ServerLimits(tokens_per_minute=50_000))
    assert limiter.limits == (600, 50_000)
    assert most_in_a_minute(run_for(limiter, clock, 120)) <= 600
    limiter.learn(ServerLimits(requests_per_minute=300))
    assert limiter.limits == (300, 50_000)


@pytest.mark.parametrize("named", [50, 5_000])
def test_a_limit_that_was_set_by_hand_beats_the_servers(named: float) -> None:
    limiter = RateLimiter(requests_per_minute=500, clock=Clock())
    limiter.learn(ServerLimits(requests_per_minute=named, tokens_per_minute=9))
    assert limiter.limits == (500, 9)


def test_what_the_server_has_left_is_all_that_may_be_sent() -> None:
    limiter = RateLimiter(requests_per_minute=600, clock=Clock())
    limiter.learn(ServerLimits(remaining_requests=0))
    assert limiter.take(1) > 0


# --- leases -------------------------------------------------------------------------------------------------------


def use_leases(limiter: RateLimiter, clock: Clock, wanted: dict[str, int], seconds: float) -> dict[str, list[float]]:
    """Workers that ask twice a second for what they want in that time."""
    got: dict[str, list[float]] = {worker: [] for worker in wanted}
    drawn = random.Random(1)
    next_at = {worker: clock.now + drawn.random() / 2 for worker in wanted}
    end = clock.now + seconds
    while (worker := min(next_at, key=lambda name: next_at[name])) and next_at[worker] < end:
        clock.now = next_at[worker]
        lease = limiter.lease(Ask(worker, wanted[worker], 100.0))
        got[worker] += [clock.now] * (wanted[worker] if lease.requests is None else lease.requests)
        next_at[worker] = clock.now + drawn.uniform(0.4, 0.5)
    return got


def test_workers_together_keep_the_limit_and_use_it() -> None:
    clock = Clock()
    got = use_leases(RateLimiter(1_200, clock=clock), clock, {"a": 50, "b": 50, "c": 5, "d": 50}, 180)
    together = sorted(t for times in got.values() for t in times)
    assert 1_200 * 0.97 <= most_in_a_minute(together) <= 1_200
    assert len(got["a"]) == pytest.approx(len(got["b"]), rel=0.15)
    assert len(got["c"]) < len(got["a"])


def test_a_tiny_limit_serves_every_worker_in_time() -> None:
    clock = Clock()
    got = use_leases(RateLimiter(12, clock=clock), clock, dict.fromkeys("abcd", 20), 1_800)
    assert sum(map(len, got.values())) == pytest.approx(360, rel=0.05)
    assert min(map(len, got.values())) > 40


def test_tokens_are_leased_with_the_requests() -> None:
    clock = Clock()
    got = use_leases(RateLimiter(None, 60_000, clock=clock), clock, {"a": 50, "b": 50}, 120)
    assert sum(map(len, got.values())) == pytest.approx(2 * 600, rel=0.05)


def test_what_is_given_back_is_there_for_others() -> None:
    limiter = RateLimiter(6_000, clock=Clock())
    assert limiter.lease(Ask("a", 90)).requests == 90
    assert limiter.lease(Ask("b", 90)).requests == 4  # half of the 8 that are left of 98
    assert limiter.lease(Ask("a", -50)).requests == -50
    assert limiter.lease(Ask("b", 90)).requests == 54


def test_without_limits_a_lease_is_endless_and_tells_of_pauses() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    limiter.pause(7)
    assert limiter.lease(Ask("a", 10)) == Lease(None, 0.0, 7, 1, None, None)


def test_leases_keep_the_smallest_limit_that_a_living_worker_brings() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    learned = ServerLimits(requests_per_minute=10_000)
    assert limiter.lease(Ask("a", 10, learned=learned)).requests_per_minute == 10_000
    assert limiter.lease(Ask("b", 10, requests_per_minute=60)).requests_per_minute == 60
    assert limiter.lease(Ask("a", 10)).requests_per_minute == 60
    clock.now += 10
    assert limiter.lease(Ask("a", 10)).workers == 1
    assert limiter.lease(Ask("a", 10)).requests_per_minute == 10_000


# --- the local gate -----------------------------------------------------------------------------------------------


def test_the_local_gate_lets_through_in_order_at_the_limit() -> None:
    async def run() -> tuple[list[int], float]:
        gate = LocalGate(RateLimiter(requests_per_minute=1_200))
        order: list[int] = []
        started = asyncio.get_running_loop().time()

        async def go(number: int) -> None:
            await gate.enter(10)
            order.append(number)

        await asyncio.gather(*(go(number) for number in range(40)))
        return order, asyncio.get_running_loop().time() - started

    order, elapsed_s = asyncio.run(run())
    assert order == list(range(40))
    assert elapsed_s > 0.9  # 20 at once, 20 more in a second


def test_the_local_gate_learns_and_pauses() -> None:
    async def run() -> float:
        gate = LocalGate()
        gate.learn(ServerLimits(tokens_per_minute=60_000))
        gate.settle(0, 1_100)
        gate.pause(0.1)
        started = asyncio.get_running_loop().time()
        await gate.enter(10)
        return asyncio.get_running_loop().time() - started

    assert asyncio.run(run()) >= 0.1
