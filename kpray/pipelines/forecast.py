"""What the rest of a run will take, from the replies that are there and the prompts that are to be sent.

Kinds are strata: each has its own estimates, and totals are their sums. For every quantity (tokens, USD) the replies of
a kind give either its mean or, where that explains more, a line over the length of the prompt, which is known for the
requests to come. Intervals hold 95 %: they count both that the sample is small and that single replies differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from kpray.config import LimitsConfig
from kpray.ledger.prices import ModelPrice
from kpray.schemas import Reply, Usage

_FEWEST: Final = 2
"""Replies of a kind that tell anything about how they differ."""

_FEWEST_FOR_LINE: Final = 6
_EXPLAINS: Final = 0.9
"""A line is taken if it leaves less than this part of the variance."""

_MANY: Final = 10_000
"""Degrees of freedom of what was counted on thousands of prompts."""

_T_95: Final = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t for 95 %, two-sided, with 1 to 9 degrees of freedom."""


class Estimate(msgspec.Struct, frozen=True):
    """An expected value and the interval that holds it with 95 %; None where the sample is too small to tell."""

    mean: float
    low: float | None = None
    high: float | None = None


class Seen(msgspec.Struct, frozen=True):
    """One reply of the sample.

    Attributes:
        length: Of its prompt, in the same measure as that of the prompts to come.
        usage: As the server counted.
        latency_s: From sending to the last byte.
    """

    length: float
    usage: Usage
    latency_s: float

    def plus(self, again: Seen) -> Seen:
        """Together with a reply that had to be asked for besides."""
        counts = {name: getattr(self.usage, name) + getattr(again.usage, name) for name in Usage.__struct_fields__}
        return Seen(self.length, Usage(**counts), self.latency_s + again.latency_s)


class Prompts(msgspec.Struct, frozen=True):
    """The requests of one kind that are still to be sent.

    Attributes:
        count: How many there are.
        mean_length: Of their prompts.
        mean_error: Standard error of that, where only some of them were rendered.
    """

    count: int
    mean_length: float
    mean_error: float = 0.0


class KindForecast(msgspec.Struct, frozen=True):
    """What the requests of one kind, or of all, will take; None is unknown.

    Attributes:
        requests: How many.
        sample: Replies that the estimates rest on.
        prompt_tokens: In all.
        completion_tokens: In all.
        cached_share: Part of the prompt tokens that the server took from its cache, as seen.
        usd: In the run's own mode.
        live_usd: If asked live.
        batch_usd: If asked in batches.
    """

    requests: int
    sample: int
    prompt_tokens: Estimate | None
    completion_tokens: Estimate | None
    cached_share: float | None
    usd: Estimate | None
    live_usd: Estimate | None
    batch_usd: Estimate | None


class Duration(msgspec.Struct, frozen=True):
    """How long asking takes.

    Attributes:
        hours: At the known limits.
        bound_by: Which of them it is: ``requests per minute``, ``tokens per minute`` or ``requests in flight``.
    """

    hours: float
    bound_by: str


class _Sum(msgspec.Struct, frozen=True):
    """A predicted sum with its variance; `freedom` is that of the variance's estimate, 0 where there is none."""

    mean: float
    variance: float
    freedom: int


Part = tuple[KindForecast, Mapping[str, _Sum | None]]


def forecast_kind(
    seen: Sequence[Seen], prompts: Prompts, *, price: ModelPrice | None, batch: bool, exact_prompts: bool
) -> Part:
    """Forecast the requests of one kind.

    Args:
        seen: The sample.
        prompts: What is still to be sent.
        price: Of the model; None is unknown.
        batch: Whether the run asks in batches.
        exact_prompts: Whether lengths are tokens as the model counts them, or about so many; either way they are taken
            for tokens where there is no reply.

    Returns:
        The forecast, and the sums behind it, for `forecast_total`.
    """
    if price is not None and price.is_free:
        nothing = _Sum(0.0, 0.0, 0)
        sums: dict[str, _Sum | None] = dict.fromkeys(("usd", "live_usd", "batch_usd"), nothing)
    else:
        sums = {
            "live_usd": _priced(seen, prompts, price, batch=False),
            "batch_usd": _priced(seen, prompts, price, batch=True),
        }
        sums["usd"] = sums["batch_usd" if batch else "live_usd"]
    sums["prompt_tokens"] = _predict([(s.length, s.usage.prompt_tokens) for s in seen], prompts)
    if sums["prompt_tokens"] is None:
        sums["prompt_tokens"] = _unseen(prompts, exact=exact_prompts)
    sums["completion_tokens"] = _predict([(s.length, s.usage.completion_tokens) for s in seen], prompts)
    return _told(prompts.count, seen, sums), sums


def forecast_total(parts: Sequence[Part], seen: Sequence[Seen]) -> KindForecast:
    """All kinds together; a quantity that is unknown for one of them is unknown for all."""
    names = parts[0][1] if parts else {}
    sums = {name: _add([part[1][name] for part in parts if part[0].requests]) for name in names}
    return _told(sum(part[0].requests for part in parts), seen, sums)


def how_long(
    requests: int, tokens: float | None, *, limits: LimitsConfig, in_flight: int, latency_s: float | None
) -> Duration | None:
    """How long asking takes at the known limits; None where none is known.

    Args:
        requests: To be sent.
        tokens: Of prompts and replies together; None is unknown.
        limits: Of the account.
        in_flight: Requests under way at once.
        latency_s: Mean of a reply; None is unknown.
    """
    bounds = {
        "requests per minute": _over(requests, limits.requests_per_minute, 1 / 60),
        "tokens per minute": _over(tokens, limits.tokens_per_minute, 1 / 60),
        "requests in flight": None if latency_s is None else requests * latency_s / in_flight / 3_600,
    }
    known = {name: hours for name, hours in bounds.items() if hours is not None}
    if not known:
        return None
    slowest = max(known, key=known.__getitem__)
    return Duration(known[slowest], slowest)


def project(spent_usd: float, answered: int, remaining: int) -> float | None:
    """What a run will have cost at its end if the rest costs what the answered part did; None before the first reply.

    >>> project(2.0, 100, 300)
    8.0
    """
    return spent_usd * (1 + remaining / answered) if answered else None


def seen_of(reply: Reply, length: float) -> Seen | None:
    """A reply as part of a sample; None if nothing was counted, or nothing charged."""
    if reply.usage is None or reply.finish_reason == "error":
        return None
    return Seen(length, reply.usage, reply.latency_s)


def _priced(seen: Sequence[Seen], prompts: Prompts, price: ModelPrice | None, *, batch: bool) -> _Sum | None:
    if price is None:
        return None
    return _predict([(s.length, price.usd(s.usage, batch=batch) or 0.0) for s in seen], prompts)


def _unseen(prompts: Prompts, *, exact: bool) -> _Sum:
    error = prompts.count * prompts.mean_error
    return _Sum(prompts.count * prompts.mean_length, error**2 if exact else math.inf, _MANY if exact and error else 0)


def _over(amount: float | None, per_minute: float | None, hours_a_minute: float) -> float | None:
    return None if amount is None or per_minute is None else amount / per_minute * hours_a_minute


def _told(requests: int, seen: Sequence[Seen], sums: Mapping[str, _Sum | None]) -> KindForecast:
    told = {name: None if total is None else _interval(total) for name, total in sums.items()}
    prompt = sum(s.usage.prompt_tokens for s in seen)
    cached = sum(s.usage.cached_tokens for s in seen)
    return KindForecast(requests, len(seen), cached_share=cached / prompt if prompt else None, **told)


def _interval(total: _Sum) -> Estimate:
    if total.freedom == 0:
        exact = total.variance == 0
        return Estimate(total.mean, total.mean, total.mean) if exact else Estimate(total.mean)
    half = student(total.freedom) * math.sqrt(total.variance)
    return Estimate(total.mean, max(0.0, total.mean - half), total.mean + half)


def _predict(points: Sequence[tuple[float, float]], prompts: Prompts) -> _Sum | None:
    """The sum of a quantity over prompts to come, from (length, quantity) of those in the sample."""
    if prompts.count == 0:
        return _Sum(0.0, 0.0, 0)
    n, count = len(points), prompts.count
    if n == 0:
        return None
    mean_x, mean_y = _mean(x for x, _ in points), _mean(y for _, y in points)
    if n < _FEWEST:
        return _Sum(count * mean_y, math.inf, 0)
    spread = sum((y - mean_y) ** 2 for _, y in points)
    width = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / width if width else 0.0
    left = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    if n < _FEWEST_FOR_LINE or left / (n - 2) >= _EXPLAINS * spread / (n - 1):
        noise = spread / (n - 1)
        return _Sum(count * mean_y, count**2 * noise / n + count * noise, n - 1)
    noise, ahead = left / (n - 2), prompts.mean_length - mean_x
    variance = count**2 * noise * (1 / n + ahead**2 / width) + count * noise + (count * slope * prompts.mean_error) ** 2
    return _Sum(count * (mean_y + slope * ahead), variance, n - 2)


def _add(sums: Iterable[_Sum | None]) -> _Sum | None:
    """The sum of independent sums; the degrees of freedom are Welch's and Satterthwaite's."""
    known = []
    for total in sums:
        if total is None:
            return None
        known.append(total)
    variance = sum(total.variance for total in known)
    if variance in (0.0, math.inf):
        return _Sum(sum(total.mean for total in known), variance, 0)
    weighed = sum(total.variance**2 / total.freedom for total in known if total.variance)
    return _Sum(sum(total.mean for total in known), variance, max(1, int(variance**2 / weighed)))


def student(freedom: int) -> float:
    """Student's t for a two-sided interval of 95 %.

    From 10 degrees of freedom on, Cornish and Fisher's expansion (Abramowitz and Stegun, 26.7.5).

    >>> [round(student(n), 3) for n in (1, 10, 30, 1000)]
    [12.706, 2.228, 2.042, 1.962]
    """
    if freedom <= len(_T_95):
        return _T_95[freedom - 1]
    z, n = 1.959964, float(freedom)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
