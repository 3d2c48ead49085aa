"""The address: routes, and everything around them that makes them safe to stand in the open.

A request passes `Observed` (id, log, figures), `Guard` (key), `BodyLimit`, and then its route. Any FastAPI
application gets the same three and the same errors by `protect`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
from fastapi import FastAPI, Request
from starlette.responses import Response

from kpray import __version__
from kpray.serving.access import BodyLimit, Guard, Keys
from kpray.serving.config import AddressConfig, LimitsConfig
from kpray.serving.observing import Observed
from kpray.serving.openai_api import description, faults
from kpray.serving.openai_api.chat import MIB
from kpray.serving.openai_api.exchange import ChatExchange, Desk, find
from kpray.serving.openai_api.holding import Places
from kpray.serving.openai_api.responses import ModelList, ModelObject, model_object
from kpray.serving.remote import RemoteImages
from kpray.serving.telemetry import EXPOSITION_TYPE, Telemetry
from kpray.serving.types import Engine

LIVE: Final = "/-/healthz"
READY: Final = "/-/ready"
PAGE: Final = "/"

_READY_SECONDS: Final = 5.0
_PAGE_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}


def build_gateway(
    engines: Mapping[str, Engine],
    limits: LimitsConfig | None = None,
    address: AddressConfig | None = None,
    *,
    keys: Keys | None = None,
    page: bytes | None = None,
    at_once: int = 256,
    behind_serve: bool = False,
    telemetry: Telemetry | None = None,
) -> FastAPI:
    """The OpenAI-compatible application in front of some engines.

    Args:
        engines: By the models' names.
        limits: What one request may cost.
        address: Who may ask, and what is logged.
        keys: Instead of those in the environment variable that `address` names.
        page: One HTML document without outside assets, shown at ``/`` to everybody: it must hold nothing secret.
        at_once: Requests that are worked on at a time; more get 503 and Retry-After.
        behind_serve: Whether Ray Serve's proxy stands in front, which sends ``x-request-id`` back by itself.
        telemetry: Instead of new figures of this process.

    Raises:
        ConfigError: A key that cannot be sent.
    """
    limits, address = limits or LimitsConfig(), address or AddressConfig()
    keys = Keys.from_environment(address.keys_env) if keys is None else keys
    telemetry = telemetry or Telemetry(to_ray=behind_serve)
    app = FastAPI(title="kpray", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    remote = RemoteImages(tuple(h.lower() for h in limits.remote_hosts), int(limits.image_mb * MIB))
    desk = Desk(engines, limits, Places(at_once, telemetry), telemetry, remote, address.log_content)
    _add_models(app, engines)
    _add_chat(app, desk)
    add_health(app, lambda: _readiness(engines))
    add_metrics(app, telemetry)
    if page is not None:
        _add_page(app, page)
    description.install(app, with_keys=bool(keys))
    protect(app, keys=keys, limits=limits, address=address, telemetry=telemetry, echo_id=not behind_serve)
    return app


def protect(
    app: FastAPI,
    *,
    keys: Keys,
    limits: LimitsConfig,
    address: AddressConfig,
    telemetry: Telemetry,
    echo_id: bool = True,
) -> None:
    """Put keys, limits, ids, log, figures and OpenAI's errors around an application, once."""
    faults.install(app)
    app.add_middleware(BodyLimit, most_bytes=int(limits.body_mb * MIB))
    app.add_middleware(Guard, keys=keys, public=(LIVE, READY, PAGE))
    app.add_middleware(Observed, telemetry=telemetry, echo_id=echo_id, log_content=address.log_content)


def add_health(app: FastAPI, readiness: Callable[[], Any]) -> None:
    """Add live (this process answers) and ready (`readiness`, awaited, has all parts true)."""

    @app.get(LIVE, response_class=Response, responses={200: {"description": "Alive"}})
    async def live() -> Response:
        """Whether this process answers."""
        return _json({"status": "ok"})

    @app.get(
        READY, response_class=Response, responses={200: {"description": "Ready"}, 503: {"description": "Not ready"}}
    )
    async def ready() -> Response:
        """Whether requests can be answered."""
        parts: dict[str, bool] = await readiness()
        good = all(parts.values())
        return _json({"status": "ready" if good else "not ready", "parts": parts}, 200 if good else 503)


def add_metrics(app: FastAPI, telemetry: Telemetry) -> None:
    """Add ``/metrics``, which needs a key as everything else: it tells who does how much."""

    @app.get("/metrics", response_class=Response, responses=_text() | description.errors(401, 403))
    async def metrics() -> Response:
        """Figures of this process for Prometheus."""
        return Response(telemetry.exposition(), headers={"content-type": EXPOSITION_TYPE})


def _text() -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "Figures", "content": {"text/plain": {"schema": {"type": "string"}}}}}


def _add_models(app: FastAPI, engines: Mapping[str, Engine]) -> None:
    @app.get("/v1/models", response_class=Response, responses=_json_of(ModelList) | description.errors(401, 403))
    async def models() -> Response:
        """All models, with what they were made from."""
        return _json(ModelList([model_object(engine.card()) for engine in engines.values()]))

    @app.get(
        "/v1/models/{model_id:path}",
        response_class=Response,
        responses=_json_of(ModelObject) | description.errors(401, 403, 404, 422),
    )
    async def model(model_id: str) -> Response:
        """One model."""
        return _json(model_object(find(engines, model_id).card()))


def _add_chat(app: FastAPI, desk: Desk) -> None:
    @app.post(
        "/v1/chat/completions",
        response_class=Response,
        openapi_extra=description.CHAT_BODY,
        responses=description.CHAT_RESPONSES,
    )
    async def chat_completions(request: Request) -> Response:
        """Answer a conversation that may hold pictures."""
        return ChatExchange(desk)


def _add_page(app: FastAPI, html: bytes) -> None:
    @app.get(PAGE, include_in_schema=False)
    async def chat_page() -> Response:
        return Response(html, media_type="text/html; charset=utf-8", headers=_PAGE_HEADERS)


async def _readiness(engines: Mapping[str, Engine]) -> dict[str, bool]:
    return dict(zip(engines, await asyncio.gather(*map(is_healthy, engines.values())), strict=True))


class Checked(Protocol):
    """Something that can tell whether it still works."""

    async def check_health(self) -> None:
        """Raise if it does not."""


async def is_healthy(part: Checked) -> bool:
    """Whether a part says in time that it works."""
    try:
        async with asyncio.timeout(_READY_SECONDS):
            await part.check_health()
    except Exception:  # noqa: BLE001 - whatever it is, it is not ready; its own log says why
        return False
    return True


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def _json_of(kind: type) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "OK", "content": description.json_content(kind)}}
