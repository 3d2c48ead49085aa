from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from generate_run import Run
from openai_server import KEY, OpenAIServer


@pytest.fixture(scope="module")
def shared_server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def server(shared_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> OpenAIServer:
    """A local API server, and its key in the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    shared_server.set_faults()
    return shared_server


@pytest.fixture
def job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`kpray generate`, to be run."""
    return Run(tmp_path / "run", capsys)
