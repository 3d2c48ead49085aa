"""The judge's address: its route, and the same around it as around a model's."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from starlette.responses import Response

from kpray import __version__
from kpray.serving.access import Keys
from kpray.serving.config import JudgeAppConfig
from kpray.serving.gateway import add_health, add_metrics, is_healthy, protect
from kpray.serving.judging import description
from kpray.serving.judging.exchange import JUDGE_FIGURES, Bench, Desk, JudgeExchange
from kpray.serving.openai_api.description import install
from kpray.serving.openai_api.holding import Places
from kpray.serving.telemetry import Telemetry

AT_ONCE: Final = 64
"""Requests that one address works on; more get 503 and Retry-After."""


def build_address(bench: Bench, config: JudgeAppConfig, *, keys: Keys, behind_serve: bool = False) -> FastAPI:
    """The application in front of a judge.

    Args:
        bench: Has items judged.
        config: Who may ask, and how much.
        keys: That open it.
        behind_serve: Whether Ray Serve's proxy stands in front.
    """
    telemetry = Telemetry(to_ray=behind_serve, figures=JUDGE_FIGURES)
    app = FastAPI(title="kpray judge", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    desk = Desk(bench, config, Places(AT_ONCE, telemetry), telemetry)

    @app.post("/v1/judge", response_class=Response, openapi_extra=description.BODY, responses=description.RESPONSES)
    async def judge() -> Response:
        """Judge the answers to one question or to many, in both orders."""
        return JudgeExchange(desk)

    add_health(app, lambda: _readiness(bench))
    add_metrics(app, telemetry)
    install(app, with_keys=bool(keys), types=description.TYPES)
    protect(
        app,
        keys=keys,
        limits=config.limits,
        address=config.address,
        telemetry=telemetry,
        echo_id=not behind_serve,
    )
    return app


async def _readiness(bench: Bench) -> dict[str, bool]:
    return {"judge": await is_healthy(bench)}
