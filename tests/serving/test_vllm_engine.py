"""Requests as vLLM reads them, and its lines as they come back. With vLLM itself: tests/vllm."""

from __future__ import annotations

import json

import pytest

from kpray.serving.engines.vllm_wire import Chunk, openai_body, read_line
from kpray.serving.errors import ApiError
from kpray.serving.types import ChatMessage, ChatRequest, ChatSampling, Image


def request(*parts: str | Image, **sampling: object) -> ChatRequest:
    drawn = ChatSampling(**({"temperature": 0.5, "top_p": 0.9, "max_tokens": 7} | sampling))  # type: ignore[arg-type]
    return ChatRequest("r-1", "tuned", (ChatMessage("system", ("Be brief.",)), ChatMessage("user", parts)), drawn)


def test_pictures_and_texts_keep_their_order() -> None:
    body = openai_body(request("first", Image(b"abc", "image/png", 1, 1), "last"))
    system, user = body["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert user["content"] == [
        {"type": "text", "text": "first"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,YWJj"}},
        {"type": "text", "text": "last"},
    ]
    assert (body["model"], body["temperature"], body["top_p"], body["max_completion_tokens"]) == ("tuned", 0.5, 0.9, 7)
    assert {"seed", "stop", "response_format"}.isdisjoint(body)


def test_what_is_asked_for_is_passed_on() -> None:
    body = openai_body(request("text", seed=0, stop=("###",), json_schema={"type": "object"}))
    assert (body["seed"], body["stop"]) == (0, ["###"])
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_lines_become_pieces() -> None:
    line = {
        "id": "x",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": None}],
    }
    chunk = read_line(f"data: {json.dumps(line)}\n\n")
    assert isinstance(chunk, Chunk)
    assert chunk.choices[0].delta.content == "Hi"
    last = read_line('data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}')
    assert isinstance(last, Chunk)
    assert (last.choices, last.usage and last.usage.completion_tokens) == ((), 2)
    assert read_line("data: [DONE]\n\n") == Chunk()


@pytest.mark.parametrize(
    ("message", "code", "status", "told"),
    [
        ("This model's maximum context length is 256 tokens.", 400, 400, "context_length_exceeded"),
        ("tiny is not a multimodal model", 400, 400, "invalid_prompt"),
        ("CUDA error at /somewhere/kernel.cu", 500, 503, "engine_failed"),
    ],
)
def test_only_the_requests_own_faults_are_told(message: str, code: int, status: int, told: str) -> None:
    error = read_line("data: " + json.dumps({"error": {"message": message, "code": code}}))
    assert isinstance(error, ApiError)
    assert (error.status, error.code) == (status, told)
    assert (message in error.message) is (status == 400)
