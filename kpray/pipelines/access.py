"""How a session gets at its teacher: whether it can be asked, within which limits, and with what money."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import ray

from kpray.config import GenerateConfig
from kpray.ledger.prices import ModelPrice, find_price, require_price
from kpray.ledger.tokens import TokenMeter
from kpray.pipelines.asking import Calls
from kpray.pipelines.limiter import LeasedGate, account_name, find_limiter
from kpray.pipelines.progress import Money, Tally
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.shards import ShardFiles
from kpray.pipelines.spending import bought
from kpray.pipelines.treasury import LeasedPurse, open_treasury
from kpray.teachers import Teacher, make_teacher, reads_scene, vllm
from kpray.teachers.openai import BASE_URL, key_from_environment


class TeacherAccess:
    """One session's access to the teacher of a configuration."""

    def __init__(self, config: GenerateConfig, run_id: str) -> None:
        self._config = config
        self._teacher = config.teacher
        self._run_id = run_id
        self._ready = False
        self._kept: list[Any] = []

    @property
    def in_bulk(self) -> bool:
        """Whether replies are not asked for one by one: the ledger is filled first, and then read."""
        return self._teacher.name == "vllm" or self._teacher.mode == "batch"

    def require_ready(self) -> None:
        """Make sure, once and without spending anything, that the teacher can be asked.

        Raises:
            TeacherError: It cannot.
            ConfigError: There is a budget and no price.
        """
        if self._ready:
            return
        if self._config.max_usd is not None:
            require_price(self._teacher)
        if self._teacher.name == "vllm":
            vllm.check(self._teacher, gpus=ray.cluster_resources().get("GPU", 0.0))
        else:
            asyncio.run(_preflight(make_teacher(self._teacher, seed=self._config.seed)))
        self._ready = True

    @functools.cached_property
    def money(self) -> Money:
        """What pilots and earlier sessions spent, which is counted from the ledger, and the limit."""
        return self._money_now()

    def _money_now(self) -> Money:
        if reads_scene(self._teacher):
            return Money()
        before = bought(self._config, self._run_id)
        return Money(spent_usd=before.known_usd, max_usd=self._config.max_usd)

    def calls(self, workers: int) -> Calls:
        """How each of some workers asks."""
        gate = self._gate()
        return Calls(
            run=self._run_id,
            teacher=make_teacher(self._teacher, seed=self._config.seed),
            in_flight=math.ceil(self._teacher.in_flight / workers),
            retry_for_s=self._teacher.retry_for_s,
            gate=gate,
            purse=self._purse() if self._config.max_usd is not None and not self._is_free else None,
        )

    def fill_ledger(
        self, files: ShardFiles, recipe: Recipe, shards: Sequence[int], *, images: str | None
    ) -> list[Tally]:
        """Get all replies to some shards in bulk, then those to what has to be asked again for its faults.

        Whatever came is in the ledger afterwards.

        Returns:
            What was done in each of the rounds.

        Raises:
            TeacherError: The teacher cannot be asked any more; what came before is kept.
        """
        from kpray.pipelines import bulk  # most runs need none of what it brings along

        tallies = []
        for again in (False, True) if recipe.repairs else (False,):
            if self._teacher.name == "vllm":
                fill = bulk.fill_with_vllm
            else:  # counted anew, as the first round has spent from the budget
                fill = functools.partial(bulk.fill_by_batch, price=self._price, money=self._money_now())
            tallies.append(fill(files, recipe, shards, self._teacher, run=self._run_id, images=images, again=again))
        return tallies

    @property
    def _price(self) -> ModelPrice | None:
        return find_price(self._teacher.model, self._teacher)

    @property
    def _is_free(self) -> bool:
        return self._price is not None and self._price.is_free

    def _gate(self) -> Callable[[], LeasedGate] | None:
        if reads_scene(self._teacher):
            return None
        teacher, limits = self._teacher, self._teacher.limits
        key = key_from_environment(teacher.base_url).reveal()
        account = account_name(teacher.base_url or BASE_URL, key, teacher.model)
        self._kept.append(find_limiter(account))  # it lives as long as somebody holds it
        return functools.partial(
            LeasedGate,
            account,
            requests_per_minute=limits.requests_per_minute,
            tokens_per_minute=limits.tokens_per_minute,
        )

    def _purse(self) -> Callable[..., LeasedPurse]:
        limit, price = self._config.max_usd, require_price(self._teacher)
        assert limit is not None
        treasury = open_treasury(self._config.out, limit_usd=limit, spent_usd=self.money.spent_usd)
        self._kept.append(treasury)
        return functools.partial(_leased_purse, treasury, limit, price)


def _leased_purse(treasury: Any, limit_usd: float, price: ModelPrice, meter: TokenMeter) -> LeasedPurse:
    return LeasedPurse(treasury, limit_usd=limit_usd, price=price, meter=meter)


async def _preflight(make: Callable[[], Teacher]) -> None:
    teacher = make()
    try:
        await teacher.preflight()
    finally:
        await teacher.aclose()
