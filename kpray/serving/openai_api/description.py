"""The OpenAPI text: made from the same types that read and write, so that it cannot say anything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from kpray.serving.openai_api import requests, responses
from kpray.serving.openai_api.faults import ErrorBody

CHAT_TYPES: Final = (
    requests.ChatCompletionRequest,
    responses.ChatCompletion,
    responses.ModelList,
    responses.ModelObject,
)

ERRORS: Final = {
    400: "Not JSON, a picture that is none, a limit, or something that is not done here",
    401: "No key, or an unknown one",
    403: "Without keys: asked under a name that is not this machine's own",
    404: "No such model or path",
    405: "No such method here",
    408: "The body took too long",
    413: "Too large",
    415: "Not application/json, or compressed",
    422: "JSON that is not of this form",
    429: "Too many requests; Retry-After says when",
    500: "A fault of the server",
    503: "No room or no model now; Retry-After says when",
    504: "The answer took too long",
}


def reference(kind: type) -> dict[str, str]:
    """A type's place in the description."""
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def json_content(kind: type) -> dict[str, Any]:
    """A body of JSON."""
    return {"application/json": {"schema": reference(kind)}}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Responses that are errors."""
    return {status: {"description": ERRORS[status], "content": json_content(ErrorBody)} for status in statuses}


CHAT_BODY: Final = {"requestBody": {"required": True, "content": json_content(requests.ChatCompletionRequest)}}

CHAT_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The answer, or with `stream: true` its pieces as server-sent events",
        "content": json_content(responses.ChatCompletion) | {"text/event-stream": {"schema": {"type": "string"}}},
    },
    **errors(400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504),
}


def install(app: FastAPI, *, with_keys: bool, types: Sequence[type] = CHAT_TYPES) -> None:
    """Make ``/openapi.json`` of an application name its types, and the key where one is needed."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _description(app, types, with_keys=with_keys)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's own way to change the text


def _description(app: FastAPI, types: Sequence[type], *, with_keys: bool) -> dict[str, Any]:
    text = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _, components = msgspec.json.schema_components([*types, ErrorBody], ref_template="#/components/schemas/{name}")
    text["components"] = {"schemas": components}
    if with_keys:
        text["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        text["security"] = [{"key": []}]
    return text
