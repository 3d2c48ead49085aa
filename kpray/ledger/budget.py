"""Keeping to a sum of money: what a request could cost is set aside before it is sent."""

from __future__ import annotations

import asyncio
import math
from typing import Final, Protocol

from kpray.errors import BudgetSpentError
from kpray.ledger.prices import ModelPrice
from kpray.ledger.tokens import TokenMeter
from kpray.schemas import Reply, Request, Usage

PROMPT_MARGIN: Final = 1.1
"""A prompt is reckoned to be this much longer than it is expected to be."""

_TOLERANCE: Final = 1e-9
"""USD; sums of many small amounts are off by less."""


class Purse(Protocol):
    """What a calling loop pays from."""

    async def reserve(self, request: Request) -> float:
        """Set aside what a request could cost at most; wait while requests under way may still set money free.

        Returns:
            The sum in USD, to be given to `settle`.

        Raises:
            BudgetSpentError: It does not fit, and nothing under way could make it fit.
        """

    def settle(self, reserved: float, reply: Reply | None) -> None:
        """Give a reservation up for what the reply cost; None is a request that failed and cost nothing."""


class Budget:
    """The sums. What is spent and set aside never passes the limit by a reservation of its own.

    Attributes:
        limit: What may be spent, in USD.
        spent: What has been spent; more than the limit only if replies cost more than was set aside for them.
        reserved: What is set aside for requests under way.
    """

    def __init__(self, limit: float, *, spent: float = 0.0) -> None:
        self.limit = limit
        self.spent = spent
        self.reserved = 0.0
        self._under_way = 0

    @property
    def free(self) -> float:
        """What may still be set aside; negative if the limit has been passed."""
        return self.limit - self.spent - self.reserved

    def try_reserve(self, usd: float) -> bool:
        """Set a sum aside if it fits."""
        if usd > self.free + _TOLERANCE:
            return False
        self.reserved += usd
        self._under_way += 1
        return True

    def settle(self, reserved: float, actual: float) -> None:
        """Give a reservation up for what was really spent, be it less or more."""
        self._under_way -= 1
        self.reserved = self.reserved - reserved if self._under_way else 0.0  # so that no rounding adds up
        self.spent += actual

    def may_fit_later(self, usd: float) -> bool:
        """Whether a sum could fit when what is under way turns out cheaper than what is set aside for it."""
        return self._under_way > 0 and self.spent + usd <= self.limit + _TOLERANCE


class LocalPurse:
    """A budget that one process keeps by itself."""

    def __init__(self, budget: Budget, price: ModelPrice, meter: TokenMeter) -> None:
        """Pay from a budget, at a price, for requests as long as a meter expects."""
        self._budget = budget
        self._price = price
        self._meter = meter
        self._settled = asyncio.Event()

    async def reserve(self, request: Request) -> float:
        """See `Purse`."""
        while True:
            usd = most_usd(request, self._price, self._meter)  # anew: the meter learns meanwhile
            if self._budget.try_reserve(usd):
                return usd
            if not self._budget.may_fit_later(usd):
                raise budget_spent(self._budget.limit, self._budget.spent)
            self._settled.clear()
            await self._settled.wait()

    def settle(self, reserved: float, reply: Reply | None) -> None:
        """See `Purse`."""
        self._budget.settle(reserved, actual_usd(reply, reserved, self._price))
        self._settled.set()


def most_usd(request: Request, price: ModelPrice, meter: TokenMeter, *, batch: bool = False) -> float:
    """What a request could cost: a somewhat longer prompt than expected, nothing cached, the longest reply."""
    prompt = math.ceil(meter.prompt_tokens(request) * PROMPT_MARGIN)
    usd = price.usd(Usage(prompt, meter.most_completion_tokens(request)), batch=batch)
    assert usd is not None, "tokens are given"
    return usd


def actual_usd(reply: Reply | None, reserved: float, price: ModelPrice) -> float:
    """What a reply cost; where nothing says, all that was set aside, and nothing for what servers do not charge."""
    if reply is None or reply.finish_reason == "error":
        return 0.0
    usd = reply.usd if reply.usd is not None else price.usd(reply.usage)
    return reserved if usd is None else usd


def budget_spent(limit: float, spent: float) -> BudgetSpentError:
    """The error that says so."""
    return BudgetSpentError(
        f"the budget of {dollars(limit)} is used up: {dollars(spent)} spent; continue with a larger --max-usd"
    )


def dollars(usd: float) -> str:
    """A sum for a person.

    >>> dollars(1234.5), dollars(0.0123), dollars(0)
    ('$1,234.50', '$0.0123', '$0.00')
    """
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.4f}"
