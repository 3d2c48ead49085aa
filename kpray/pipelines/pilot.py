"""A few requests of a run, asked before it, to know what the rest will cost. The run finds their replies."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from kpray.config import GenerateConfig
from kpray.errors import BudgetSpentError, ConfigError, TeacherStoppedError
from kpray.ledger.budget import Budget, LocalPurse
from kpray.ledger.journal import Journal, Known, SceneRange
from kpray.ledger.limits import LocalGate, RateLimiter
from kpray.ledger.prices import require_price
from kpray.ledger.tokens import TokenMeter
from kpray.pipelines.run_folder import read_manifest
from kpray.pipelines.shards import ShardFiles
from kpray.pipelines.spending import bought, pilot_run
from kpray.schemas import KindName, Reply, Request
from kpray.teachers import make_teacher
from kpray.teachers.engine import Engine, Outcome

Row = TypeVar("Row")

_Limits = tuple[float | None, float | None]


class PilotReport(msgspec.Struct, frozen=True):
    """What a pilot did.

    Attributes:
        wanted: So many requests.
        asked: Of these, how many got a reply now; the others were answered before or failed.
        failed: How many got none.
        usd: What the new replies cost; None where a price is unknown.
        requests_per_minute: That are allowed, as set or as the server said; None where nothing says.
        tokens_per_minute: Likewise.
        stopped: Why it ended early; empty if it did not.
        faulty: How many of the wanted ones' replies had a fault and were asked for again.
    """

    wanted: int
    asked: int
    failed: int
    usd: float | None
    requests_per_minute: float | None
    tokens_per_minute: float | None
    stopped: str = ""
    faulty: int = 0

    def plus(self, more: PilotReport) -> PilotReport:
        """With what was asked for because of this one's replies; their number stays apart."""
        usd = None if self.usd is None or more.usd is None else self.usd + more.usd
        return msgspec.structs.replace(self, usd=usd, stopped=self.stopped or more.stopped)


class _Money(NamedTuple):
    run: str
    purse: LocalPurse | None


def draw(rows: Mapping[KindName, Sequence[Row]], count: int, *, seed: int) -> list[Row]:
    """So many requests, evenly over the kinds and at random over the scenes; the same ones whenever it is asked."""
    drawn: list[Row] = []
    for i, (kind, of_kind) in enumerate(rows.items()):
        quota = count // len(rows) + (i < count % len(rows))
        drawn += random.Random(f"{seed}/{kind}").sample(of_kind, min(quota, len(of_kind)))
    return drawn


def run_pilot(config: GenerateConfig, requests: Sequence[Request]) -> tuple[PilotReport, dict[str, Reply]]:
    """Ask requests live, and keep the replies in the run's ledger.

    The ledger names the run that they belong to: the one in the folder, or, before it is begun, `pilot_run`.

    Args:
        config: Of the run; its budget, limits and teacher hold, batch mode does not.
        requests: Those that the ledger cannot answer.

    Returns:
        A report, and the new replies by request id.

    Raises:
        ConfigError: This teacher cannot be asked single questions, or there is a budget and no price.
        TeacherError: The teacher cannot be asked, or not one request was answered.
    """
    if config.teacher.name == "vllm":
        raise ConfigError("a pilot asks a server; the vllm teacher is run here and costs nothing: leave --pilot out")
    meter = TokenMeter()
    money = _money(config, meter)
    outcomes, limits = asyncio.run(_ask(config, requests, money, meter)) if requests else ([], _by_hand(config))
    replies = {outcome.request_id: outcome for outcome in outcomes if isinstance(outcome, Reply)}
    errors = [outcome for outcome in outcomes if not isinstance(outcome, Reply)]
    if errors and not replies:
        raise errors[0]
    prices = [reply.usd for reply in replies.values()]
    usd = None if None in prices else sum(price for price in prices if price is not None)
    stopped = next((str(e) for e in errors if isinstance(e, BudgetSpentError | TeacherStoppedError)), "")
    return PilotReport(len(requests), len(replies), len(errors), usd, *limits, stopped), replies


def _by_hand(config: GenerateConfig) -> _Limits:
    limits = config.teacher.limits
    return limits.requests_per_minute, limits.tokens_per_minute


def _money(config: GenerateConfig, meter: TokenMeter) -> _Money:
    manifest = read_manifest(config.out)
    run = manifest.run_id if manifest else pilot_run(config.out)
    if config.max_usd is None:
        return _Money(run, None)
    price = require_price(config.teacher)
    before = bought(config, run).known_usd
    return _Money(run, LocalPurse(Budget(config.max_usd, spent=before), price, meter))


async def _ask(
    config: GenerateConfig, requests: Sequence[Request], money: _Money, meter: TokenMeter
) -> tuple[list[Outcome], _Limits]:
    settings = msgspec.structs.replace(config.teacher, mode="live")
    limiter = RateLimiter(*_by_hand(config))
    teacher = make_teacher(settings, seed=config.seed)()
    scenes = SceneRange.of(request.scene_id for request in requests)
    journal = Journal(ShardFiles.of(config).ledger, scenes, run=money.run)
    engine = Engine(
        teacher,
        in_flight=settings.in_flight,
        on_reply=lambda request, reply: None,
        gate=LocalGate(limiter),
        purse=money.purse,
        meter=meter,
        retry_for_s=settings.retry_for_s,
    )
    try:
        await teacher.preflight()
        outcomes: list[Outcome] = []
        for wave in _waves(requests):
            outcomes += await engine.answer(wave, known=Known({}, frozenset()), journal=journal)
        return outcomes, limiter.limits
    finally:
        journal.close()
        await teacher.aclose()


def _waves(requests: Sequence[Request]) -> tuple[list[Request], list[Request]]:
    """One request of each kind, then the others: those find the kind's constant turns in the server's cache."""
    first = {request.kind: request for request in reversed(requests)}
    return list(first.values()), [request for request in requests if request is not first[request.kind]]
