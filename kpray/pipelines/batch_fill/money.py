"""What parts may cost is set aside before they are sent."""

from __future__ import annotations

from kpray.ledger.budget import Budget
from kpray.pipelines.batch_fill.parts import Part
from kpray.pipelines.batch_fill.results import Collected


class Reservations:
    """Keeps a budget for parts; without a budget everything fits."""

    def __init__(self, budget: Budget | None) -> None:
        """Begin with nothing set aside."""
        self._budget = budget
        self._beyond: set[str] = set()

    @property
    def exceeded(self) -> bool:
        """Whether a batch is under way that the budget has no room for, as after it was lowered."""
        return bool(self._beyond)

    @property
    def free(self) -> float | None:
        """What may still be set aside; None is no limit."""
        return None if self._budget is None else self._budget.free

    def hold(self, part: Part) -> bool:
        """Set aside what a part may cost, if it fits."""
        return self._budget is None or self._budget.try_reserve(part.usd or 0.0)

    def hold_submitted(self, part: Part) -> None:
        """Set aside what a part may cost that has been submitted: what does not fit is spent all the same."""
        if not self.hold(part):
            self._beyond.add(part.name)

    def settle(self, part: Part, collected: Collected | None) -> None:
        """Book what a part has cost; None is a part that was never processed."""
        if self._budget is None:
            return
        usd = 0.0
        if collected is not None:
            usd = collected.usd + collected.unpriced * (part.usd or 0.0) / part.requests
        if part.name in self._beyond:
            self._beyond.discard(part.name)
            self._budget.spent += usd
        else:
            self._budget.settle(part.usd or 0.0, usd)
