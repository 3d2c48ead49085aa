"""The OpenAPI text of the judge: made from the types that read and write."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from kpray.serving.judging.requests import JudgeBatch, JudgeRequest
from kpray.serving.judging.responses import JudgeResponse
from kpray.serving.openai_api.description import errors, json_content, reference
from kpray.serving.openai_api.faults import ErrorBody

BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"anyOf": [reference(JudgeRequest), reference(JudgeBatch)]}}},
    }
}

RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A result for each item; what could not be judged is `unscored`, with the reason",
        "content": json_content(JudgeResponse),
    },
    **errors(400, 401, 403, 408, 413, 415, 422, 429, 500, 503),
}


def install(app: FastAPI, *, with_keys: bool) -> None:
    """Make ``/openapi.json`` of an application name these types, and the key where one is needed."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _description(app, with_keys=with_keys)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's own way to change the text


def _description(app: FastAPI, *, with_keys: bool) -> dict[str, Any]:
    text = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    types = [JudgeRequest, JudgeBatch, JudgeResponse, ErrorBody]
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    text["components"] = {"schemas": components}
    if with_keys:
        text["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        text["security"] = [{"key": []}]
    return text
