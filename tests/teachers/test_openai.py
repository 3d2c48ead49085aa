from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import openai
import pytest
from openai_server import KEY, OpenAIServer

from kpray.config import TeacherConfig
from kpray.errors import TeacherBusyError, TeacherError, TeacherStoppedError, TeacherUnavailableError
from kpray.schemas import Message, Reply, Request, Sampling, Usage
from kpray.teachers.completions import read_error, read_reply, request_body
from kpray.teachers.openai import OpenAITeacher, Secret, key_from_environment, retry_after_s


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_faults(server: OpenAIServer) -> None:
    server.set_faults()
    server.change(requests_per_minute=None, tokens_per_minute=None, latency_s=0.0)


SCHEMA = {"type": "object", "properties": {"description": {"type": "string"}}, "required": ["description"]}
REQUEST = Request(
    "detailed",
    "7",
    (Message("system", "Describe."), Message("user", 'person "Zoë": [0.1, 0.2]\n\ttab \u007f \u2028 💃')),
    "openai/gpt-4o",
    Sampling(temperature=0.2, top_p=0.9, max_tokens=300, seed=5),
    SCHEMA,
)
PLAIN = Request("detailed", "7", REQUEST.messages, "openai/gpt-4o", Sampling())


class PerToken:
    """A price of a dollar a token."""

    def usd(self, usage: Usage | None) -> float | None:
        return None if usage is None else float(usage.prompt_tokens + usage.completion_tokens)


def teacher_of(server: OpenAIServer, *, key: str = KEY, price: Any = None, **settings: Any) -> OpenAITeacher:
    config = TeacherConfig(name="openai", base_url=server.base_url, **settings)
    return OpenAITeacher(config, Secret(key), price=price)


async def ask_with(teacher: OpenAITeacher, request: Request, times: int = 1) -> Reply:
    try:
        return [await teacher.ask(request) for _ in range(times)][-1]
    finally:
        await teacher.aclose()


def ask(server: OpenAIServer, request: Request = REQUEST, **settings: Any) -> Reply:
    return asyncio.run(ask_with(teacher_of(server, **settings), request))


def fault(server: OpenAIServer, expected: type[TeacherError], **fault: Any) -> Any:
    server.set_faults(fault)
    with pytest.raises(expected) as caught:
        ask(server)
    return caught.value


# --- what is sent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [REQUEST, PLAIN], ids=["everything", "nothing but the messages"])
@pytest.mark.parametrize("own_server", [True, False])
def test_the_body_is_the_official_clients(server: OpenAIServer, request_: Request, own_server: bool) -> None:
    ours = request_body(request_, model="gpt-4o", own_server=own_server)

    async def official() -> None:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client:
            await client.chat.completions.create(**msgspec.to_builtins(ours))

    asyncio.run(official())
    theirs = server.stats()["last_text"]
    assert msgspec.json.decode(theirs) == msgspec.json.decode(msgspec.json.encode(ours))
    # The order of the keys is another with every version of the client; within the messages it is the same bytes.
    assert msgspec.json.encode(request_.messages).decode() in theirs


def test_everything_is_sent_as_asked(server: OpenAIServer) -> None:
    ask(server)
    body = server.stats()["last_body"]
    assert body["model"] == "gpt-4o"
    assert body["messages"] == [{"role": m.role, "content": m.content} for m in REQUEST.messages]
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["seed"]) == (0.2, 0.9, 300, 5)
    assert body["response_format"]["json_schema"] == {"name": "detailed", "strict": True, "schema": SCHEMA}


def test_what_is_not_set_is_left_to_the_server(server: OpenAIServer) -> None:
    ask(server, PLAIN)
    assert set(server.stats()["last_body"]) == {"model", "messages"}


def test_openais_own_server_gets_the_limits_new_name() -> None:
    body = request_body(REQUEST, model="gpt-4o", own_server=False)
    assert body["max_completion_tokens"] == 300
    assert "max_tokens" not in body


# --- what comes back ----------------------------------------------------------------------------------------------


def test_a_reply_with_its_usage(server: OpenAIServer) -> None:
    reply = ask(server)
    assert reply.request_id == REQUEST.request_id
    assert reply.text.startswith('{"description"')
    assert (reply.finish_reason, reply.error, reply.model) == ("stop", None, "gpt-4o-2024-08-06")
    assert reply.usage is not None
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.completion_tokens > 0
    assert reply.usd is None


def test_a_price_makes_the_cost(server: OpenAIServer) -> None:
    reply = ask(server, price=PerToken())
    assert reply.usage is not None
    assert reply.usd == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_cached_tokens_are_counted(server: OpenAIServer) -> None:
    messages = (Message("system", "always the same " * 400), Message("user", "and this"))
    request = Request("detailed", "7", messages, "openai/gpt-4o", Sampling())
    assert ask(server, request).usage == Usage(1602, 17, 0)
    assert ask(server, request).usage == Usage(1602, 17, 1536)


def test_a_refusal_keeps_its_words_and_its_tokens(server: OpenAIServer) -> None:
    server.set_faults({"refusal": "I cannot help with that.", "text": None})
    reply = ask(server)
    assert (reply.finish_reason, reply.error, reply.text) == ("refusal", "I cannot help with that.", "")
    assert reply.usage is not None


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_reply_that_was_cut_says_so(server: OpenAIServer, reason: str) -> None:
    server.set_faults({"text": '{"description": "One pers', "finish_reason": reason})
    assert ask(server).finish_reason == reason


def test_servers_that_say_little_are_understood() -> None:
    body = b'{"choices": [{"message": {"content": "Hi.", "reasoning": 1}}], "usage": {"prompt_tokens": 3}}'
    reply = read_reply("id", body, latency_s=0.5, price=None)
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish_reason, reply.model) == ("Hi.", "", "")
    assert (reply.usage, reply.latency_s) == (Usage(3, 0, 0), 0.5)


def test_an_answer_without_choices_is_an_error_of_this_request(server: OpenAIServer) -> None:
    server.set_faults({"body": '{"choices": []}'})
    reply = ask(server)
    assert (reply.finish_reason, reply.error) == ("error", "the server sent no choices")


def test_a_page_instead_of_a_completion_is_not_asked_for_again(server: OpenAIServer) -> None:
    error = fault(server, TeacherUnavailableError, body="<html>Welcome</html>")
    assert "expected a chat completion, found b'<html>Welcome</html>'" in str(error)
    assert "Is teacher.base_url right?" in str(error)


@pytest.mark.parametrize(("code", "expected"), [(429, TeacherBusyError), (401, TeacherStoppedError)])
def test_an_error_in_a_successful_answer_counts_as_what_it_says(
    server: OpenAIServer, code: int, expected: type[TeacherError]
) -> None:
    body = msgspec.json.encode({"error": {"message": "upstream", "code": code}}).decode()
    assert "upstream" in str(fault(server, expected, body=body))


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_what_passes_is_worth_another_attempt(server: OpenAIServer, status: int) -> None:
    before = server.stats()["requests"]
    error = fault(server, TeacherBusyError, status=status, message="come again", times=9)
    assert "come again" in str(error)
    assert error.overloaded == (status in (429, 503))
    assert error.retry_after_s is None
    assert server.stats()["requests"] - before == 1  # one call is one attempt


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0.25"}, 0.25),
        ({"Retry-After": "7", "retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "soon"}, None),
    ],
)
def test_how_long_to_wait(server: OpenAIServer, headers: dict[str, str], seconds: float | None) -> None:
    assert fault(server, TeacherBusyError, status=429, headers=headers).retry_after_s == seconds


def test_how_long_to_wait_as_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 80 < (retry_after_s({"retry-after": date}) or 0) <= 90
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


def test_the_server_may_forbid_or_ask_for_another_attempt(server: OpenAIServer) -> None:
    fault(server, TeacherUnavailableError, status=500, headers={"x-should-retry": "false"})
    fault(server, TeacherBusyError, status=400, headers={"x-should-retry": "true"})


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_a_used_up_quota_stops_the_run(server: OpenAIServer, code: str) -> None:
    error = fault(server, TeacherStoppedError, status=429, code=code, message="You exceeded your quota")
    assert f"({code}): You exceeded your quota" in str(error)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405])
def test_a_key_or_model_that_does_not_work_stops_the_run(server: OpenAIServer, status: int) -> None:
    assert "no such thing" in str(fault(server, TeacherStoppedError, status=status, message="no such thing"))


@pytest.mark.parametrize(
    "fault", [{"status": 400}, {"status": 422}, {"status": 413}, {"status": 403, "code": "content_policy_violation"}]
)
def test_a_request_that_the_server_will_never_answer_is_a_reply(server: OpenAIServer, fault: dict[str, Any]) -> None:
    server.set_faults({"message": "content policy", **fault})
    reply = ask(server)
    assert (reply.finish_reason, reply.text, reply.usd) == ("error", "", None)
    assert reply.error == "content policy"


def test_a_connection_without_an_answer_is_busy(server: OpenAIServer) -> None:
    fault(server, TeacherBusyError, drop=True, times=2)


def test_an_answer_that_comes_too_late_is_busy(server: OpenAIServer) -> None:
    server.set_faults({"delay_s": 5})
    with pytest.raises(TeacherBusyError, match=r"no answer within 0\.3 s"):
        ask(server, timeout_s=0.3)


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error": {"message": "m", "code": "c", "type": "t"}}', "m", "c"),
        (b'{"error": {"message": "m", "code": null, "type": "insufficient_quota"}}', "m", "insufficient_quota"),
        (b'{"error": "model not loaded"}', "model not loaded", ""),
        (b'{"object": "error", "message": "m", "code": 404}', "m", ""),
        (b"<html>Bad gateway</html>", "<html>Bad gateway</html>", ""),
        (b"[]", "[]", ""),
    ],
)
def test_errors_are_read_in_every_form(body: bytes, message: str, code: str) -> None:
    assert read_error(body) == (message, code)


def test_varied_replies_depend_on_the_body_alone(server: OpenAIServer) -> None:
    server.change(varied=True)
    requests = [msgspec.structs.replace(REQUEST, messages=(Message("user", f"{i}"),)) for i in range(20)]
    first, second = ([ask(server, request).text for request in requests] for _ in range(2))
    server.change(varied=False)
    assert first == second
    assert len(set(map(len, first))) > 5


# --- limits, preflight, key ---------------------------------------------------------------------------------------


def test_the_servers_limits_are_noted_also_from_a_refusal(server: OpenAIServer) -> None:
    teacher = teacher_of(server)
    asyncio.run(ask_with(teacher, REQUEST))
    assert teacher.server_limits is None
    server.change(requests_per_minute=60, tokens_per_minute=90_000, burst_s=1.0)
    with pytest.raises(TeacherBusyError) as caught:
        asyncio.run(ask_with(teacher, REQUEST, times=2))
    assert caught.value.overloaded
    assert 0 < (caught.value.retry_after_s or 0) <= 1
    assert teacher.server_limits is not None
    assert teacher.server_limits.requests_per_minute == 60
    assert teacher.server_limits.tokens_per_minute == 90_000


def preflight(base_url: str, key: str = KEY) -> None:
    async def once() -> None:
        teacher = OpenAITeacher(TeacherConfig(name="openai", base_url=base_url), Secret(key))
        try:
            await teacher.preflight()
        finally:
            await teacher.aclose()

    asyncio.run(once())


def test_preflight_passes_with_a_working_key(server: OpenAIServer) -> None:
    before = server.stats()
    preflight(server.base_url)
    assert server.stats().get("requests") == before.get("requests")  # it asked for no completion


def test_preflight_passes_where_models_are_not_listed(server: OpenAIServer) -> None:
    preflight(f"{server.base_url}/elsewhere")


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
