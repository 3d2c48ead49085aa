"""The cluster-wide limiter, on a real Ray cluster."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ray

from kpray.ledger.limits import ServerLimits
from kpray.pipelines.limiter import NAMESPACE, LeasedGate, account_name, find_limiter

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


class Worker:
    """Goes through a gate as fast as that lets it, and remembers when."""

    def __init__(self, account: str, **limits: float) -> None:
        self._gate = LeasedGate(account, **limits)
        self._times: list[float] = []
        self._going: list[asyncio.Task[None]] = []

    async def go(self, *, tokens: int = 100, at_once: int = 16) -> None:
        self._going = [asyncio.create_task(self._go(tokens)) for _ in range(at_once)]

    async def _go(self, tokens: int) -> None:
        while True:
            await self._gate.enter(tokens)
            self._times.append(time.time())
            await asyncio.sleep(0.005)

    async def times(self) -> list[float]:
        return self._times

    async def pause(self, seconds: float) -> None:
        self._gate.pause(seconds)

    async def learn(self, limits: ServerLimits) -> None:
        self._gate.learn(limits)

    async def limits(self) -> tuple[float | None, float | None, int] | None:
        lease = self._gate._lease
        return lease and (lease.requests_per_minute, lease.tokens_per_minute, lease.workers)

    async def stop(self) -> list[float]:
        for task in self._going:
            task.cancel()
        await self._gate.aclose()
        return self._times


Start = Callable[..., list[Any]]


@pytest.fixture
def account() -> str:
    return account_name("http://server", uuid.uuid4().hex, "m")


@pytest.fixture
def start(account: str) -> Iterator[Start]:
    """Start workers in actors of their own; the limiter is there already, as in a run."""
    started: list[Any] = []
    limiter = find_limiter(account)
    ray.get(limiter.pause.remote(0.0))

    def workers(count: int, **limits: float) -> list[Any]:
        actor = ray.remote(num_cpus=0)(Worker)
        started.extend(actor.remote(account, **limits) for _ in range(count))
        return started[-count:]

    yield workers
    for worker in started:
        ray.kill(worker)
    ray.kill(ray.get_actor(account, namespace=NAMESPACE))


def all_times(workers: list[Any]) -> list[float]:
    return sorted(t for times in ray.get([worker.times.remote() for worker in workers]) for t in times)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.05)


def most_in(times: list[float], seconds: float) -> int:
    return max(sum(start <= t < start + seconds for t in times) for start in times)


def test_the_name_is_the_accounts_and_hides_the_key() -> None:
    name = account_name("http://a/v1", "sk-canary", "m")
    assert name == account_name("http://a/v1", "sk-canary", "m")
    others = [("http://b/v1", "sk-canary", "m"), ("http://a/v1", "sk-other", "m"), ("http://a/v1", "sk-canary", "n")]
    assert name not in {account_name(*other) for other in others}
    assert "canary" not in name


def test_several_gates_together_keep_a_limit_and_use_it(start: Start) -> None:
    workers = start(3, requests_per_minute=1_200.0)
    ray.get([worker.go.remote() for worker in workers])
    wait_until(lambda: len(all_times(workers)) >= 20, "the first requests")
    began, before = time.time(), len(all_times(workers))
    time.sleep(6)
    after, elapsed_s = len(all_times(workers)), time.time() - began
    times = all_times(workers)
    # 20 a second, and what was leased but not yet used: a second's burst here and there.
    assert most_in(times, 4.0) <= 4 * 20 + 40
    assert (after - before) / elapsed_s >= 0.7 * 20
    shares = [len(ray.get(worker.times.remote())) for worker in workers]
    assert min(shares) >= 0.15 * sum(shares)


def test_a_limit_on_tokens_is_shared_too(start: Start) -> None:
    workers = start(2, tokens_per_minute=60_000.0)
    ray.get([worker.go.remote(tokens=100) for worker in workers])
    time.sleep(6)
    times = all_times(workers)
    assert most_in(times, 4.0) <= 4 * 10 + 25
    assert len(times) >= 25


def test_one_that_comes_alone_gets_all(start: Start) -> None:
    (worker,) = start(1, requests_per_minute=3_000.0)
    ray.get(worker.go.remote(at_once=64))
    wait_until(lambda: len(all_times([worker])) >= 50, "the first requests")
    before, began = len(all_times([worker])), time.time()
    time.sleep(3)
    assert (len(all_times([worker])) - before) / (time.time() - began) >= 0.7 * 50


def test_what_one_learns_holds_for_all_also_after_the_limiters_death(start: Start, account: str) -> None:
    workers = start(2)
    ray.get([worker.go.remote() for worker in workers])
    ray.get(workers[0].learn.remote(ServerLimits(requests_per_minute=600, tokens_per_minute=1e9)))

    def all_know() -> bool:
        return ray.get([worker.limits.remote() for worker in workers]) == [(600, 1e9, 2)] * 2

    wait_until(all_know, "both know the limit")
    first = ray.get_actor(account, namespace=NAMESPACE)
    ray.kill(first)
    before = len(all_times(workers))
    wait_until(lambda: len(all_times(workers)) > before + 10, "they go on")
    wait_until(lambda: _id(account) not in (None, first._actor_id), "a new limiter")
    wait_until(all_know, "the new limiter knows the limit and both workers")
    began = time.time()
    time.sleep(4)
    assert sum(t > began + 1 for t in all_times(workers)) <= 3 * 10 + 25


def _id(account: str) -> Any:
    try:
        return ray.get_actor(account, namespace=NAMESPACE)._actor_id
    except ValueError:
        return None


def test_without_limits_nothing_waits_and_the_limiters_death_is_not_noticed(start: Start, account: str) -> None:
    workers = start(2)
    ray.get([worker.go.remote() for worker in workers])
    wait_until(lambda: all(ray.get([worker.limits.remote() for worker in workers])), "the first leases")
    ray.kill(ray.get_actor(account, namespace=NAMESPACE))
    began = time.time()
    time.sleep(4)
    times = [t for t in all_times(workers) if t > began]
    assert len(times) > 200
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 2.0


def test_a_pause_reaches_everyone(start: Start) -> None:
    workers = start(3)
    ray.get([worker.go.remote() for worker in workers])
    wait_until(lambda: all(ray.get([worker.limits.remote() for worker in workers])), "the first leases")
    ray.get(workers[0].pause.remote(4.0))
    paused_at = time.time()
    time.sleep(5.5)
    quiet = [t for t in all_times(workers) if paused_at + 1.5 < t < paused_at + 3.9]
    assert quiet == []
    wait_until(lambda: all_times(workers)[-1] > paused_at + 4.0, "they go on after the pause")


def test_a_gate_works_where_there_is_no_limiter_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(account: str) -> Any:
        raise ConnectionError("no cluster")

    monkeypatch.setattr("kpray.pipelines.limiter.find_limiter", nothing)

    async def run() -> float:
        gate = LeasedGate("a", requests_per_minute=1_200.0)
        started = time.monotonic()
        for _ in range(20):
            await gate.enter(10)
        await gate.aclose()
        return time.monotonic() - started

    assert asyncio.run(run()) >= 0.3  # the limit set by hand holds all the same
