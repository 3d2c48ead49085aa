"""One process that judges, as Ray Serve runs it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kpray.judges.asking import Calls
from kpray.judges.books import RUNS, spent_by_judges
from kpray.judges.connect import Server, Spending, open_judge
from kpray.judges.geometric import GeometricJudge
from kpray.judges.model import Asking
from kpray.judges.types import Judge, Judgement
from kpray.schemas import Sampling
from kpray.scoring.judging.geometric import GEOMETRIC_JUDGE
from kpray.scoring.types import JudgeFingerprint, JudgeItem
from kpray.serving.config import JudgeConfig


class Share(msgspec.Struct, frozen=True):
    """One process's part of a session.

    Attributes:
        run: Marks its lines in the ledger; it keeps the name when it is started again.
        max_usd: Its part of the budget; None is none.
        seconds: Longest time a request may take.
    """

    run: str
    max_usd: float | None
    seconds: float


def shares(config: JudgeConfig, *, session: str, count: int, seconds: float) -> list[Share]:
    """Divide what is left of the budget among processes; no part is ever spent twice, whoever is started again.

    Raises:
        StorageError: The ledger cannot be read.
    """
    left = None
    if config.judge == "openai" and config.max_usd is not None:
        left = max(0.0, config.max_usd - spent_by_judges(config.ledger)) / count
    return [Share(f"{RUNS}{session}-{number:03}", left, seconds) for number in range(count)]


def server_of(config: JudgeConfig, *, timeout_s: float = 120.0) -> Server:
    """The server that a configuration names."""
    return Server(config.model, config.base_url, config.key_env, timeout_s, config.price)


def sampling_of(config: JudgeConfig) -> Sampling:
    """How each judgement is drawn."""
    return Sampling(temperature=config.temperature, max_tokens=config.max_tokens, seed=config.seed)


def expected_judge(config: JudgeConfig, item: JudgeItem) -> JudgeFingerprint:
    """Who is to judge an item, as far as one knows without a reply."""
    if config.judge == "geometric":
        return GEOMETRIC_JUDGE
    return Asking(f"openai/{config.model}", sampling_of(config), config.structured_output).fingerprint(item)


def make_judge(config: JudgeConfig, share: Share) -> Judge:
    """The judge of one process.

    Raises:
        ConfigError: A key is missing in this process's environment, or there is a budget and no price.
        StorageError: The ledger cannot be read.
    """
    if config.judge == "geometric":
        return GeometricJudge()
    spending = None
    if share.max_usd is not None:
        spending = Spending(share.max_usd, spent_by_judges(config.ledger, share.run))
    return open_judge(
        server_of(config, timeout_s=share.seconds),
        sampling_of(config),
        ledger=config.ledger,
        run=share.run,
        calls=Calls(config.in_flight, retry_for_s=share.seconds / 2, patience_s=share.seconds),
        spending=spending,
        structured=config.structured_output,
    )


class JudgeReplica:
    """A judge that Ray Serve calls."""

    def __init__(self, config: JudgeConfig, share: Share) -> None:
        self._judge = make_judge(config, share)

    async def judgements(self, items: Sequence[JudgeItem], within_s: float | None) -> list[Judgement]:
        """See `kpray.judges.types.Judge.judgements`."""
        return await self._judge.judgements(items, within_s=within_s)

    async def check_health(self) -> None:
        """It answers as long as its process lives."""
