"""What tokens cost: the configuration's own price, or a dated table of OpenAI's. Unknown stays unknown."""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Final
from urllib.parse import urlsplit

import msgspec
import yaml

from kpray.config import TeacherConfig
from kpray.errors import ConfigError
from kpray.schemas import Usage

_MILLION: Final = 1_000_000
_OPENAI_HOST: Final = "api.openai.com"


class ModelPrice(msgspec.Struct, frozen=True):
    """What a model's tokens cost, in USD per million.

    Attributes:
        prompt: Of prompt tokens.
        completion: Of completion tokens.
        cached_prompt: Of prompt tokens that the server took from its cache.
        batch_discount: The part that batch mode saves.
        source: Where this price is from, for a person.
        valid_from: Since when it holds; None where nothing says.
    """

    prompt: float
    completion: float
    cached_prompt: float
    batch_discount: float = 0.0
    source: str = ""
    valid_from: date | None = None

    @property
    def is_free(self) -> bool:
        """Whether nothing can cost anything."""
        return not (self.prompt or self.completion or self.cached_prompt)

    def usd(self, usage: Usage | None, *, batch: bool = False) -> float | None:
        """What a reply cost, in USD; None where the server did not count its tokens.

        In batch mode cached tokens cost as much as others: OpenAI has not given both discounts at once for the models
        in the table.

        >>> ModelPrice(prompt=2.5, completion=10.0, cached_prompt=1.25, batch_discount=0.5).usd(Usage(1000, 100, 800))
        0.0025
        """
        if self.is_free:
            return 0.0
        if usage is None:
            return None
        if batch:
            plain = usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion
            return plain * (1 - self.batch_discount) / _MILLION
        fresh = usage.prompt_tokens - usage.cached_tokens
        prompt = fresh * self.prompt + usage.cached_tokens * self.cached_prompt
        return (prompt + usage.completion_tokens * self.completion) / _MILLION


FREE: Final = ModelPrice(0.0, 0.0, 0.0, source="computed here, without a server")


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    valid_from: date
    prompt: float
    completion: float
    cached_prompt: float | None = None


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    checked: date
    batch_discount: float
    models: dict[str, tuple[_Entry, ...]]


def find_price(model: str, settings: TeacherConfig, *, on: date | None = None) -> ModelPrice | None:
    """What a teacher's model costs, or None if nothing says so.

    `TeacherConfig.price` goes before everything. The table is OpenAI's, for exact names, and is used for OpenAI's own
    server only: the same name at another address may cost anything.

    Args:
        model: As the server knows it.
        settings: Of the teacher.
        on: The day that the price is to hold on; None is today.
    """
    if settings.price is not None:
        return _configured(settings)
    if settings.name != "openai":
        return FREE
    if settings.base_url is not None and urlsplit(settings.base_url).hostname != _OPENAI_HOST:
        return None
    return _from_table(model, on or datetime.now(UTC).date())


def require_price(settings: TeacherConfig) -> ModelPrice:
    """The price of a teacher's model where a budget is to be kept.

    Raises:
        ConfigError: It is not known.
    """
    price = find_price(settings.model, settings)
    if price is None:
        raise ConfigError(
            f"`max_usd` needs the price of {settings.model}, which is not known here. Give it in USD per million "
            "tokens: --set teacher.price.prompt=... --set teacher.price.completion=..."
        )
    return price


def _configured(settings: TeacherConfig) -> ModelPrice | None:
    price = settings.price
    if price is None:
        return None
    cached = price.prompt if price.cached_prompt is None else price.cached_prompt
    return ModelPrice(price.prompt, price.completion, cached, price.batch_discount, source="`teacher.price`")


def _from_table(model: str, on: date) -> ModelPrice | None:
    table = _table()
    valid = [entry for entry in table.models.get(model, ()) if entry.valid_from <= on]
    if not valid:
        return None
    entry = max(valid, key=lambda entry: entry.valid_from)
    return ModelPrice(
        prompt=entry.prompt,
        completion=entry.completion,
        cached_prompt=entry.prompt if entry.cached_prompt is None else entry.cached_prompt,
        batch_discount=table.batch_discount,
        source=f"kpray's table of {table.checked} for {model} at {_OPENAI_HOST}; compare {table.source}",
        valid_from=entry.valid_from,
    )


@functools.cache
def _table() -> _Table:
    text = (files("kpray.ledger") / "prices.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text), _Table)
