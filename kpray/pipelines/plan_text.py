"""A plan as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator

from kpray.ledger.budget import dollars
from kpray.pipelines.forecast import Estimate, KindForecast
from kpray.pipelines.plan import Plan

_HEAD = ("kind", "requests", "answered", "prompt tokens", "completion tokens", "USD")


def plan_text(plan: Plan) -> str:
    """The whole plan."""
    return "\n".join(["", *_about(plan), "", *_table(plan), "", *_figures(plan), *_unknown(plan)])


def _about(plan: Plan) -> Iterator[str]:
    yield f"{plan.total.requests:,} requests to {plan.model} ({plan.mode}) about {plan.scenes:,} scenes"
    if plan.scenes_looked_at < plan.scenes:
        yield f"A random {plan.scenes_looked_at:,} of the scenes were looked at; everything is scaled up from them."
    pilot = plan.pilot
    if pilot:
        cost = "at an unknown price" if pilot.usd is None else f"for {dollars(pilot.usd)}"
        yield (
            f"Pilot of {pilot.wanted}: {pilot.asked} asked and answered now {cost}, {pilot.failed} without an answer, "
            f"{pilot.wanted - pilot.asked - pilot.failed} in the ledger already."
        )
        if pilot.faulty:
            yield f"{pilot.faulty} of the replies had a fault and are asked for once more; the forecast counts that in."
        if pilot.stopped:
            yield f"The pilot ended early: {pilot.stopped}"


def _table(plan: Plan) -> Iterator[str]:
    rows = [_HEAD]
    for kind in (*plan.kinds, plan.total):
        rest = kind.rest
        figures = (_amount(rest.prompt_tokens), _amount(rest.completion_tokens), _money(rest.usd))
        rows.append((kind.kind, f"{kind.requests:,}", f"{kind.answered:,}", *figures))
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    for row in rows:
        others = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join([row[0].ljust(widths[0]), *others])
    yield "Tokens and USD are for what is not answered yet; in brackets the range that holds 95 %."


def _figures(plan: Plan) -> Iterator[str]:
    rest = plan.total.rest
    yield f"Price: {_price(plan)}"
    if plan.price is None or not plan.price.is_free:
        yield f"Live {_money(rest.live_usd)}, in batches {_money(rest.batch_usd)}"
        yield f"Sample: {rest.sample:,} replies" + _cached(rest)
        yield f"Prompts: {plan.counted_by}"
    if plan.duration:
        yield f"Time: {_hours(plan.duration.hours)}, bound by {plan.duration.bound_by}"
    if plan.max_usd is not None and rest.usd:
        expected = rest.usd.high or rest.usd.mean
        fits = "covers this" if expected <= plan.max_usd else "may not be enough"
        yield f"Budget: {dollars(plan.max_usd)} for the whole run, what it has spent so far included; it {fits}"


def _unknown(plan: Plan) -> Iterator[str]:
    if plan.unknown:
        yield ""
        yield "Unknown:"
        yield from (f"- {line}" for line in plan.unknown)


def _price(plan: Plan) -> str:
    price = plan.price
    if price is None:
        return "unknown"
    if price.is_free:
        return f"nothing ({price.source})" if price.source else "nothing"
    since = f", since {price.valid_from}" if price.valid_from else ""
    return (
        f"${price.prompt:g} prompt, ${price.completion:g} completion, ${price.cached_prompt:g} cached prompt per "
        f"million tokens{since} ({price.source}); batches {price.batch_discount:.0%} less"
    )


def _cached(rest: KindForecast) -> str:
    return "" if rest.cached_share is None else f"; {rest.cached_share:.0%} of their prompt tokens came from the cache"


def _amount(estimate: Estimate | None) -> str:
    if estimate is None:
        return "unknown"
    if estimate.low is None or estimate.high is None:
        return f"about {estimate.mean:,.0f}"
    if estimate.low == estimate.high:
        return f"{estimate.mean:,.0f}"
    return f"{estimate.mean:,.0f} [{estimate.low:,.0f}..{estimate.high:,.0f}]"


def _money(estimate: Estimate | None) -> str:
    if estimate is None:
        return "unknown"
    if estimate.low is None or estimate.high is None:
        return f"about {dollars(estimate.mean)}"
    if estimate.low == estimate.high:
        return dollars(estimate.mean)
    return f"{dollars(estimate.mean)} [{dollars(estimate.low)}..{dollars(estimate.high)}]"


def _hours(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.1f} hours"
    return f"{hours * 60:,.1f} minutes" if hours >= 1 / 60 else f"{hours * 3_600:,.1f} seconds"
