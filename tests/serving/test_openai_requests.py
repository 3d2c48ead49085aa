from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema
import pytest
from gateway_server import gateway, image_part, picture

from kpray.serving.config import LimitsConfig
from kpray.serving.errors import ApiError
from kpray.serving.openai_api.chat import to_chat
from kpray.serving.openai_api.requests import read
from kpray.serving.types import ChatMessage, ChatRequest, Image

USER: Any = {"role": "user", "content": "hi"}


def parse(limits: LimitsConfig | None = None, **fields: Any) -> ChatRequest:
    async def fetch(url: str, place: str) -> bytes:
        assert url == "https://pictures.test/a.png"
        return picture(20, 10)

    body = json.dumps({"model": "tiny", "messages": [USER]} | fields).encode()
    return asyncio.run(to_chat(read(body), limits or LimitsConfig(), request_id="id", fetch=fetch))


def refused(limits: LimitsConfig | None = None, **fields: Any) -> ApiError:
    with pytest.raises(ApiError) as raised:
        parse(limits, **fields)
    return raised.value


def test_what_is_not_said_is_as_in_openais_api() -> None:
    drawn = parse().sampling
    assert (drawn.temperature, drawn.top_p, drawn.max_tokens) == (1.0, 1.0, LimitsConfig().output_tokens)
    assert (drawn.seed, drawn.stop, drawn.json_schema) == (None, (), None)


def test_null_is_the_same_as_leaving_out() -> None:
    names = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stop", "stream", "stream_options")
    more = ("response_format", "n", "tools", "tool_choice", "logit_bias", "logprobs", "user", "metadata")
    assert parse(**dict.fromkeys(names + more)) == parse()


@pytest.mark.parametrize(
    "harmless",
    [
        {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "safety_identifier": "s"},
        {"prompt_cache_key": "k", "parallel_tool_calls": False, "prompt_cache_retention": "24h"},
        {"n": 1, "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "logprobs": False},
        {"top_logprobs": 0, "tools": [], "tool_choice": "none", "functions": [], "modalities": ["text"]},
        {"response_format": {"type": "text"}, "stream": False},
    ],
)
def test_what_changes_nothing_is_accepted(harmless: dict[str, Any]) -> None:
    assert parse(**harmless) == parse()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"n": 2}, "one answer"),
        ({"frequency_penalty": 0.5}, "penalties"),
        ({"presence_penalty": -1}, "penalties"),
        ({"logit_bias": {"5": 1}}, "single tokens"),
        ({"logprobs": True}, "log probabilities"),
        ({"top_logprobs": 3}, "log probabilities"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "no tools"),
        ({"tool_choice": "required"}, "no tools"),
        ({"functions": [{"name": "f"}]}, "no tools"),
        ({"modalities": ["text", "audio"]}, "text only"),
        ({"audio": {"voice": "x"}}, "neither hears"),
        ({"reasoning_effort": "high"}, "reasoning effort"),
        ({"web_search_options": {}}, "search the web"),
        ({"messages": [{"role": "user", "name": "Ann", "content": "hi"}]}, "participants"),
        ({"messages": [{"role": "assistant", "content": "a", "tool_calls": [{"id": "1"}]}, USER]}, "no tools"),
    ],
)
def test_what_would_change_the_answer_is_refused_in_a_sentence(fields: dict[str, Any], words: str) -> None:
    error = refused(**fields)
    assert (error.status, error.code) == (400, "unsupported_parameter")
    assert words in error.message
    assert error.param is not None
    assert error.message.startswith(error.param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temprature": 1}, "temprature"),
        ({"model": 3}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "system", "content": [image_part(b"")]}, USER]}, "messages[0].content[0].type"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"seed": 2**63}, "seed"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
    ],
)
def test_what_has_another_form_is_422_with_its_place(fields: dict[str, Any], param: str) -> None:
    error = refused(**fields)
    assert (error.status, error.param) == (422, param)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"model": "tiny", "messages": [{"role": "user", "content": "\xff"}]}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "tiny", "temperature": NaN}',
        b'{"model": "tiny", "metadata": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
        b"\xef\xbb\xbf{}",
        b'{"model": "tiny" "messages": []}',
    ],
)
def test_what_is_not_json_is_400_or_422(body: bytes) -> None:
    with pytest.raises(ApiError) as raised:
        read(body)
    assert raised.value.status in (400, 422)


def test_messages_keep_their_order_and_parts() -> None:
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [image_part(picture(8, 9)), {"type": "text", "text": "what?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "a ring"}], "refusal": None},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://pictures.test/a.png"}}]},
    ]
    got = parse(messages=messages).messages
    assert got[0] == ChatMessage("system", ("be brief",))
    assert got[1] == ChatMessage("user", (Image(picture(8, 9), "image/png", 8, 9), "what?"))
    assert got[2] == ChatMessage("assistant", ("a ring",))
    assert got[3] == ChatMessage("user", (Image(picture(20, 10), "image/png", 20, 10),))


def test_limits_are_told_with_their_numbers() -> None:
    two = [{"role": "user", "content": [image_part(picture())] * 2}]
    for limits, fields, words in (
        (LimitsConfig(messages=1), {"messages": [USER] * 2}, "at most 1 messages, found 2"),
        (LimitsConfig(images=1), {"messages": two}, "at most 1 pictures, found 2"),
        (LimitsConfig(output_tokens=9), {"max_tokens": 10}, "at most 9 tokens to be asked for, found 10"),
    ):
        error = refused(limits, **fields)
        assert (error.status, error.code) == (400, "limit_exceeded")
        assert words in error.message
    assert refused(LimitsConfig(image_megapixels=0.003), messages=two).status == 413
    assert refused(LimitsConfig(image_mb=0.0001), messages=two).status == 413


def test_the_user_has_the_last_word() -> None:
    assert refused(messages=[USER, {"role": "assistant", "content": "a"}]).param == "messages"


def test_two_names_of_one_limit_have_to_agree() -> None:
    assert parse(max_tokens=5, max_completion_tokens=5).sampling.max_tokens == 5
    assert refused(max_tokens=5, max_completion_tokens=6).status == 400


def test_formats_become_schemas() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}}
    assert parse(response_format=wanted).sampling.json_schema == schema
    assert parse(response_format={"type": "json_object"}).sampling.json_schema == {"type": "object"}


def test_stream_options_need_a_stream() -> None:
    assert refused(stream_options={"include_usage": True}).param == "stream_options"


def test_the_description_is_true() -> None:
    """What the OpenAPI text allows is read, and what it forbids is refused."""
    text = gateway().openapi()
    wanted = text["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator(wanted | {"components": text["components"]})
    good: Any = {"model": "tiny", "messages": [USER]}
    fields: list[dict[str, Any]] = [
        {"n": 1},
        {"n": 2},
        {"tools": [{}]},
        {"tools": None},
        {"temperature": 0},
        {"temperature": 3},
        {"stop": ["a", "b"]},
        {"stop": [""]},
        {"logprobs": True},
        {"unknown": 1},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        {"messages": [{"role": "tool", "content": "a"}]},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "!", "schema": {}}}},
    ]
    for more in fields:
        described = validator.is_valid(good | more)
        try:
            read(json.dumps(good | more).encode())
        except ApiError:
            assert not described, more
        else:
            assert described, more


def test_the_description_asks_for_a_key_only_where_one_is_needed() -> None:
    assert gateway().openapi()["security"] == [{"key": []}]
    assert "security" not in gateway(keys=()).openapi()
