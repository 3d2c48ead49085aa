"""Setting up a model judge: where it is, whether it can be asked, and what it may spend."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

import msgspec

from kpray.config import PriceConfig, TeacherConfig
from kpray.errors import ConfigError, TeacherBusyError, TeacherError
from kpray.judges.asking import Asker, Calls
from kpray.judges.books import Books
from kpray.judges.model import Asking, ModelJudge
from kpray.ledger.budget import Budget, LocalPurse
from kpray.ledger.prices import ModelPrice, find_price
from kpray.ledger.tokens import TokenMeter
from kpray.schemas import Reply, Request, Sampling
from kpray.teachers.completions import read_error
from kpray.teachers.http import HttpSession
from kpray.teachers.openai import BASE_URL, OpenAITeacher, Secret

_PREFLIGHT_S: Final = 20.0
_NAMES_SHOWN: Final = 8
_SHORTEST_KEY: Final = 7
"""A shorter one is no secret (``none``, ``EMPTY``), and may be a word of a judgement."""


class Server(msgspec.Struct, frozen=True):
    """An OpenAI-compatible server and the model that judges there.

    Attributes:
        model: As the server names it.
        base_url: Of the server; None is OpenAI's.
        key_env: Environment variable with its key. A server of one's own may do without.
        timeout_s: For one attempt.
        stated: The price of its tokens, where kpray's table does not have it.
    """

    model: str
    base_url: str | None = None
    key_env: str = "OPENAI_API_KEY"
    timeout_s: float = 120.0
    stated: PriceConfig | None = None

    def key(self) -> Secret:
        """The key in this process's environment.

        Raises:
            ConfigError: There is none, and OpenAI's own server is to be asked.
        """
        key = os.environ.get(self.key_env, "").strip()
        if not key and self.base_url is None:
            raise ConfigError(
                f"the judge {self.model} needs an API key: set {self.key_env} where this runs, or name a server of "
                "your own with judge.base_url"
            )
        return Secret(key or "none")

    def price(self) -> ModelPrice | None:
        """What its tokens cost; None where nothing says so."""
        return find_price(self.model, self.settings)

    @property
    def settings(self) -> TeacherConfig:
        """The same for kpray's teachers."""
        return TeacherConfig(
            name="openai", model=self.model, base_url=self.base_url, timeout_s=self.timeout_s, price=self.stated
        )


class DiscreetTeacher(OpenAITeacher):
    """Keeps the key out of what a server says: some repeat it in their errors, which go into ledger and log."""

    def __init__(self, settings: TeacherConfig, key: Secret, *, price: ModelPrice | None = None) -> None:
        super().__init__(settings, key, price=price)
        self._secret = key

    async def ask(self, request: Request) -> Reply:
        """See `OpenAITeacher.ask`."""
        try:
            reply = await super().ask(request)
        except TeacherError as error:
            error.args = tuple(self._without_key(str(part)) for part in error.args)
            raise
        hidden = self._without_key(reply.error) if reply.error else reply.error
        return msgspec.structs.replace(reply, text=self._without_key(reply.text), error=hidden)

    def _without_key(self, text: str) -> str:
        return text.replace(self._secret.reveal(), "***") if len(self._secret.reveal()) > _SHORTEST_KEY else text


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


async def preflight(server: Server) -> None:
    """Make sure, without spending anything, that a server takes the key and has the model.

    Raises:
        ConfigError: A key is missing.
        TeacherError: The server cannot be reached, refuses the key, or has no such model.
    """
    where = server.base_url or BASE_URL
    headers = {"Authorization": f"Bearer {server.key().reveal()}"}
    session = HttpSession(where, headers, timeout_s=_PREFLIGHT_S)
    try:
        answer = await session.get("/models")
    except TeacherBusyError as error:
        raise TeacherError(
            f"the judge cannot be reached at {where}: {error}. Is it running, and is the address right?"
        ) from error
    finally:
        await session.aclose()
    if answer.status in (401, 403):
        raise TeacherError(f"{where} refuses the key in {server.key_env}: {_said(answer.body)}")
    if answer.status == 404:  # compatible servers may not list models
        return
    if answer.status != 200:
        raise TeacherError(f"the judge at {where} is not ready: status {answer.status}, {_said(answer.body)}")
    _require_model(server.model, answer.body, where)


def _said(body: bytes) -> str:
    return read_error(body).message[:300]


def _require_model(model: str, body: bytes, where: str) -> None:
    try:
        names = [listed.id for listed in msgspec.json.decode(body, type=_Models).data]
    except msgspec.DecodeError:
        return  # a list in another form proves nothing
    if model not in names:
        shown = ", ".join(sorted(names)[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
        raise TeacherError(f"{where} has no model {model!r}; it has {shown or 'none'}. Set judge.model to one of them")


class Spending(msgspec.Struct, frozen=True):
    """What one process may spend.

    Attributes:
        limit_usd: In all.
        spent_usd: What of this it has spent in earlier lives.
    """

    limit_usd: float
    spent_usd: float = 0.0


def open_judge(
    server: Server,
    sampling: Sampling,
    *,
    ledger: str,
    run: str,
    calls: Calls,
    spending: Spending | None = None,
    structured: bool = True,
    price: ModelPrice | None = None,
    on_reply: Callable[[Request, Reply], None] = lambda request, reply: None,
) -> ModelJudge:
    """A judge that can be asked; nothing is connected or read yet.

    Args:
        server: Whom to ask.
        sampling: Of each judgement.
        ledger: Folder or address of the ledger.
        run: Marks its lines; begins with `kpray.judges.books.RUNS`.
        calls: How to ask.
        spending: The budget; None is none.
        structured: Whether the server enforces a JSON schema.
        price: Of the model, where kpray's table does not have it.
        on_reply: Called with every reply that was paid for.

    Raises:
        ConfigError: A key is missing, or there is a budget and no price.
    """
    price = price or server.price()
    books, meter = Books(ledger, run=run), TokenMeter()
    purse = None
    if spending is not None:
        budget = Budget(spending.limit_usd, spent=spending.spent_usd)
        purse = LocalPurse(budget, require_price(server, price), meter)
    teacher = DiscreetTeacher(server.settings, server.key(), price=price)
    asker = Asker(teacher, books, calls, on_reply=on_reply, purse=purse, meter=meter)
    return ModelJudge(asker, books, Asking(teacher.model, sampling, structured))


def require_price(server: Server, price: ModelPrice | None) -> ModelPrice:
    """The price, which a budget needs.

    Raises:
        ConfigError: It is not known.
    """
    if price is None:
        raise ConfigError(
            f"`judge.max_usd` needs the price of {server.model} at {server.base_url or BASE_URL}, which is not known. "
            "Leave max_usd out, or use a model of OpenAI's own server that kpray has a price of"
        )
    return price
