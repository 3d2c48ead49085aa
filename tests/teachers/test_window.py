from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import Callable

import pytest

from kpray.teachers.window import Window


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def drive(window: Window, clock: Clock, latency_s: Callable[[], float], replies: int) -> list[int]:
    """Let replies come as from a server with some latency, the window always full; its sizes on the way."""
    sizes = []
    for _ in range(replies):
        latency = latency_s()
        sent_at = clock.now
        clock.now += latency / window.size
        window.succeeded(sent_at, latency)
        sizes.append(window.size)
    return sizes


def test_it_shrinks_once_in_a_round_trip_however_many_say_so() -> None:
    clock = Clock()
    window = Window(100, clock=clock)
    clock.now = 10
    for _ in range(50):
        window.overloaded(sent_at=9)
    assert window.size == 70
    clock.now = 11
    window.overloaded(sent_at=9.5)  # sent before it shrank
    assert window.size == 70
    window.overloaded(sent_at=10.5)
    assert window.size == 49


def test_it_never_closes_and_grows_back_to_its_bound_and_no_further() -> None:
    clock = Clock()
    window = Window(16, clock=clock)
    for _ in range(30):
        clock.now += 1
        window.overloaded(sent_at=clock.now)
    assert window.size == 1
    clock.now += 1
    sizes = drive(window, clock, lambda: 1.0, 200)
    assert sizes[0] == 2  # one success is a window of one
    assert all(after - before <= 1 for before, after in itertools.pairwise(sizes))
    assert sizes[-1] == 16


def test_it_grows_by_one_in_a_window_of_successes() -> None:
    clock = Clock()
    window = Window(64, clock=clock)
    window.overloaded(sent_at=1)
    assert window.size == 44
    clock.now = 2
    assert drive(window, clock, lambda: 1.0, 45 + 46 + 47)[-1] == 47


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [1, 8, 64])
def test_ordinary_variance_leaves_it_open(size: int, seed: int) -> None:
    drawn = random.Random(seed)
    laws: list[Callable[[], float]] = [
        lambda: drawn.uniform(1, 3),
        lambda: drawn.choice([1.0, 3.0]),
        lambda: math.exp(drawn.gauss(0, 0.5)),
    ]
    for law in laws:
        clock = Clock()
        assert min(drive(Window(size, clock=clock), clock, law, 5_000)) == size


def test_replies_that_take_three_times_as_long_shrink_it_and_it_comes_back() -> None:
    drawn = random.Random(3)
    clock = Clock()
    window = Window(64, clock=clock)
    drive(window, clock, lambda: drawn.uniform(1, 3), 2_000)
    slow = drive(window, clock, lambda: drawn.uniform(3, 9), 500)
    assert min(slow) < 32
    assert drive(window, clock, lambda: drawn.uniform(1, 3), 5_000)[-1] == 64


def test_milliseconds_are_no_news() -> None:
    clock = Clock()
    window = Window(64, clock=clock)
    drive(window, clock, lambda: 0.002, 1_000)
    assert min(drive(window, clock, lambda: 0.02, 1_000)) == 64


def test_a_server_that_stays_slower_is_believed_in_the_end() -> None:
    clock = Clock()
    window = Window(64, clock=clock)
    drive(window, clock, lambda: 1.0, 1_000)
    assert drive(window, clock, lambda: 3.0, 10_000)[-1] == 64


def test_places_are_given_in_order_and_never_more_than_the_window_has() -> None:
    order: list[int] = []

    async def run() -> int:
        window = Window(3)
        under_way = most = 0

        async def go(number: int) -> None:
            nonlocal under_way, most
            await window.enter()
            under_way += 1
            most = max(most, under_way)
            order.append(number)
            await asyncio.sleep(0.001)
            under_way -= 1
            window.leave()

        await asyncio.gather(*(go(number) for number in range(20)))
        return most

    assert asyncio.run(run()) == 3
    assert order == list(range(20))


def test_one_that_gives_up_waiting_leaves_its_place_to_the_next() -> None:
    async def run() -> None:
        window = Window(1)
        await window.enter()
        waiting = [asyncio.create_task(window.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        window.leave()
        waiting[1].cancel()  # the place is its own already, but it has not run yet
        await asyncio.wait_for(waiting[2], 5)
        assert waiting[0].cancelled()
        assert waiting[1].cancelled()

    asyncio.run(run())


def test_a_smaller_window_is_reached_as_places_come_back() -> None:
    async def run() -> None:
        window = Window(10)
        for _ in range(10):
            await window.enter()
        window.overloaded(sent_at=math.inf)
        entering = asyncio.create_task(window.enter())
        for _ in range(3):
            window.leave()
            await asyncio.sleep(0)
        assert not entering.done()
        window.leave()
        await asyncio.wait_for(entering, 5)

    asyncio.run(run())
