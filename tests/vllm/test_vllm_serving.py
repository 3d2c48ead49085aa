"""The same address in front of vLLM: a tiny model answers through Ray Serve, on a CPU."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm.version")  # this folder alone would pass for a `vllm`
pytest.importorskip("fastapi")

import httpx
import openai
from vllm_runs import SMALL_ENGINE

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster"), pytest.mark.filterwarnings("ignore")]

SCHEMA = {
    "type": "object",
    "properties": {"arm": {"enum": ["left", "right"]}},
    "required": ["arm"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def client(tiny_llama: Path, ray_cluster: None) -> Iterator[openai.OpenAI]:
    from ray import serve

    from kpray.serving.model_app import build_app

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = {
        "name": "tiny",
        "path": str(tiny_llama),
        "engine": "vllm",
        "max_length": 256,
        "dtype": "bfloat16",
        "batch_size": 8,
        "engine_args": {key: value for key, value in SMALL_ENGINE.items() if key != "max_num_seqs"},
    }
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(build_app({"models": [model]}), name="kpray", route_prefix="/")
    yield openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=120)
    serve.shutdown()


def ask(client: openai.OpenAI, text: str, **more: Any) -> Any:
    messages: Any = [{"role": "user", "content": text}]
    return client.chat.completions.create(model="tiny", messages=messages, **{"max_tokens": 12, **more})


def test_it_answers_and_counts(client: openai.OpenAI) -> None:
    reply = ask(client, "Describe the pose.", temperature=0)
    assert reply.choices[0].message.content
    assert reply.choices[0].finish_reason in ("stop", "length")
    assert reply.usage.completion_tokens <= 12
    assert client.models.list().data[0].model_extra["engine"] == "vllm"


def test_the_stream_says_the_same_piece_by_piece(client: openai.OpenAI) -> None:
    whole = ask(client, "Describe the pose.", temperature=0)
    chunks = list(ask(client, "Describe the pose.", temperature=0, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert len(chunks) > 6
    assert chunks[-1].usage == whole.usage


def test_an_answer_keeps_to_a_schema(client: openai.OpenAI) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "arm", "schema": SCHEMA}}
    drawn = [
        ask(client, "Which arm?", response_format=form, max_tokens=100, temperature=1, seed=seed) for seed in range(12)
    ]
    choices = [reply.choices[0] for reply in drawn]
    whole = [json.loads(choice.message.content) for choice in choices if choice.finish_reason == "stop"]
    assert whole  # others are blanks between the signs, up to their length: the model is random
    assert all(answer["arm"] in ("left", "right") for answer in whole)
    assert all(choice.message.content.lstrip().startswith("{") for choice in choices)


def test_a_long_answer_ends_where_the_model_ends_and_a_long_prompt_is_refused(client: openai.OpenAI) -> None:
    reply = ask(client, "Describe the pose.", max_tokens=1000, temperature=1.5, seed=1)
    assert reply.usage.total_tokens <= 256
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "left arm " * 300)
    assert caught.value.code == "context_length_exceeded"


def test_what_the_model_cannot_take_is_the_clients_error(client: openai.OpenAI) -> None:
    one_pixel = (
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5"
        "ErkJggg=="
    )
    parts: Any = [{"type": "image_url", "image_url": {"url": one_pixel}}]
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": parts}], max_tokens=3)
    assert httpx.get(f"{str(client.base_url).removesuffix('/v1/')}/-/ready").json() == {
        "status": "ready",
        "parts": {"tiny": True},
    }
