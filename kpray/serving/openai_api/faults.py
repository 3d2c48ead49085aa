"""Every error as OpenAI's API tells it, whoever raised it; an exception's own text never leaves the server."""

from __future__ import annotations

import http
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from kpray.serving.errors import ApiError

_CODES = {404: "not_found", 405: "method_not_allowed"}


class ErrorDetail(msgspec.Struct, frozen=True):
    """What went wrong; `ApiError` says what the fields hold."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every response that is not 2xx."""

    error: ErrorDetail


def error_response(error: ApiError, scope: Scope) -> Response:
    """The response to a request that is not answered; its code is noted for log and metrics."""
    record = scope.get("kpray.record")
    if record is not None:
        record.code = error.code
    return Response(msgspec.json.encode(error.body()), error.status, _headers(error), "application/json")


def _headers(error: ApiError) -> dict[str, str]:
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status == 504:
        headers["x-should-retry"] = "false"  # the official client asks again after 5xx, which would be as slow
    if error.status in (408, 413):
        headers["connection"] = "close"  # the rest of the body is not going to be read
    return headers


def internal_error(request_id: str) -> ApiError:
    """500: a fault of the server, which its log explains."""
    said = f"the server failed on this request; its log has the reason under request id {request_id}"
    return ApiError(500, said, code="internal_error")


def install(app: FastAPI) -> None:
    """Make an application tell all of its errors, and its framework's, in this form."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_response(error, request.scope)


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = next(iter(error.errors()), {})
    param = ".".join(str(part) for part in first.get("loc", ()))
    refused = ApiError(422, f"{param}: {first.get('msg', 'not valid')}", code="invalid_value", param=param or None)
    return error_response(refused, request.scope)


async def _on_http(request: Request, error: Exception) -> Response:
    """404 and 405 of the framework; the latter's ``Allow`` is kept."""
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "http_error")
    phrase = http.HTTPStatus(error.status_code).phrase
    said = f"{request.method} on this path: {phrase}; see /openapi.json for what there is"
    response = error_response(ApiError(error.status_code, said, code=code), request.scope)
    response.headers.update(error.headers or {})
    return response
