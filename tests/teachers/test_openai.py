from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from openai_server import KEY, OpenAIServer

from kpray.config import TeacherConfig
from kpray.errors import TeacherError, TeacherStoppedError, TeacherUnavailableError
from kpray.schemas import Message, Reply, Request, Sampling
from kpray.teachers.openai import OpenAITeacher, Secret, key_from_environment


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_faults(server: OpenAIServer) -> None:
    server.set_faults()


SCHEMA = {"type": "object", "properties": {"description": {"type": "string"}}, "required": ["description"]}
REQUEST = Request(
    "detailed",
    "7",
    (Message("system", "Describe."), Message("user", "person: [0.1, 0.2, 0.3, 0.4]")),
    "openai/gpt-4o",
    Sampling(temperature=0.2, top_p=0.9, max_tokens=300, seed=5),
    SCHEMA,
)


def ask(server: OpenAIServer, request: Request = REQUEST, *, key: str = KEY, **settings: Any) -> Reply:
    async def once() -> Reply:
        config = TeacherConfig(name="openai", base_url=server.base_url, **{"max_retries": 0, **settings})
        teacher = OpenAITeacher(config, Secret(key))
        try:
            return await teacher.ask(request)
        finally:
            await teacher.aclose()

    return asyncio.run(once())


def preflight(base_url: str, key: str = KEY) -> None:
    async def once() -> None:
        teacher = OpenAITeacher(TeacherConfig(name="openai", base_url=base_url), Secret(key))
        try:
            await teacher.preflight()
        finally:
            await teacher.aclose()

    asyncio.run(once())


def test_a_reply_with_its_usage(server: OpenAIServer) -> None:
    reply = ask(server)
    assert reply.request_id == REQUEST.request_id
    assert reply.text.startswith('{"description"')
    assert (reply.finish_reason, reply.error, reply.model) == ("stop", None, "gpt-4o-2024-08-06")
    assert reply.usage is not None
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.completion_tokens > 0
    assert reply.usd is None


def test_everything_is_sent_as_asked(server: OpenAIServer) -> None:
    ask(server)
    body = server.stats()["last_body"]
    assert body["model"] == "gpt-4o"
    assert body["messages"] == [{"role": m.role, "content": m.content} for m in REQUEST.messages]
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["seed"]) == (0.2, 0.9, 300, 5)
    assert body["response_format"]["json_schema"] == {"name": "detailed", "strict": True, "schema": SCHEMA}


def test_what_is_not_set_is_left_to_the_server(server: OpenAIServer) -> None:
    ask(server, Request("detailed", "7", REQUEST.messages, "openai/gpt-4o", Sampling()))
    assert set(server.stats()["last_body"]) == {"model", "messages"}


def test_a_busy_server_is_asked_again(server: OpenAIServer) -> None:
    before = server.stats()
    server.set_faults({"status": 429, "retry_after": 0.1}, {"status": 500})
    assert ask(server, max_retries=3).finish_reason == "stop"
    assert server.stats()["requests"] - before["requests"] == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_stays_busy_leaves_the_request_for_later(server: OpenAIServer, status: int) -> None:
    server.set_faults({"status": status, "times": 9})
    with pytest.raises(TeacherUnavailableError, match="also after retries"):
        ask(server)


def test_a_used_up_quota_stops_the_run(server: OpenAIServer) -> None:
    server.set_faults({"status": 429, "code": "insufficient_quota", "message": "You exceeded your quota"})
    with pytest.raises(TeacherStoppedError, match="quota is used up.*You exceeded"):
        ask(server)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_key_or_model_that_does_not_work_stops_the_run(server: OpenAIServer, status: int) -> None:
    server.set_faults({"status": status, "message": "no such thing"})
    with pytest.raises(TeacherStoppedError, match="no such thing"):
        ask(server)


@pytest.mark.parametrize("status", [400, 422])
def test_a_request_that_the_server_will_never_answer_is_a_reply(server: OpenAIServer, status: int) -> None:
    server.set_faults({"status": status, "message": "content policy"})
    reply = ask(server)
    assert (reply.finish_reason, reply.text) == ("error", "")
    assert "content policy" in (reply.error or "")


def test_a_refusal_keeps_its_words_and_its_tokens(server: OpenAIServer) -> None:
    server.set_faults({"refusal": "I cannot help with that.", "text": None})
    reply = ask(server)
    assert (reply.finish_reason, reply.error, reply.text) == ("refusal", "I cannot help with that.", "")
    assert reply.usage is not None


def test_a_cut_reply_says_so(server: OpenAIServer) -> None:
    server.set_faults({"text": '{"description": "One pers', "finish_reason": "length"})
    assert ask(server).finish_reason == "length"


def test_preflight_passes_with_a_working_key(server: OpenAIServer) -> None:
    before = server.stats()
    preflight(server.base_url)
    assert server.stats().get("requests") == before.get("requests")  # it asked for no completion


def test_preflight_names_a_refused_key(server: OpenAIServer) -> None:
    with pytest.raises(TeacherError, match="refuses the key in OPENAI_API_KEY: .*Incorrect API key"):
        preflight(server.base_url, key="sk-wrong")


def test_preflight_names_a_server_that_is_not_there() -> None:
    with pytest.raises(TeacherError, match="cannot reach http://127.0.0.1:9/v1"):
        preflight("http://127.0.0.1:9/v1")


def test_the_key_is_needed_for_openai_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(TeacherError, match="set OPENAI_API_KEY, or name another server"):
        key_from_environment(None)
    key_from_environment("http://localhost:8000/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    key = key_from_environment(None)
    assert key.reveal() == "sk-canary"
    assert "canary" not in f"{key!r} {key}"
