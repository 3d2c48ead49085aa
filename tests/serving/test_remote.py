from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from gateway_server import picture

from kpray.serving.errors import ApiError
from kpray.serving.remote import RemoteImages, is_public

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def fetch(handler: Handler | None, url: str, **options: Any) -> bytes:
    """Fetch from a local server; ``{port}`` in the URL and the hosts is its own."""
    runner = web.ServerRunner(web.Server(handler or _picture))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = str(runner.addresses[0][1])
        options = {"hosts": ["localhost:{port}"], "most_bytes": 10_000, "may_connect": _anywhere} | options
        options["hosts"] = [host.replace("{port}", port) for host in options["hosts"]]
        return await RemoteImages(**options).fetch(url.replace("{port}", port), param="here")
    finally:
        await runner.cleanup()


def _anywhere(address: str) -> bool:
    return True


async def _picture(request: web.BaseRequest) -> web.Response:
    return web.Response(body=picture(), content_type="image/png")


def refused(handler: Any, url: str = "http://localhost:{port}/a.png", **options: Any) -> ApiError:
    with pytest.raises(ApiError) as raised:
        asyncio.run(fetch(handler, url, **options))
    assert raised.value.param == "here"
    return raised.value


def test_a_listed_host_is_fetched() -> None:
    assert asyncio.run(fetch(None, "http://LOCALHOST:{port}/a.png?b=c")) == picture()


def test_without_a_list_nothing_is_fetched() -> None:
    assert "send it as data:" in refused(None, hosts=[]).message


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",  # not the listed name
        "http://localhost/",  # not the listed port
        "http://localhost.:{port}/",
        "http://other.localhost:{port}/",
        "http://localhost:{port}@example.org/",
        "http://user@localhost:{port}/",
        "http://user:secret@localhost:{port}/",
        "ftp://localhost:{port}/",
        "file:///etc/passwd",
        "//localhost:{port}/",
        "localhost:{port}",
        "http://[::1",
        "http://localhost:99999/",
        "http://2130706433:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "gopher://x",
        "",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    assert refused(None, url).status == 400


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "0x7f.1:{port}"])
def test_a_listed_host_with_a_private_address_is_refused(host: str) -> None:
    asked = []

    async def handler(request: web.BaseRequest) -> web.Response:
        asked.append(request)
        return web.Response()

    error = refused(handler, f"http://{host}/", hosts=[host], may_connect=is_public)
    assert error.code == "remote_image"
    assert "127.0.0.1" not in error.message
    assert asked == []


def test_a_name_is_resolved_once_and_its_checked_address_used(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved: list[str] = []

    async def resolve(self: Any, host: str, port: int, **options: Any) -> list[Any]:
        resolved.append(host)
        address = "127.0.0.1" if len(resolved) == 1 else "127.0.0.2"  # a DNS that changes its mind
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
    checked: list[str] = []

    def may_connect(address: str) -> bool:
        checked.append(address)
        return True

    hosts = ["pictures.test:{port}"]
    got = asyncio.run(_fetch_resolved("http://pictures.test:{port}/", hosts, may_connect, resolved))
    assert got == picture()
    assert resolved == ["pictures.test"]
    assert checked == ["127.0.0.1"]


async def _fetch_resolved(url: str, hosts: list[str], may_connect: Any, resolved: list[str]) -> bytes:
    """As `fetch`; the server's own look-up of its address does not count."""
    runner = web.ServerRunner(web.Server(_picture))
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await web.SockSite(runner, listening).start()
        resolved.clear()
        port = str(listening.getsockname()[1])
        names = [host.replace("{port}", port) for host in hosts]
        try:
            remote = RemoteImages(names, 10_000, may_connect=may_connect)
            return await remote.fetch(url.replace("{port}", port), param="here")
        finally:
            await runner.cleanup()


def test_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(self: Any, host: str, port: int, **options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in ("93.184.215.14", "10.0.0.1")]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
    with pytest.raises(ApiError, match="does not fetch from"):
        asyncio.run(RemoteImages(["pictures.test"], 10_000).fetch("http://pictures.test/", param="here"))


def test_redirects_are_not_followed() -> None:
    asked = []

    async def handler(request: web.BaseRequest) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"location": "/elsewhere"})

    refused(handler)
    assert asked == ["/a.png"]


@pytest.mark.parametrize("declared", [True, False])
def test_too_many_bytes_are_413_and_not_read_to_their_end(declared: bool) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": str(10**9)} if declared else {})
        await response.prepare(request)
        while True:
            await response.write(bytes(5000))

    assert refused(handler).status == 413


def test_compressed_pictures_and_errors_are_refused() -> None:
    async def compressed(request: web.BaseRequest) -> web.Response:
        return web.Response(body=b"x", headers={"content-encoding": "gzip"})

    async def missing(request: web.BaseRequest) -> web.Response:
        return web.Response(status=404, text="internal words")

    assert refused(compressed).status == 400
    assert "internal words" not in refused(missing).message


def test_a_slow_host_is_given_up() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(2)  # the server waits for it when it ends
        return web.Response()

    assert "could not be fetched" in refused(handler, seconds=0.2).message


def test_a_name_that_does_not_resolve_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(self: Any, host: str, port: int, **options: Any) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
    with pytest.raises(ApiError, match="could not be fetched"):
        asyncio.run(RemoteImages(["pictures.test"], 10_000).fetch("https://pictures.test/", param="here"))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("64:ff9b::5db8:d70e", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("192.168.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:7f00:1::", False),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b:1::1", False),
        ("fc00::1", False),
        ("fe80::1", False),
        ("fe80::1%1", False),
        ("fec0::1", False),
        ("ff02::1", False),
    ],
)
def test_public_addresses_are_told_from_others(address: str, public: bool) -> None:
    assert is_public(address) == public
