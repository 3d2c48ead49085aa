from __future__ import annotations

from datetime import date

import pytest

from kpray.config import PriceConfig, TeacherConfig
from kpray.ledger import prices
from kpray.ledger.prices import ModelPrice, find_price
from kpray.schemas import Usage

OPENAI = TeacherConfig(name="openai")
GPT_4O = ModelPrice(prompt=2.5, completion=10.0, cached_prompt=1.25, batch_discount=0.5)


def test_cached_tokens_are_a_part_of_the_prompt_tokens() -> None:
    fresh, cached = Usage(2_000, 300, 0), Usage(2_000, 300, 1_024)
    assert GPT_4O.usd(fresh) == pytest.approx((2_000 * 2.5 + 300 * 10) / 1e6)
    assert GPT_4O.usd(cached) == pytest.approx((976 * 2.5 + 1_024 * 1.25 + 300 * 10) / 1e6)


def test_a_batch_saves_its_discount_and_gives_none_for_the_cache() -> None:
    assert GPT_4O.usd(Usage(2_000, 300, 1_024), batch=True) == pytest.approx((2_000 * 2.5 + 300 * 10) / 2e6)


def test_what_was_not_counted_has_no_price() -> None:
    assert GPT_4O.usd(None) is None
    assert prices.FREE.usd(None) == 0.0


@pytest.mark.parametrize(
    ("on", "prompt", "completion"),
    [
        (date(2024, 5, 13), 5.0, 15.0),
        (date(2024, 10, 1), 5.0, 15.0),
        (date(2024, 10, 2), 2.5, 10.0),
        (date(2026, 1, 1), 2.5, 10.0),
    ],
)
def test_an_alias_costs_what_it_stood_for_on_that_day(on: date, prompt: float, completion: float) -> None:
    price = find_price("gpt-4o", OPENAI, on=on)
    assert price is not None
    assert (price.prompt, price.completion) == (prompt, completion)


def test_the_plan_can_say_since_when_a_price_holds_and_where_it_is_published() -> None:
    price = find_price("gpt-4o-mini", OPENAI, on=date(2025, 1, 1))
    assert price is not None
    assert price.valid_from == date(2024, 10, 1)
    assert "openai.com" in price.source


@pytest.mark.parametrize("model", ["gpt-4o-2099-01-01", "gpt-4o-2024-08-07", "GPT-4o", "my-model", ""])
def test_a_name_that_is_not_in_the_table_is_unknown(model: str) -> None:
    assert find_price(model, OPENAI) is None


def test_a_model_has_no_price_before_it_came_out() -> None:
    assert find_price("gpt-4.1", OPENAI, on=date(2025, 4, 13)) is None
    assert find_price("gpt-4.1", OPENAI, on=date(2025, 4, 14)) is not None


@pytest.mark.parametrize(
    ("base_url", "known"),
    [
        (None, True),
        ("https://api.openai.com/v1", True),
        ("http://127.0.0.1:8000/v1", False),
        ("https://api.openai.com.evil.example/v1", False),
        ("https://mine.openai.azure.com/openai/v1", False),
    ],
)
def test_another_server_never_takes_openais_prices(base_url: str | None, known: bool) -> None:
    settings = TeacherConfig(name="openai", base_url=base_url)
    assert (find_price("gpt-4o", settings) is not None) == known


def test_the_configurations_own_price_goes_first_at_any_server() -> None:
    own = PriceConfig(prompt=1.0, completion=2.0)
    for base_url in (None, "http://127.0.0.1:8000/v1"):
        price = find_price("gpt-4o", TeacherConfig(name="openai", base_url=base_url, price=own))
        assert price is not None
        assert (price.prompt, price.completion, price.cached_prompt, price.batch_discount) == (1.0, 2.0, 1.0, 0.5)
        assert price.source == "`teacher.price`"


@pytest.mark.parametrize("name", ["geometric", "vllm"])
def test_what_is_computed_here_costs_nothing(name: str) -> None:
    price = find_price("gpt-4o", TeacherConfig(name=name))  # type: ignore[arg-type]
    assert price is not None
    assert price.is_free
    assert price.usd(Usage(10**6, 10**6)) == 0.0


def test_the_table_is_in_order() -> None:
    table = prices._table()
    for model, entries in table.models.items():
        days = [entry.valid_from for entry in entries]
        assert days == sorted(set(days)), model
        assert days[-1] <= table.checked, model
        for entry in entries:
            assert 0 < entry.prompt < entry.completion, model
            assert entry.cached_prompt is None or 0 < entry.cached_prompt < entry.prompt, model
