"""The transport, against sockets that do what servers and networks do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from kpray.errors import TeacherBusyError, TeacherStoppedError
from kpray.teachers.http import Answer, HttpSession

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Thing: Yes\r\n\r\n{}"


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    return head + await reader.readexactly(length)


class Server:
    """A server in this loop; `handle` gets every connection."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self.connections = 0

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._handle(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def answer_for_ever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(OK)


def exchange(server: Server, calls: int = 1, *, timeout_s: float = 5) -> Answer:
    async def run() -> Answer:
        async with server as url:
            session = HttpSession(url, {"Authorization": "Bearer k"}, timeout_s=timeout_s)
            try:
                return [await session.post("/chat/completions", b'{"n": 1}') for _ in range(calls)][-1]
            finally:
                await session.aclose()

    return asyncio.run(run())


def test_one_connection_serves_many_requests() -> None:
    server = Server(answer_for_ever)
    answer = exchange(server, 20)
    assert (answer.status, answer.body, answer.headers["x-thing"]) == (200, b"{}", "Yes")
    assert server.connections == 1


def test_what_is_sent() -> None:
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(OK)

    exchange(Server(handle))
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer k\r\n" in head
    assert b"\r\nContent-Type: application/json" in head
    assert body == b'{"n": 1}'


def test_a_connection_that_the_server_closed_in_between_costs_no_attempt() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        # The answer says nothing of it: the client takes the connection for a good one and uses it again.
        await reader.read(1)
        writer.transport.abort()

    server = Server(handle)
    assert exchange(server, 5).status == 200
    assert server.connections == 5


def test_a_server_that_always_breaks_off_is_busy() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)

    server = Server(handle)
    with pytest.raises(TeacherBusyError, match="no connection: .*isconnected"):
        exchange(server)
    assert server.connections == 2


def test_one_that_breaks_off_after_a_while_is_not_asked_twice_in_one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kpray.teachers.http._AT_ONCE_S", 0.05)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(0.2)

    server = Server(handle)
    with pytest.raises(TeacherBusyError):
        exchange(server)
    assert server.connections == 1


def test_an_answer_that_stops_in_the_middle_is_none() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")

    with pytest.raises(TeacherBusyError):
        exchange(Server(handle))


def test_an_answer_that_does_not_come_in_time_is_none() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await reader.read(1)

    with pytest.raises(TeacherBusyError, match=r"no answer within 0\.2 s"):
        exchange(Server(handle), timeout_s=0.2)


def test_nobody_there_is_busy() -> None:
    with pytest.raises(TeacherBusyError, match="no connection"):
        asyncio.run(_post("http://127.0.0.1:9/v1"))


@pytest.mark.parametrize("address", ["localhost:8000/v1", "http://", "nonsense"])
def test_an_address_that_is_none_stops(address: str) -> None:
    with pytest.raises(TeacherStoppedError, match="is no address; expected http://host:port/v1"):
        asyncio.run(_post(address))


async def _post(url: str) -> None:
    session = HttpSession(url, {}, timeout_s=5)
    try:
        await session.post("/x", b"{}")
    finally:
        await session.aclose()


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(OK)

    async def run() -> None:
        async with Server(proxy) as url:
            monkeypatch.setenv("http_proxy", url.removesuffix("/v1"))
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            await _post("http://nowhere.invalid/v1")
            monkeypatch.setenv("no_proxy", "nowhere.invalid")
            with pytest.raises(TeacherBusyError):
                await _post("http://nowhere.invalid/v1")

    asyncio.run(run())
    assert [request.split(b"\r\n")[0] for request in seen] == [b"POST http://nowhere.invalid/v1/x HTTP/1.1"]


def test_it_can_be_made_in_one_loop_and_used_in_another_after_closing() -> None:
    async def once(session: HttpSession) -> None:
        await session.aclose()
        with pytest.raises(TeacherBusyError):
            await session.get("/models", timeout_s=1)
        await session.aclose()

    session = HttpSession("http://127.0.0.1:9/v1", {}, timeout_s=5)
    asyncio.run(once(session))
    asyncio.run(once(session))
