from __future__ import annotations

import json
import pickle

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.model import Model

from kpray.serving.errors import ApiError, overloaded
from kpray.serving.openai_api.faults import error_response, internal_error
from kpray.serving.openai_api.responses import DONE, Answer, error_event, model_object
from kpray.serving.types import Delta, ModelCard

ANSWER = Answer("chatcmpl-1", 1_700_000_000, "tiny")
LAST = Delta("", "length", prompt_tokens=5, completion_tokens=7)


def events(data: bytes) -> list[ChatCompletionChunk]:
    lines = data.decode().split("\n\n")
    assert lines.pop() == ""
    return [ChatCompletionChunk.model_validate_json(line.removeprefix("data: "), strict=True) for line in lines]


def test_a_whole_answer_is_openais_type() -> None:
    got = ChatCompletion.model_validate_json(ANSWER.whole('a "text"\n\u2028', LAST), strict=True)
    assert got.choices[0].message.content == 'a "text"\n\u2028'
    assert got.choices[0].finish_reason == "length"
    assert got.usage is not None
    assert got.usage.total_tokens == 12


def test_events_are_openais_type_in_their_order() -> None:
    stream = ANSWER.opening() + ANSWER.piece(Delta("a\n\nb\r")) + ANSWER.piece(LAST) + ANSWER.closing_usage(LAST)
    opening, text, finish, counted = events(stream)
    assert (opening.choices[0].delta.role, opening.choices[0].delta.content) == ("assistant", "")
    assert text.choices[0].delta.content == "a\n\nb\r"
    assert (finish.choices[0].finish_reason, finish.choices[0].delta.content) == ("length", None)
    assert counted.choices == []
    assert counted.usage is not None
    assert (counted.usage.prompt_tokens, counted.usage.completion_tokens) == (5, 7)
    assert DONE == b"data: [DONE]\n\n"


def test_a_last_piece_with_text_is_two_events_and_an_empty_one_none() -> None:
    text, finish = events(ANSWER.piece(Delta("end", "stop")))
    assert text.choices[0].finish_reason is None
    assert finish.choices[0].finish_reason == "stop"
    assert ANSWER.piece(Delta("")) == b""


def test_a_models_card_is_openais_type_with_its_lineage() -> None:
    import msgspec

    card = ModelCard("tiny", 5, "vllm", 2048, {"steps": 3})
    got = Model.model_validate_json(msgspec.json.encode(model_object(card)), strict=True)
    assert (got.id, got.created, got.model_extra) == (
        "tiny",
        5,
        {"engine": "vllm", "max_tokens": 2048, "lineage": {"steps": 3}},
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_errors_have_openais_form(status: int, kind: str) -> None:
    response = error_response(ApiError(status, "said", code="some_code", param="here"), {})
    wanted = {"error": {"message": "said", "type": kind, "param": "here", "code": "some_code"}}
    assert (response.status_code, json.loads(bytes(response.body))) == (status, wanted)
    assert response.headers["content-type"] == "application/json"


def test_retry_after_is_a_header_also_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(overloaded("full", retry_after_s=4)))
    assert error_response(error, {}).headers["retry-after"] == "4"


def test_an_error_in_a_stream_is_one_event() -> None:
    assert json.loads(error_event(internal_error("abc")).decode().removeprefix("data: "))["error"]["code"] == (
        "internal_error"
    )
