from __future__ import annotations

import random
import statistics

import pytest

from kpray.config import LimitsConfig
from kpray.ledger.prices import FREE, ModelPrice
from kpray.pipelines.forecast import (
    Duration,
    KindForecast,
    Prompts,
    Seen,
    forecast_kind,
    forecast_total,
    how_long,
    project,
    seen_of,
)
from kpray.schemas import Reply, Usage

PRICE = ModelPrice(prompt=2.5, completion=10.0, cached_prompt=1.25, batch_discount=0.5)


def drawn(chance: random.Random, *, replies_grow: bool = False) -> Seen:
    """A reply whose prompt is 500 to 3,000 long, with 5 % more tokens than that."""
    length = chance.uniform(500, 3_000)
    completion = chance.lognormvariate(5.0, 0.5) + (0.3 * length if replies_grow else 0)
    return Seen(length, Usage(round(1.05 * length + chance.gauss(0, 10)), round(completion)), 2.0)


def forecast(
    seen: list[Seen], prompts: Prompts, *, price: ModelPrice | None = PRICE, batch: bool = False, exact: bool = False
) -> KindForecast:
    return forecast_kind(seen, prompts, price=price, batch=batch, exact_prompts=exact)[0]


def prompts_of(seen: list[Seen]) -> Prompts:
    return Prompts(len(seen), statistics.fmean(s.length for s in seen))


@pytest.mark.parametrize("replies_grow", [False, True])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(replies_grow: bool) -> None:
    hits = 0
    for seed in range(300):
        chance = random.Random(seed)
        sample = [drawn(chance, replies_grow=replies_grow) for _ in range(17)]
        rest = [drawn(chance, replies_grow=replies_grow) for _ in range(400)]
        usd = forecast(sample, prompts_of(rest)).usd
        truth = sum(PRICE.usd(s.usage) or 0.0 for s in rest)
        assert usd is not None
        assert usd.low is not None
        assert usd.high is not None
        hits += usd.low <= truth <= usd.high
    assert 0.90 <= hits / 300 <= 0.99


def test_lengths_of_the_prompts_to_come_are_used() -> None:
    chance = random.Random(1)
    sample = [drawn(chance) for _ in range(20)]
    longer = forecast(sample, Prompts(100, 2_900.0)).prompt_tokens
    shorter = forecast(sample, Prompts(100, 600.0)).prompt_tokens
    assert longer is not None
    assert shorter is not None
    assert longer.mean == pytest.approx(100 * 2_900 * 1.05, rel=0.02)
    assert shorter.mean == pytest.approx(100 * 600 * 1.05, rel=0.02)


def test_where_length_explains_nothing_the_mean_is_taken() -> None:
    sample = [
        Seen(length, Usage(100, completion), 1.0) for length, completion in [(10, 5), (20, 9), (30, 9), (40, 5)] * 5
    ]
    estimate = forecast(sample, Prompts(1_000, 400.0)).completion_tokens
    assert estimate is not None
    assert estimate.mean == pytest.approx(7_000)


def test_batches_and_the_cache_are_priced() -> None:
    sample = [Seen(1_000.0, Usage(1_000, 100, 512), 1.0)] * 5
    live = forecast(sample, Prompts(10, 1_000.0))
    batch = forecast(sample, Prompts(10, 1_000.0), batch=True)
    assert live.cached_share == pytest.approx(0.512)
    assert live.usd == live.live_usd
    assert live.usd is not None
    assert live.usd.mean == pytest.approx(10 * (488 * 2.5 + 512 * 1.25 + 100 * 10) / 1e6)
    assert batch.usd == batch.batch_usd == live.batch_usd
    assert batch.usd is not None
    assert batch.usd.mean == pytest.approx(10 * (1_000 * 2.5 + 100 * 10) / 2e6)


def test_without_replies_only_the_prompts_are_known() -> None:
    rough = forecast([], Prompts(10, 200.0))
    counted = forecast([], Prompts(10, 200.0), exact=True)
    assert rough.completion_tokens is rough.usd is rough.cached_share is None
    assert rough.prompt_tokens is not None
    assert (rough.prompt_tokens.mean, rough.prompt_tokens.low) == (2_000, None)
    assert counted.prompt_tokens is not None
    assert (counted.prompt_tokens.low, counted.prompt_tokens.high) == (2_000, 2_000)


def test_without_a_price_tokens_are_known_and_money_is_not() -> None:
    made = forecast([drawn(random.Random(i)) for i in range(5)], Prompts(10, 200.0), price=None)
    assert made.completion_tokens is not None
    assert made.usd is made.live_usd is made.batch_usd is None


def test_what_is_free_costs_nothing_for_certain() -> None:
    usd = forecast([], Prompts(10, 200.0), price=FREE).usd
    assert usd is not None
    assert (usd.mean, usd.low, usd.high) == (0.0, 0.0, 0.0)


def test_one_reply_gives_a_mean_and_no_interval() -> None:
    usd = forecast([Seen(1_000.0, Usage(1_000, 100), 1.0)], Prompts(10, 1_000.0)).usd
    assert usd is not None
    assert usd.mean == pytest.approx(10 * (1_000 * 2.5 + 100 * 10) / 1e6)
    assert usd.low is None


def test_when_everything_is_answered_nothing_is_left_to_pay() -> None:
    made = forecast([], Prompts(0, 0.0))
    assert made.usd is not None
    assert (made.usd.mean, made.usd.high) == (0.0, 0.0)


def test_kinds_add_up_with_a_narrower_interval_than_theirs_together() -> None:
    chance = random.Random(3)
    samples = [[drawn(chance) for _ in range(20)] for _ in range(3)]
    parts = [forecast_kind(s, Prompts(100, 1_500.0), price=PRICE, batch=False, exact_prompts=False) for s in samples]
    total = forecast_total(parts, [seen for sample in samples for seen in sample])
    each = [part[0].usd for part in parts]
    assert total.requests == 300
    assert total.sample == 60
    assert total.usd is not None
    assert total.usd.high is not None
    assert total.usd.mean == pytest.approx(sum(usd.mean for usd in each if usd))
    assert total.usd.high < sum(usd.high for usd in each if usd and usd.high)


def test_one_unknown_kind_makes_the_total_unknown_unless_nothing_is_asked_of_it() -> None:
    known = forecast_kind(
        [drawn(random.Random(0))] * 3, Prompts(5, 900.0), price=PRICE, batch=False, exact_prompts=False
    )
    unseen = forecast_kind([], Prompts(5, 900.0), price=PRICE, batch=False, exact_prompts=False)
    assert forecast_total([known, unseen], []).usd is None
    assert forecast_total([known], []).usd is not None


@pytest.mark.parametrize(
    ("limits", "latency_s", "expected"),
    [
        (LimitsConfig(requests_per_minute=100), 6.0, Duration(10.0, "requests per minute")),
        (LimitsConfig(requests_per_minute=6_000, tokens_per_minute=50_000), 6.0, Duration(20.0, "tokens per minute")),
        (LimitsConfig(requests_per_minute=6_000), 120.0, Duration(200.0, "requests in flight")),
        (LimitsConfig(), None, None),
    ],
)
def test_the_tightest_limit_says_how_long_it_takes(
    limits: LimitsConfig, latency_s: float | None, expected: Duration | None
) -> None:
    made = how_long(60_000, 60_000_000.0, limits=limits, in_flight=10, latency_s=latency_s)
    assert (made is None) == (expected is None)
    if made and expected:
        assert made.hours == pytest.approx(expected.hours)
        assert made.bound_by == expected.bound_by


def test_a_projection_needs_one_reply() -> None:
    assert project(0.0, 0, 10) is None
    assert project(3.0, 10, 0) == 3.0


def test_what_was_not_charged_is_not_part_of_a_sample() -> None:
    refused = Reply("r", "", "error", Usage(5, 0), 0.0, 0.1, "m", "2026-01-01T00:00:00+00:00")
    uncounted = Reply("r", "text", "stop", None, None, 0.1, "m", "2026-01-01T00:00:00+00:00")
    assert seen_of(refused, 9.0) is seen_of(uncounted, 9.0) is None
