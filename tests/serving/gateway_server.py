"""A gateway over real HTTP in a thread of the test, in front of engines that a test scripts."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import openai
import uvicorn
from fastapi import FastAPI
from PIL import Image as Pillow

from kpray.serving.access import Keys
from kpray.serving.gateway import build_gateway
from kpray.serving.types import ChatRequest, Delta, Image, ModelCard

Script = Callable[[ChatRequest], AsyncIterator[Delta]]

KEY = "kpray-test-key-1"


async def echo(request: ChatRequest) -> AsyncIterator[Delta]:
    """Says what it was asked, word by word."""
    parts = request.messages[-1].parts
    words = [p if isinstance(p, str) else f"<{p.media_type} {p.width}x{p.height}>" for p in parts]
    for word in words:
        yield Delta(word + " ")
    yield Delta("", "stop", prompt_tokens=10 + len(request.messages), completion_tokens=len(words))


class ScriptedEngine:
    """An engine whose answers a test writes; counts what is open and keeps what it was asked."""

    def __init__(self, name: str = "tiny", script: Script = echo) -> None:
        self.name, self.script = name, script
        self.open = 0
        self.asked: list[ChatRequest] = []
        self.kept: list[AsyncIterator[Delta]] = []  # so that none is closed by being collected
        self.healthy = True

    def card(self) -> ModelCard:
        return ModelCard(self.name, 1_700_000_000, "transformers", 2048, {"base": "tiny-base", "steps": 12})

    def answer(self, request: ChatRequest) -> AsyncIterator[Delta]:
        self.kept.append(self._answer(request))
        return self.kept[-1]

    async def _answer(self, request: ChatRequest) -> AsyncIterator[Delta]:
        self.asked.append(request)
        self.open += 1
        try:
            async for delta in self.script(request):
                yield delta
        finally:
            self.open -= 1

    async def check_health(self) -> None:
        if not self.healthy:
            raise RuntimeError("secret-reason")


async def for_ever(request: ChatRequest) -> AsyncIterator[Delta]:
    """A piece every 10 ms, without end."""
    while True:
        yield Delta("word ")
        await asyncio.sleep(0.01)


async def silent(request: ChatRequest) -> AsyncIterator[Delta]:
    """Thinks without end."""
    await asyncio.Event().wait()
    yield Delta("never")


def wait_until(true: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[int]:
    """Serve an application on a free port of loopback, and yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: server.run(sockets=[listening]), daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)


def gateway(*engines: ScriptedEngine, keys: tuple[str, ...] = (KEY,), **options: Any) -> FastAPI:
    """A gateway in front of engines; of one that echoes, if none is given."""
    return build_gateway({e.name: e for e in engines or (ScriptedEngine(),)}, keys=Keys(keys), **options)


def client(port: int, **options: Any) -> openai.OpenAI:
    """The official client."""
    options = {"api_key": KEY, "max_retries": 0, "timeout": 30} | options
    return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", **options)


def picture(width: int = 64, height: int = 48, kind: str = "PNG", **options: Any) -> bytes:
    """A picture's file."""
    file = io.BytesIO()
    Pillow.radial_gradient("L").resize((width, height)).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def data_uri(encoded: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(encoded).decode()}"


def image_part(encoded: bytes) -> dict[str, Any]:
    """A message's part with a picture."""
    return {"type": "image_url", "image_url": {"url": data_uri(encoded)}}


def images_of(request: ChatRequest) -> list[Image]:
    return [part for message in request.messages for part in message.parts if isinstance(part, Image)]
