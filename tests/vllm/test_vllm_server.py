"""The `openai` teacher asks a vLLM server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("vllm.version")  # this folder alone would pass for a `vllm`

from vllm_runs import run_of_synthetic_scenes, settings_for

from kpray.config import TeacherConfig
from kpray.pipelines.missing import all_requests
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.shards import ShardFiles
from kpray.schemas import Reply, Sampling
from kpray.teachers.openai import OpenAITeacher, Secret
from kpray.teachers.vllm_chat import Chat

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster"), pytest.mark.filterwarnings("ignore")]

READY_S = 300


@pytest.fixture(scope="module")
def server(tiny_llama: Path) -> Iterator[str]:
    """The base URL of a server that is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = {"--model": str(tiny_llama), "--served-model-name": "tiny", "--host": "127.0.0.1", "--port": str(port)}
    small = {"--max-model-len": "8192", "--dtype": "bfloat16", "--max-num-seqs": "16"}
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager"]
    command += [part for flag in (flags | small).items() for part in flag]
    process = subprocess.Popen(command, env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"})
    try:
        _wait(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended; its words are above"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.5)
    pytest.fail(f"the server was not ready after {READY_S} s")


def test_a_vllm_server_answers_in_the_schema_and_sees_the_same_prompt_as_the_vllm_teacher(
    server: str, tiny_llama: Path, tmp_path: Path
) -> None:
    sampling = Sampling(temperature=1.0, max_tokens=400)
    teacher = TeacherConfig(name="openai", model="tiny", base_url=server, sampling=sampling)
    config = run_of_synthetic_scenes(tmp_path, teacher, kinds=("detailed",))
    recipe = Recipe.of(config, model="openai/tiny", reads_scene=False)
    requests = list(all_requests(ShardFiles.of(config).read_scenes(0), recipe, images=None))

    async def ask_all() -> list[Reply]:
        asking = OpenAITeacher(teacher, Secret("none"))
        try:
            await asking.preflight()
            return await asyncio.gather(*(asking.ask(request) for request in requests))
        finally:
            await asking.aclose()

    chat = Chat(settings_for(tiny_llama))
    for request, reply in zip(requests, asyncio.run(ask_all()), strict=True):
        assert reply.model == "tiny"
        assert reply.usage is not None
        assert reply.usage.prompt_tokens == len(chat.tokens(request.messages))
        if reply.finish_reason == "stop":
            assert json.loads(reply.text).keys() == {"description"}
        else:
            assert (reply.finish_reason, reply.usage.completion_tokens) == ("length", 400)
