"""Pictures by URL: off unless a host is allow-listed, and then fetched so that nothing inside can be reached.

A server that fetches what strangers name can be led to its own network (SSRF, CWE-918). Therefore: http and https
only, a listed host and port only, no user names in the URL; the name is resolved once, every address it has must be a
public one, and exactly these addresses are connected to, so that a second answer of the DNS changes nothing; no
redirect is followed; bytes and seconds are limited. Errors do not tell what was found at the address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Collection
from typing import Final

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from kpray.serving.errors import ApiError

_PORTS: Final = {"http": 80, "https": 443}

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: str) -> bool:
    """Whether an IP address is anybody's on the internet, also where it hides an IPv4 address.

    >>> is_public("93.184.215.14"), is_public("10.0.0.1"), is_public("::ffff:127.0.0.1")
    (True, False, False)
    """
    ip = ipaddress.ip_address(address)
    return all(_is_public(each) for each in (ip, *_embedded(ip)))


def _is_public(ip: IpAddress) -> bool:
    """NAT64's 64:ff9b::/96 is reserved and so refused, as it leads to private IPv4 addresses too."""
    special = ip.is_multicast or ip.is_reserved or (ip.version == 6 and ip.is_site_local)
    return ip.is_global and not special


def _embedded(ip: IpAddress) -> list[IpAddress]:
    """IPv4 addresses that an IPv6 address leads to: mapped, 6to4, Teredo's two."""
    if isinstance(ip, ipaddress.IPv4Address):
        return []
    found = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    return [each for each in found if each is not None]


class RemoteImages(msgspec.Struct, frozen=True):
    """Fetches pictures from listed hosts.

    Attributes:
        hosts: Exact names, in lower case; ``name:port`` where the port is not the scheme's own. Empty refuses all.
        most_bytes: Of one picture.
        seconds: For one picture, from resolving to the last byte.
        may_connect: Which addresses may be connected to.
    """

    hosts: Collection[str]
    most_bytes: int
    seconds: float = 10.0
    may_connect: Callable[[str], bool] = is_public

    async def fetch(self, address: str, *, param: str) -> bytes:
        """The bytes at a URL, which may be anything.

        Args:
            address: As sent.
            param: Where it stood in the request, for the error.

        Raises:
            ApiError: 400 where the URL may not be fetched or could not be; 413 where it is too long.
        """
        url = self._allowed(address, param)
        try:
            async with asyncio.timeout(self.seconds):
                found = await self._resolved(url, param)
                return await self._read(url, found, param)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):  # UnicodeError, of strange names, is the last
            raise _refused("could not be fetched", param) from None

    def _allowed(self, address: str, param: str) -> URL:
        try:
            url = URL(address)
            host, port = (url.host or "").lower(), url.port
        except ValueError:
            raise _refused("is not a valid URL", param) from None
        if not self.hosts:
            raise _refused("is given by URL, which this server does not fetch; send it as data:image/...;base64", param)
        if url.scheme not in _PORTS or url.user is not None or url.password is not None:
            raise _refused("needs an http or https URL without user name and password", param)
        name = host if port == _PORTS[url.scheme] else f"{host}:{port}"
        if name not in self.hosts:
            raise _refused("is on a host that this server does not fetch from", param)
        return url

    async def _resolved(self, url: URL, param: str) -> list[ResolveResult]:
        assert url.host is not None
        assert url.port is not None
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        if not all(self.may_connect(str(where[0])) for *_, where in found):
            raise _refused("is on a host that this server does not fetch from", param)
        return [
            ResolveResult(hostname=url.host, host=str(where[0]), port=url.port, family=family, proto=proto, flags=0)
            for family, _, proto, _, where in found
        ]

    async def _read(self, url: URL, found: list[ResolveResult], param: str) -> bytes:
        connector = aiohttp.TCPConnector(resolver=_Resolved(found), use_dns_cache=False, force_close=True)
        jar, headers = aiohttp.DummyCookieJar(), {"accept": "image/*", "accept-encoding": "identity"}
        async with (
            aiohttp.ClientSession(connector=connector, cookie_jar=jar, auto_decompress=False) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            if response.status != 200 or response.headers.get("content-encoding", "identity") != "identity":
                raise _refused("could not be fetched", param)
            return await self._limited(response, param)

    async def _limited(self, response: aiohttp.ClientResponse, param: str) -> bytes:
        data = bytearray()
        async for piece in response.content.iter_chunked(1 << 16):
            data += piece
            if len(data) > self.most_bytes:
                said = f"the picture has more than the {self.most_bytes:,} bytes that this server takes"
                raise ApiError(413, said, code="image_too_large", param=param)
        return bytes(data)


class _Resolved(AbstractResolver):
    """Names are what they were when they were checked."""

    def __init__(self, found: list[ResolveResult]) -> None:
        self._found = found

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return self._found

    async def close(self) -> None:
        pass


def _refused(what: str, param: str) -> ApiError:
    return ApiError(400, f"the picture {what}", code="remote_image", param=param)
