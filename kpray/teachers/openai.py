"""Any OpenAI-compatible server, through the official asynchronous client."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import openai

from kpray.config import TeacherConfig
from kpray.errors import TeacherError, TeacherStoppedError, TeacherUnavailableError
from kpray.schemas import Reply, Request, Scene, Usage

KEY_VARIABLE = "OPENAI_API_KEY"


class Secret:
    """A text that does not show itself in logs, tracebacks and dashboards."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret(***)"

    def reveal(self) -> str:
        """The text itself."""
        return self._text


def key_from_environment(base_url: str | None) -> Secret:
    """The API key; a server of one's own may do without.

    Raises:
        TeacherError: There is none and OpenAI's own server is asked for.
    """
    key = os.environ.get(KEY_VARIABLE)
    if not key and base_url is None:
        raise TeacherError(
            f"the openai teacher needs an API key: set {KEY_VARIABLE}, or name another server with "
            "--set teacher.base_url=http://host:port/v1"
        )
    return Secret(key or "none")


class OpenAITeacher:
    """Chat completions of one model.

    The client is made with the first call, inside the event loop that uses it.
    """

    name = "openai"
    reads_scene = False

    def __init__(self, settings: TeacherConfig, key: Secret) -> None:
        """Keep the settings; nothing is connected yet."""
        self.model = f"{self.name}/{settings.model}"
        self._settings = settings
        self._key = key
        self._client: openai.AsyncOpenAI | None = None

    def _connected(self) -> openai.AsyncOpenAI:
        if self._client is None:
            self._client = openai.AsyncOpenAI(
                api_key=self._key.reveal(),
                base_url=self._settings.base_url,
                timeout=self._settings.timeout_s,
                max_retries=self._settings.max_retries,
            )
        return self._client

    async def preflight(self) -> None:
        """List the server's models: free, and it needs a working key.

        Raises:
            TeacherError: The server cannot be reached or does not take the key.
        """
        server = self._settings.base_url or "api.openai.com"
        try:
            await self._connected().with_options(max_retries=1, timeout=20).models.list()
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise TeacherError(f"{server} refuses the key in {KEY_VARIABLE}: {error.message}") from error
        except openai.APIConnectionError as error:
            raise TeacherError(f"cannot reach {server}: {error}. Is it running, and is the address right?") from error
        except openai.APIStatusError as error:
            if error.status_code != 404:  # compatible servers may not list models
                raise TeacherError(f"{server} is not ready: {error.message}") from error

    def prepare(self, scenes: Sequence[Scene]) -> None:
        """A server needs no preparation."""

    async def ask(self, request: Request) -> Reply:
        """Ask once; the client retries what is worth retrying (connection, 408, 409, 429, 5xx)."""
        started = time.perf_counter()
        try:
            completion = await self._connected().chat.completions.create(**self._arguments(request))
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise TeacherStoppedError(f"{self.model} cannot be asked: {error.message}") from error
        except openai.RateLimitError as error:
            if error.code == "insufficient_quota":
                raise TeacherStoppedError(f"the account's quota is used up: {error.message}") from error
            raise TeacherUnavailableError(f"rate limit, also after retries: {error.message}") from error
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            return _reply(request, started, text="", finish_reason="error", error=error.message)
        except openai.APIError as error:
            raise TeacherUnavailableError(f"no answer, also after retries: {error.message}") from error
        if not completion.choices:
            return _reply(request, started, text="", finish_reason="error", error="the server sent no choices")
        choice = completion.choices[0]
        refusal = choice.message.refusal
        return _reply(
            request,
            started,
            text=choice.message.content or "",
            finish_reason="refusal" if refusal else choice.finish_reason or "",
            error=refusal,
            model=completion.model,
            usage=_usage(completion.usage),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _arguments(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        # OpenAI's newer models take only the second name; other servers know the first.
        limit_name = "max_tokens" if self._settings.base_url else "max_completion_tokens"
        optional = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            limit_name: sampling.max_tokens,
            "response_format": _response_format(request),
        }
        return {
            "model": self._settings.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            **{name: value for name, value in optional.items() if value is not None},
        }


def _response_format(request: Request) -> dict[str, Any] | None:
    if request.response_schema is None:
        return None
    schema = {"name": request.kind, "strict": True, "schema": dict(request.response_schema)}
    return {"type": "json_schema", "json_schema": schema}


def _usage(usage: Any) -> Usage | None:
    if usage is None:
        return None
    details = usage.prompt_tokens_details
    return Usage(usage.prompt_tokens, usage.completion_tokens, (details.cached_tokens or 0) if details else 0)


def _reply(
    request: Request,
    started: float,
    *,
    text: str,
    finish_reason: str,
    error: str | None,
    model: str = "",
    usage: Usage | None = None,
) -> Reply:
    return Reply(
        request_id=request.request_id,
        text=text,
        finish_reason=finish_reason,
        usage=usage,
        usd=None,
        latency_s=time.perf_counter() - started,
        model=model,
        created_at=datetime.now(UTC).isoformat(),
        error=error,
    )
