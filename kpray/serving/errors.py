"""Errors as OpenAI's API tells them.

::

    KprayError
    └── ApiError    a request that is not answered: status, code and one sentence for whoever sent it
"""

from __future__ import annotations

from typing import Any

from kpray.errors import KprayError

_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(KprayError):
    """A request that is not answered; it crosses process boundaries, so all of it is in `args`.

    Attributes:
        status: Of the HTTP response.
        message: What was expected, what was found, what to do.
        code: A short name, the same for the same fault.
        param: The field of the request that it is about, as ``messages[0].content[1]``.
        retry_after_s: When it is worth another try; for 429 and 503.
    """

    def __init__(
        self, status: int, message: str, *, code: str, param: str | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.param, self.retry_after_s = param, retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.status, self.message, self.code, self.param, self.retry_after_s)

    def body(self) -> dict[str, Any]:
        """The response's JSON, in OpenAI's form."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def _rebuild(status: int, message: str, code: str, param: str | None, retry_after_s: int | None) -> ApiError:
    return ApiError(status, message, code=code, param=param, retry_after_s=retry_after_s)


def overloaded(what: str, *, retry_after_s: int = 1) -> ApiError:
    """503: no room now."""
    return ApiError(503, f"{what}; try again in {retry_after_s} s", code="overloaded", retry_after_s=retry_after_s)
