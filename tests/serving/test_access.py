from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from gateway_server import KEY, ScriptedEngine, gateway, image_part, picture, serving, wait_until

from kpray.errors import ConfigError
from kpray.serving import observing
from kpray.serving.access import Keys, is_loopback, require_keys_or_loopback
from kpray.serving.config import AddressConfig, LimitsConfig

BODY: Any = {"model": "tiny", "messages": [{"role": "user", "content": "a private question"}]}


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is written to the requests' log."""
    before = observing.LOGGER.handlers[:], observing.LOGGER.propagate, observing.LOGGER.level
    stream = io.StringIO()
    observing.log_to(stream)
    yield stream
    observing.LOGGER.handlers[:], observing.LOGGER.propagate = before[:2]
    observing.LOGGER.setLevel(before[2])


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def post(port: int, body: Any = BODY, **headers: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {KEY}"} | headers
    return httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body, headers=headers)


def test_any_of_several_keys_opens_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEYS", " first-key , second-key,")
    keys = Keys.from_environment("SOME_KEYS")
    assert len(keys) == 2
    assert keys.accept(b"first-key")
    assert keys.accept(b"second-key")
    for wrong in (b"", b"first", b"first-key ", b"FIRST-KEY", b"first-key,second-key", b"\xff"):
        assert not keys.accept(wrong)


def test_an_empty_variable_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", " ", ",, ,"):
        monkeypatch.setenv("SOME_KEYS", value)
        assert not Keys.from_environment("SOME_KEYS")
    assert not Keys().accept(b"")


@pytest.mark.parametrize("key", ["", "two words", "schlüssel", "tab\tkey", "line\n"])
def test_a_key_that_does_not_travel_is_an_error(key: str) -> None:
    with pytest.raises(ConfigError, match="openssl"):
        Keys([key])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.4", "example.org", "127.0.0.1.example.org", "*"])
def test_without_a_key_only_loopback_is_bound(host: str) -> None:
    with pytest.raises(ConfigError, match="SOME_KEYS"):
        require_keys_or_loopback(host, Keys(), keys_env="SOME_KEYS")
    assert "one of 1 keys" in require_keys_or_loopback(host, Keys(["a-key"]), keys_env="SOME_KEYS")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST", "::1", "[::1]"])
def test_loopback_needs_no_key_and_says_so(host: str) -> None:
    assert is_loopback(host)
    assert "only this machine" in require_keys_or_loopback(host, Keys(), keys_env="SOME_KEYS")


@pytest.mark.parametrize("authorization", ["", "Bearer", f"Basic {KEY}", KEY, f"Bearer {KEY}x", f"Bearer {KEY},{KEY}"])
def test_other_authorizations_are_refused(authorization: str) -> None:
    with serving(gateway()) as port:
        assert post(port, authorization=authorization).status_code == 401
        assert post(port, authorization=f"bearer  {KEY}").status_code == 200


def test_without_a_key_another_name_than_loopbacks_is_refused() -> None:
    with serving(gateway(keys=())) as port:
        assert post(port).status_code == 200
        assert post(port, host=f"localhost:{port}").status_code == 200
        assert post(port, host="[::1]:8000").status_code == 200
        for name in ("rebound.example.org", "127.0.0.1.example.org", "", "[", f"10.0.0.1:{port}"):
            response = post(port, host=name)
            assert (response.status_code, response.json()["error"]["code"]) == (403, "host_not_allowed")


def test_a_body_is_refused_by_what_it_declares_before_it_is_read() -> None:
    with serving(gateway(limits=LimitsConfig(body_mb=1))) as port, socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
            f"content-type: application/json\r\ncontent-length: {2**20 + 1}\r\n\r\n".encode()
        )
        assert raw.recv(4096).startswith(b"HTTP/1.1 413")  # not one byte of the body was sent


def test_a_streamed_body_is_refused_as_soon_as_it_is_too_long() -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 2**30:
            sent += 2**16
            yield bytes(2**16)

    with serving(gateway(engine := ScriptedEngine(), limits=LimitsConfig(body_mb=1))) as port:
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        try:
            response = httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", content=endless(), headers=headers)
        except httpx.NetworkError:  # the server hung up while we were sending, which is its right
            pass
        else:
            assert response.status_code == 413
        assert sent < 2**28
        assert engine.asked == []
        assert post(port).status_code == 200


def test_request_ids_go_through_or_are_drawn() -> None:
    with serving(gateway(engine := ScriptedEngine())) as port:
        assert post(port, **{"x-request-id": "abc-1.2:3_X"}).headers["x-request-id"] == "abc-1.2:3_X"
        assert engine.asked[0].request_id == "abc-1.2:3_X"
        drawn = post(port).headers["x-request-id"]
        assert len(drawn) == 32
        for bad in ("a b", "x" * 129, "<script>", "ü".encode("latin-1").decode("latin-1"), ""):
            headers = {"authorization": f"Bearer {KEY}", "x-request-id": bad.encode("latin-1")}
            response = httpx.get(f"http://127.0.0.1:{port}/v1/models", headers=headers)
            assert len(response.headers["x-request-id"]) == 32


def test_behind_serve_the_proxy_sends_the_id() -> None:
    from kpray.serving.telemetry import Telemetry

    with serving(gateway(behind_serve=True, telemetry=Telemetry())) as port:
        assert "x-request-id" not in post(port).headers


def test_the_log_has_one_line_a_request_without_content(log: io.StringIO) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": [image_part(picture())]}]}
    with serving(gateway()) as port:
        post(port, body, **{"x-request-id": "first"})
        post(port, {"model": "a private model"})
        httpx.get(f"http://127.0.0.1:{port}/a%0Ab?key={KEY}")
        wait_until(lambda: len(log.getvalue().splitlines()) == 3)
    good, bad, unknown = lines(log)
    assert (good["event"], good["request_id"], good["route"]) == ("request", "first", "/v1/chat/completions")
    assert (good["status"], good["code"], good["model"], good["images"]) == (200, "", "tiny", 1)
    assert (good["prompt_tokens"], good["completion_tokens"]) == (11, 1)
    assert 0 < good["first_token_s"] <= good["seconds"]
    assert (bad["status"], bad["code"], bad["model"]) == (422, "invalid_value", "")
    assert (unknown["status"], unknown["route"], unknown["path"]) == (401, "other", "/a\nb")
    assert "private" not in log.getvalue()
    assert KEY not in log.getvalue()


def test_content_is_logged_where_it_is_asked_for(log: io.StringIO) -> None:
    content = [{"type": "text", "text": "what is this?"}, image_part(picture())]
    with serving(gateway(address=AddressConfig(log_content=True))) as port:
        post(port, {"model": "tiny", "messages": [{"role": "user", "content": content}]})
        wait_until(lambda: bool(log.getvalue()))
    logged = lines(log)[0]["content"]
    assert logged["messages"] == [{"role": "user", "parts": ["what is this?", "<image/png 64 x 48>"]}]
    assert logged["answer"] == "what is this? <image/png 64x48> "


@pytest.mark.parametrize("log_content", [False, True])
def test_a_fault_is_logged_with_its_place(log: io.StringIO, log_content: bool) -> None:
    async def fails(request: Any) -> Any:
        raise RuntimeError(f"cannot read {request.messages[0].parts[0]}")
        yield

    app = gateway(ScriptedEngine(script=fails), address=AddressConfig(log_content=log_content))
    with serving(app) as port:
        response = post(port, **{"x-request-id": "faulty"})
        wait_until(lambda: len(log.getvalue().splitlines()) == 2)
    fault, request = lines(log)
    assert (response.status_code, request["status"], request["code"]) == (500, 500, "internal_error")
    assert "faulty" in response.json()["error"]["message"]
    assert "private" not in response.text
    assert (fault["fault"], fault["request_id"]) == ("RuntimeError", "faulty")
    assert fault["where"][-1].endswith("fails")
    assert ("a private question" in json.dumps(fault)) == log_content
