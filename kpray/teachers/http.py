"""A lean way to send JSON over HTTP/1.1: one session, one pool of connections that stay open.

It does what the calls of a teacher need and no more, and costs a fraction of the official client's CPU time
(docs/limits.md), which is what limits a worker at many hundred calls a second.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp

from kpray.errors import TeacherBusyError, TeacherStoppedError

_IDLE_S: Final = 30.0
"""How long an unused connection is kept."""

_AT_ONCE_S: Final = 1.0
"""A connection that breaks within so long after sending was closed before the server had seen the request."""


class Answer(NamedTuple):
    """What came back, whatever its status; `headers` are found in any case of letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpSession:
    """Requests to one server. Made anywhere; connected with the first request, in the event loop that uses it.

    The pool has no bound of its own: how many requests are under way is the caller's business.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], *, timeout_s: float) -> None:
        """Remember where to send.

        Args:
            base_url: What paths are appended to.
            headers: Sent with every request.
            timeout_s: From sending to the last byte.
        """
        self._base_url = base_url.rstrip("/")
        self._headers = dict(headers)
        self._timeout_s = timeout_s
        self._proxy: str | None = None
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: bytes) -> Answer:
        """Send a JSON body.

        Raises:
            TeacherBusyError: No connection, or no complete answer in time.
            TeacherStoppedError: The address is none.
        """
        return await self._send("POST", path, body, self._timeout_s)

    async def get(self, path: str, *, timeout_s: float | None = None) -> Answer:
        """Fetch; raises as `post` does."""
        return await self._send("GET", path, None, timeout_s or self._timeout_s)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(self, method: str, path: str, body: bytes | None, timeout_s: float) -> Answer:
        started = time.monotonic()
        try:
            try:
                return await self._exchange(method, path, body, timeout_s)
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if time.monotonic() - started > _AT_ONCE_S:
                    raise
                # The server closed an idle connection just as it was used again: another one will do.
                return await self._exchange(method, path, body, timeout_s)
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise TeacherStoppedError(
                f"{self._base_url} is no address; expected http://host:port/v1 or https://host/v1 in teacher.base_url"
            ) from error
        except TimeoutError as error:
            raise TeacherBusyError(f"no answer within {timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TeacherBusyError(f"no connection: {error or type(error).__name__}") from error

    async def _exchange(self, method: str, path: str, body: bytes | None, timeout_s: float) -> Answer:
        session = self._session or self._connect()
        timeout = session.timeout if timeout_s == self._timeout_s else aiohttp.ClientTimeout(total=timeout_s)
        url = self._base_url + path
        async with session.request(method, url, data=body, timeout=timeout, proxy=self._proxy) as response:
            return Answer(response.status, response.headers, await response.read())

    def _connect(self) -> aiohttp.ClientSession:
        self._proxy = _proxy(self._base_url)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # replies are short; unpacking them costs more than it saves
                "Content-Type": "application/json",
                "User-Agent": "kpray",
                **self._headers,
            },
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
        )
        return self._session


def _proxy(base_url: str) -> str | None:
    """What HTTPS_PROXY, HTTP_PROXY and NO_PROXY say, found once (aiohttp would look with every request)."""
    parts = urlsplit(base_url)
    if parts.hostname and urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)
