"""vLLM serves what `kpray train` exports, and answers as transformers does."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm.version")  # this folder alone would pass for a `vllm`

from tuned_llava import QUESTION, TOKENS

if find_spec("torchvision") is None:
    pytest.skip("vLLM's LLaVA needs torchvision", allow_module_level=True)

SCRIPT = Path(__file__).with_name("tuned_llava.py")
TRAINING = SCRIPT.parents[2] / ".venv" / "bin" / "python"
READY_S = 600


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an exported model, made in the environment of training, which vLLM's cannot be."""
    if not TRAINING.exists():
        pytest.skip("the model is made with `make venv`")
    folder = tmp_path_factory.mktemp("tuned")
    subprocess.run([TRAINING, SCRIPT, folder], check=True, timeout=600)
    return folder


@pytest.fixture(scope="module")
def server(tuned: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    flags = {"--model": str(tuned / "model"), "--served-model-name": "tuned", "--host": "127.0.0.1"}
    flags |= {"--port": address.rpartition(":")[2], "--max-model-len": "1024", "--max-num-seqs": "8"}
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager", "--dtype", "float32"]
    command += [part for flag in flags.items() for part in flag]
    process = subprocess.Popen(command, env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"})
    try:
        wait(f"{address}/health", process)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended; its words are above"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.5)
    pytest.fail(f"the server was not ready after {READY_S} s")


def ask(server: str, picture: Path) -> dict[str, Any]:
    url = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": QUESTION}]
    body = {"model": "tuned", "messages": [{"role": "user", "content": content}], "max_tokens": TOKENS}
    body["add_special_tokens"] = (
        True  # LLaVA's template leaves the beginning to the tokenizer, which vLLM then leaves out
    )
    body |= {"temperature": 0, "logprobs": True, "return_tokens_as_token_ids": True}
    request = urllib.request.Request(
        f"{server}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as response:
        reply: dict[str, Any] = json.load(response)
    return reply


def test_a_question_about_a_picture_is_answered_with_the_tokens_of_transformers(tuned: Path, server: str) -> None:
    expected = json.loads((tuned / "expected.json").read_text())
    reply = ask(server, tuned / "picture.png")
    assert reply["usage"]["prompt_tokens"] == expected["prompt_tokens"]
    tokens = [int(one["token"].removeprefix("token_id:")) for one in reply["choices"][0]["logprobs"]["content"]]
    assert tokens == expected["answer"]
    assert tokens != expected["of_a_blank_picture"], "so the picture was seen"
