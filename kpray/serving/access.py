"""Who may ask, from where, and how much may be sent: checked before anything of a request is read.

Without a key only this machine may ask. That is held twice: `require_keys_or_loopback` refuses to bind anything but
loopback, and `Guard` refuses a ``Host`` that is not loopback, so that a web page in a browser on this machine cannot
reach the address under a name of its own (DNS rebinding).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import string
from collections.abc import Collection, Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kpray.errors import ConfigError
from kpray.serving.errors import ApiError
from kpray.serving.openai_api.faults import error_response

_KEY_CHARACTERS = frozenset(string.ascii_letters + string.digits + string.punctuation) - {","}


class Keys:
    """The keys that open the address; only their digests are kept."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        """Take the keys.

        Raises:
            ConfigError: A key is empty or has characters that do not travel in a header.
        """
        self._digests = tuple(_digest(_checked(key).encode()) for key in keys)

    @classmethod
    def from_environment(cls, name: str) -> Keys:
        """The keys of an environment variable, separated by commas; none where it is unset or empty.

        Raises:
            ConfigError: A key has characters that do not travel in a header.
        """
        return cls(key.strip() for key in os.environ.get(name, "").split(",") if key.strip())

    def __len__(self) -> int:
        return len(self._digests)

    def accept(self, presented: bytes) -> bool:
        """Whether this is one of the keys; takes as long for a wrong key as for any right one."""
        digest = _digest(presented)
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0  # unlike any(), compares all


def _checked(key: str) -> str:
    if not key or not _KEY_CHARACTERS.issuperset(key):
        raise ConfigError(
            "an API key has to be letters, digits and signs of ASCII, without spaces and commas; "
            "found one with something else. Make one with `openssl rand -hex 32`"
        )
    return key


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()  # equal lengths, so that the comparison's time tells nothing of the key's


def require_keys_or_loopback(host: str, keys: Keys, *, keys_env: str) -> str:
    """Make sure that an address may be bound.

    Returns:
        One sentence for whoever starts it: who can ask.

    Raises:
        ConfigError: There is no key, and others than this machine could reach the address.
    """
    if keys:
        return f"Requests to {host} need one of {len(keys)} keys from {keys_env}."
    if is_loopback(host):
        return f"No key is set in {keys_env}: only this machine can ask ({host}), and it needs no key."
    raise ConfigError(
        f"{host!r} can be reached from other machines, and no key is set. Put one or more keys, separated by commas, "
        f"into {keys_env} (`export {keys_env}=$(openssl rand -hex 32)`), or bind 127.0.0.1"
    )


def is_loopback(host: str) -> bool:
    """Whether a host, without port, is this machine and nobody else's.

    >>> is_loopback("127.0.0.1"), is_loopback("[::1]"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Middleware: refuses who has no key, or, where none is set, who does not ask this machine by its own name."""

    def __init__(self, app: ASGIApp, *, keys: Keys, public: Collection[str]) -> None:
        self._app, self._keys, self._public = app, keys, frozenset(public)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or answer 401 or 403."""
        error = self._refusal(scope) if scope["type"] == "http" else None
        if error is None:
            await self._app(scope, receive, send)
        else:
            await error_response(error, scope)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ApiError | None:
        if scope["path"] in self._public:
            return None
        if not self._keys:
            return None if is_loopback(_host(scope)) else _foreign_host()
        scheme, _, key = header(scope, b"authorization").partition(b" ")
        if scheme.lower() == b"bearer" and self._keys.accept(key.strip()):
            return None
        return _no_key(given=bool(scheme))


def _no_key(*, given: bool) -> ApiError:
    found = "the one that was sent is not known" if given else "none was sent"
    return ApiError(401, f"a key is needed as `Authorization: Bearer KEY`; {found}", code="invalid_api_key")


def _foreign_host() -> ApiError:
    said = "without a key this server answers only as localhost, 127.0.0.1 or [::1]; set a key to use another name"
    return ApiError(403, said, code="host_not_allowed")


def _host(scope: Scope) -> str:
    """The ``Host`` without its port."""
    host = header(scope, b"host").decode("latin-1")
    return host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]


def header(scope: Scope, name: bytes) -> bytes:
    """A request header's first value, by its name in lower case; empty where it is missing."""
    values: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return next((value for key, value in values if key.lower() == name), b"")


class BodyLimit:
    """Middleware: a body longer than the limit is refused by what it declares, or else as soon as it is longer."""

    def __init__(self, app: ASGIApp, *, most_bytes: int) -> None:
        self._app, self._most = app, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _declared(scope) > self._most:
            await error_response(self._too_long(), scope)(scope, receive, send)
        else:
            await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most:
                raise self._too_long()
            return message

        return counted

    def _too_long(self) -> ApiError:
        said = (
            f"the request is longer than the {self._most:,} bytes that this server takes; send fewer or smaller images"
        )
        return ApiError(413, said, code="request_too_large")


def _declared(scope: Scope) -> int:
    length = header(scope, b"content-length")
    return int(length[:18]) if length.isdigit() else 0  # more digits are too many in any case
