"""One request to the judge from its first byte to its last."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kpray.errors import StorageError
from kpray.judges.types import Judgement
from kpray.scoring.types import JudgeItem
from kpray.serving.config import JudgeAppConfig
from kpray.serving.errors import ApiError
from kpray.serving.judging import requests, responses
from kpray.serving.observing import Record
from kpray.serving.openai_api.holding import Places, read_body, while_connected
from kpray.serving.telemetry import FIGURES, Figure, Telemetry

_LOGGER = logging.getLogger(__name__)

JUDGE_FIGURES: Final[Mapping[str, Figure]] = {
    **FIGURES,
    "kpray_judgements_total": Figure("counter", "Verdicts, by where from and why unscored", ("source", "unscored")),
    "kpray_judge_usd_total": Figure("counter", "What judging cost, as far as prices are known"),
}


class Bench(Protocol):
    """Has items judged."""

    async def judgements(self, items: Sequence[JudgeItem], *, within_s: float | None = None) -> list[Judgement]:
        """As `kpray.judges.types.Judge.judgements`."""

    async def check_health(self) -> None:
        """Raise if nothing can be judged."""


class Desk(msgspec.Struct, frozen=True):
    """What all requests share."""

    bench: Bench
    config: JudgeAppConfig
    places: Places
    telemetry: Telemetry


class JudgeExchange(Response):
    """Reads, has judged and answers one request; it ends when its client goes away."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer.

        Raises:
            ApiError: Nothing has been sent.
            ClientDisconnect: Nobody listens any more.
        """
        record: Record = scope["kpray.record"]

        async def work(body: bytes) -> None:
            answer = msgspec.json.encode(await self._judged(body, record))
            await Response(answer, media_type="application/json")(scope, receive, send)

        with self._desk.places.one():
            body = await read_body(Request(scope, receive))
            await while_connected(receive, work(body))

    async def _judged(self, body: bytes, record: Record) -> responses.JudgeResponse:
        config = self._desk.config
        asked = requests.expand(requests.read(body, most_items=config.items), repeats=config.judge.repeats)
        items = [item for one in asked for item in one.items]
        if config.address.log_content:
            record.content = {"items": msgspec.to_builtins([one.asked for one in asked])}
        try:
            judged = await self._desk.bench.judgements(items, within_s=config.limits.seconds)
        except StorageError as error:
            _LOGGER.error("the ledger cannot be read: %s", error)
            said = "the ledger of judgements cannot be read, and without it nothing is asked"
            raise ApiError(503, said, code="ledger_unavailable", retry_after_s=30) from error
        self._note(judged, record)
        if refused := responses.refusal(judged):
            raise refused
        return responses.respond(asked, judged)

    def _note(self, judged: Sequence[Judgement], record: Record) -> None:
        put = self._desk.telemetry.put
        record.prompt_tokens = sum(one.usage.prompt_tokens for one in judged)
        record.completion_tokens = sum(one.usage.completion_tokens for one in judged)
        for (source, unscored), count in Counter((one.source, one.verdict.unscored or "") for one in judged).items():
            put("kpray_judgements_total", count, source=source, unscored=unscored)
        put("kpray_judge_usd_total", sum(one.usd or 0.0 for one in judged))
        for failure, count in Counter(one.failure for one in judged if one.failure).items():
            _LOGGER.warning("request %s: %d not judged: %s", record.request_id, count, failure)
