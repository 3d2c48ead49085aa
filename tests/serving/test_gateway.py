from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import openai
import pytest
from gateway_server import (
    KEY,
    ScriptedEngine,
    client,
    for_ever,
    gateway,
    image_part,
    images_of,
    picture,
    serving,
    silent,
    wait_until,
)

from kpray.serving.config import LimitsConfig
from kpray.serving.errors import ApiError, overloaded
from kpray.serving.types import ChatRequest, Delta

HELLO: Any = [{"role": "user", "content": "hello there"}]


@contextlib.contextmanager
def served(*engines: ScriptedEngine, **options: Any) -> Iterator[tuple[httpx.Client, openai.OpenAI]]:
    with serving(gateway(*engines, **options)) as port:
        headers = {"authorization": f"Bearer {KEY}"}
        plain = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30)
        with plain, client(port) as official:
            yield plain, official


def chat(plain: httpx.Client, **fields: Any) -> httpx.Response:
    return plain.post("/v1/chat/completions", json={"model": "tiny", "messages": HELLO} | fields)


def test_the_official_client_lists_models_with_their_lineage() -> None:
    with served(ScriptedEngine("tiny"), ScriptedEngine("org/base")) as (_, official):
        assert [m.id for m in official.models.list()] == ["tiny", "org/base"]
        model = official.models.retrieve("org/base")
        assert model.created == 1_700_000_000
        assert model.model_extra is not None
        assert model.model_extra["lineage"] == {"base": "tiny-base", "steps": 12}


def test_the_official_client_chats() -> None:
    engine = ScriptedEngine()
    with served(engine) as (_, official):
        answer = official.chat.completions.create(
            model="tiny",
            messages=HELLO,
            temperature=0,
            top_p=0.5,
            max_completion_tokens=7,
            seed=3,
            stop=["END"],
            user="someone",
            metadata={"run": "1"},
            response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
            extra_headers={"x-request-id": "my-id.1"},
        )
    assert answer.choices[0].message.content == "hello there "
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 1, 12)
    assert answer.id == "chatcmpl-my-id.1"
    assert answer._request_id == "my-id.1"
    drawn = engine.asked[0].sampling
    assert (drawn.temperature, drawn.top_p, drawn.max_tokens, drawn.seed) == (0, 0.5, 7, 3)
    assert (drawn.stop, drawn.json_schema) == (("END",), {"type": "object"})


def test_an_answer_goes_back_as_history() -> None:
    with served(engine := ScriptedEngine()) as (_, official):
        first = official.chat.completions.create(model="tiny", messages=HELLO).choices[0].message
        history = [*HELLO, first, {"role": "user", "content": "and now?"}]
        official.chat.completions.create(model="tiny", messages=history)
        dumped = [*HELLO, first.model_dump(), {"role": "user", "content": "and now?"}]
        official.chat.completions.create(model="tiny", messages=dumped)
    assert [m.role for m in engine.asked[1].messages] == ["user", "assistant", "user"]
    assert engine.asked[1].messages == engine.asked[2].messages


def test_several_images_reach_the_engine_in_order() -> None:
    content = [
        image_part(picture(40, 30)),
        {"type": "text", "text": "and"},
        image_part(picture(50, 20, "JPEG")),
        image_part(picture(33, 11, "WEBP")),
    ]
    with served(engine := ScriptedEngine()) as (_, official):
        messages: Any = [{"role": "user", "content": content}]
        answer = official.chat.completions.create(model="tiny", messages=messages)
    assert answer.choices[0].message.content == "<image/png 40x30> and <image/jpeg 50x20> <image/webp 33x11> "
    assert images_of(engine.asked[0])[0].encoded == picture(40, 30)


@pytest.mark.parametrize("with_usage", [True, False])
def test_the_official_client_streams(with_usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if with_usage else {}
    with served() as (_, official):
        content: Any = [{"type": "text", "text": word} for word in ("one", "two")]
        messages: Any = [{"role": "user", "content": content}]
        chunks = list(official.chat.completions.create(model="tiny", messages=messages, stream=True, **options))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].delta.content for c in chunks[1:3]] == ["one ", "two "]
    finishing = chunks[3]
    assert finishing.choices[0].finish_reason == "stop"
    assert len({c.id for c in chunks}) == 1
    assert all(c.usage is None for c in chunks[:4])
    if with_usage:
        assert chunks[4].choices == []
        assert chunks[4].usage is not None
        assert chunks[4].usage.total_tokens == 13
    else:
        assert len(chunks) == 4


def test_a_stream_ends_with_done_and_comes_as_events() -> None:
    with served() as (plain, _):
        response = chat(plain, stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.endswith("data: [DONE]\n\n")
    assert all(line.startswith("data: ") for line in response.text.split("\n\n")[:-1])


async def _full(request: ChatRequest) -> AsyncIterator[Delta]:
    raise overloaded("no replica is free", retry_after_s=3)
    yield


async def _fails(request: ChatRequest) -> AsyncIterator[Delta]:
    raise RuntimeError("secret-reason")
    yield


async def _fails_later(request: ChatRequest) -> AsyncIterator[Delta]:
    yield Delta("some ")
    raise RuntimeError("secret-reason")


async def _dies(request: ChatRequest) -> AsyncIterator[Delta]:
    yield Delta("some ")


def test_errors_become_the_official_clients_own() -> None:
    bad: Any = [{"role": "user", "content": [image_part(b"no picture")]}]
    full = ScriptedEngine("full", _full)
    with served(ScriptedEngine(), full, ScriptedEngine("broken", _fails)) as (_, official):
        create = official.chat.completions.create
        with pytest.raises(openai.BadRequestError) as raised:
            create(model="tiny", messages=bad)
        assert (raised.value.code, raised.value.param) == ("invalid_image", "messages[0].content[0]")
        with pytest.raises(openai.NotFoundError, match="there is broken, full, tiny"):
            create(model="other", messages=HELLO)
        with pytest.raises(openai.UnprocessableEntityError, match="temperature"):
            create(model="tiny", messages=HELLO, temperature=9)
        with pytest.raises(openai.AuthenticationError):
            official.with_options(api_key="wrong").models.list()
        with pytest.raises(openai.InternalServerError) as busy:
            create(model="full", messages=HELLO)
        assert (busy.value.status_code, busy.value.response.headers["retry-after"]) == (503, "3")
        with pytest.raises(openai.InternalServerError) as broken:
            create(model="broken", messages=HELLO, stream=True)  # nothing was sent yet, so it has its own status
        assert broken.value.status_code == 500
        assert "secret-reason" not in broken.value.response.text


@pytest.mark.parametrize(("script", "code"), [(_fails_later, "internal_error"), (_dies, "cut")])
def test_a_stream_that_breaks_says_so(script: Any, code: str) -> None:
    with served(ScriptedEngine(script=script)) as (plain, official):
        with pytest.raises(openai.APIError) as raised:
            list(official.chat.completions.create(model="tiny", messages=HELLO, stream=True))
        assert raised.value.code == code
        text = chat(plain, stream=True).text
    assert "[DONE]" not in text
    assert "secret-reason" not in text


def test_an_answer_without_its_end_is_no_answer() -> None:
    with served(ScriptedEngine(script=_dies)) as (plain, _):
        assert chat(plain).status_code == 503


@pytest.mark.parametrize("script", [for_ever, silent])
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_frees_its_place(script: Any, stream: bool) -> None:
    engine = ScriptedEngine(script=script)
    with serving(gateway(engine, at_once=1)) as port:
        body = json.dumps({"model": "tiny", "messages": HELLO, "stream": stream}).encode()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
            connection.sendall(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode())
            connection.sendall(body)
            wait_until(lambda: engine.open == 1)
        wait_until(lambda: engine.open == 0)
        engine.script = ScriptedEngine().script
        wait_until(lambda: _answers(port))


def _answers(port: int) -> bool:
    with client(port) as official:
        try:
            return bool(official.chat.completions.create(model="tiny", messages=HELLO).choices)
        except openai.InternalServerError:
            return False


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_past_its_time_is_closed(stream: bool) -> None:
    engine = ScriptedEngine(script=silent)
    with served(engine, limits=LimitsConfig(seconds=0.2)) as (plain, _):
        response = chat(plain, stream=stream)
        assert response.status_code == 504
        assert response.headers["x-should-retry"] == "false"
        assert engine.open == 0
        engine.script = for_ever
        response = chat(plain, stream=True)
        assert response.status_code == 200
        assert '"code":"too_slow"' in response.text
        assert engine.open == 0


def test_a_client_that_does_not_read_frees_its_place() -> None:
    async def floods(request: ChatRequest) -> AsyncIterator[Delta]:
        while True:
            yield Delta("word " * 10_000)
            await asyncio.sleep(0)

    engine = ScriptedEngine(script=floods)
    with serving(gateway(engine, limits=LimitsConfig(seconds=0.5))) as port:
        body = json.dumps({"model": "tiny", "messages": HELLO, "stream": True}).encode()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
            connection.sendall(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode())
            connection.sendall(body)
            wait_until(lambda: engine.open == 1)
            wait_until(lambda: engine.open == 0)
            wait_until(lambda: 'status="499"' in _figures(port))  # and nothing goes on trying to tell it


def _figures(port: int) -> str:
    return httpx.get(f"http://127.0.0.1:{port}/metrics", headers={"authorization": f"Bearer {KEY}"}).text


def test_more_than_the_places_are_refused_at_once() -> None:
    engine = ScriptedEngine(script=for_ever)
    with served(engine, at_once=2) as (plain, official):
        streams = [official.chat.completions.create(model="tiny", messages=HELLO, stream=True) for _ in range(2)]
        refused = chat(plain)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["error"]["code"] == "overloaded"
        assert plain.get("/v1/models").status_code == 200
        for stream in streams:
            stream.close()
        wait_until(lambda: engine.open == 0)


def test_every_route_but_health_and_the_page_needs_a_key() -> None:
    with served(page=b"<!doctype html><title>kpray</title>") as (plain, _):
        del plain.headers["authorization"]
        public = ("/", "/-/healthz", "/-/ready")
        assert [plain.get(path).status_code for path in public] == [200, 200, 200]
        for path in ("/v1/models", "/v1/models/tiny", "/metrics", "/openapi.json", "/none", "/docs"):
            response = plain.get(path)
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer"), path
            assert response.json()["error"]["type"] == "authentication_error"
        assert plain.post("/v1/chat/completions", content=b"x").status_code == 401
        assert "default-src 'none'" in plain.get("/").headers["content-security-policy"]


def test_ready_is_apart_from_live() -> None:
    engine = ScriptedEngine()
    with served(engine, ScriptedEngine("other")) as (plain, _):
        assert plain.get("/-/ready").json() == {"status": "ready", "parts": {"tiny": True, "other": True}}
        engine.healthy = False
        response = plain.get("/-/ready")
        assert (response.status_code, response.json()["parts"]) == (503, {"tiny": False, "other": True})
        assert "secret-reason" not in response.text
        assert plain.get("/-/healthz").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/v1/chat/completions", 405), ("DELETE", "/v1/models", 405), ("GET", "/", 404)],
)
def test_the_frameworks_errors_are_told_as_openais(method: str, path: str, status: int) -> None:
    with served() as (plain, _):
        response = plain.request(method, path)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert ("allow" in response.headers) == (status == 405)


@pytest.mark.parametrize(
    "headers", [{"content-type": "text/plain"}, {"content-type": "application/json", "content-encoding": "gzip"}]
)
def test_a_body_that_is_not_plain_json_is_415(headers: dict[str, str]) -> None:
    with served() as (plain, _):
        response = plain.post("/v1/chat/completions", content=b"{}", headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_an_engines_api_error_keeps_its_status() -> None:
    async def too_long(request: ChatRequest) -> AsyncIterator[Delta]:
        raise ApiError(400, "the prompt has 3,000 tokens; expected 2,048", code="context_length_exceeded")
        yield

    with served(ScriptedEngine(script=too_long)) as (plain, _):
        response = chat(plain, stream=True)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")
