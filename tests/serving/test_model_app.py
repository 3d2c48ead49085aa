"""The application on Ray Serve, over HTTP, with the official client."""

from __future__ import annotations

import os
import signal
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("fastapi")

with warnings.catch_warnings():  # Ray's own, when it is imported
    warnings.simplefilter("ignore")
    import ray.serve

import httpx
import openai
import psutil
from serving_clients import Outcomes, flow, messages, stream_once
from serving_models import answers_of, ask, picture, saved_model, served, text_of

from kpray.errors import ConfigError
from kpray.serving import model_app
from kpray.serving.config import AddressConfig
from kpray.serving.engines.transformers_engine import TransformersEngine

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

SMALL = {"cpus": 0.1, "engine": "transformers"}

PATIENT = {"seconds": 900.0}
"""Limits for a busy machine, on which a replica takes minutes to start."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    models = tmp_path_factory.mktemp("models")
    return {"base": saved_model(models / "base"), "tuned": saved_model(models / "tuned", "llava_next")}


Deploy = Callable[..., openai.OpenAI]


@pytest.fixture(scope="module")
def deploy(ray_local: None) -> Iterator[Deploy]:
    """Deploys models under the application's one name, and gives a client that does not retry."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray.serve.start(http_options={"host": "127.0.0.1", "port": port})

    def deployed(*models: dict[str, Any]) -> openai.OpenAI:
        app = model_app.build_app({"models": [SMALL | model for model in models], "limits": PATIENT})
        ray.serve.run(app, name="kpray", route_prefix="/")
        return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=900)

    yield deployed
    ray.serve.shutdown()


def replica_pids(name: str) -> list[int]:
    """Processes of a model's replicas among this process's own children."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[:1] and process.cmdline()[0].startswith(f"ray::ServeReplica:kpray:model-{name}"):
                found.append(process.pid)
        except psutil.Error:  # it ended
            continue
    return found


def test_two_models_side_by_side_answer_as_their_engines_do(deploy: Deploy, folders: dict[str, Path]) -> None:
    client = deploy(*({"name": name, "path": str(folder)} for name, folder in folders.items()))
    assert [model.id for model in client.models.list()] == ["base", "tuned"]
    for name, folder in folders.items():
        engine = TransformersEngine(served(folder))
        (expected,) = answers_of(engine, [ask(picture(), "Describe the pose.", max_tokens=20)])
        engine.close()
        chunks = list(
            client.chat.completions.create(
                model=name,
                messages=messages(),
                max_tokens=20,
                temperature=0,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text_of(expected)
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.prompt_tokens == expected[-1].prompt_tokens
    base_url = str(client.base_url).removesuffix("/v1/")
    assert httpx.get(f"{base_url}/-/ready", timeout=60).json()["parts"] == {"base": True, "tuned": True}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="base", messages=messages("left " * 5000), max_tokens=3)
    assert caught.value.code == "context_length_exceeded"


def test_a_killed_replica_costs_no_request_that_had_not_begun(deploy: Deploy, folders: dict[str, Path]) -> None:
    scaling = {"least": 2, "most": 2}
    client = deploy({"name": "base", "path": str(folders["base"]), "scaling": scaling, "batch_size": 2})
    outcomes = Outcomes()
    with flow(lambda: stream_once(client, "base", outcomes, max_tokens=24), clients=8):
        _until(lambda: outcomes.answered >= 8)
        victim = replica_pids("base")[0]
        os.kill(victim, signal.SIGKILL)
        after = outcomes.answered
        _until(lambda: outcomes.answered >= after + 16)
    assert not outcomes.failed
    assert all("process ended during this answer" in str(error) for error in outcomes.lost)
    assert victim not in replica_pids("base")


def test_an_update_while_requests_flow_fails_none(deploy: Deploy, folders: dict[str, Path]) -> None:
    model = {"name": "base", "path": str(folders["base"])}
    client = deploy(model)
    before = set(replica_pids("base"))
    outcomes = Outcomes()
    with flow(lambda: stream_once(client, "base", outcomes, max_tokens=12), clients=4):
        _until(lambda: outcomes.answered >= 4)
        deploy(model | {"path": str(folders["tuned"]), "batch_size": 4})
        after = outcomes.answered
        _until(lambda: outcomes.answered >= after + 4)
    assert (outcomes.failed, outcomes.lost) == ([], [])
    assert before.isdisjoint(replica_pids("base"))


def test_a_model_that_sleeps_wakes_up_for_a_request(deploy: Deploy, folders: dict[str, Path]) -> None:
    scaling = {"least": 0, "most": 1, "up_delay_s": 0.1, "down_delay_s": 1.0}
    client = deploy({"name": "base", "path": str(folders["base"]), "scaling": scaling})
    _until(lambda: not replica_pids("base"))
    reply = client.chat.completions.create(model="base", messages=messages(), max_tokens=3)
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 3
    assert len(replica_pids("base")) == 1
    _until(lambda: not replica_pids("base"))


def test_more_than_may_wait_are_refused_at_once(deploy: Deploy, folders: dict[str, Path]) -> None:
    scaling = {"ongoing": 1, "queued": 1}
    client = deploy({"name": "base", "path": str(folders["base"]), "scaling": scaling})
    outcomes = Outcomes()
    with flow(lambda: stream_once(client, "base", outcomes, max_tokens=200), clients=6):
        _until(lambda: bool(outcomes.answered and outcomes.failed))
    refused = outcomes.failed[0]
    assert isinstance(refused, openai.InternalServerError)
    assert (refused.status_code, refused.code) == (503, "overloaded")
    assert int(refused.response.headers["retry-after"]) >= 1
    assert not outcomes.lost


def _until(reached: Callable[[], bool], *, seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([], "one model or more"),
        ([{"name": "a", "path": "x"}, {"name": "a", "path": "y"}], "each with a name of its own"),
        ([{"name": "a", "path": "x", "scaling": {"least": 2}}], "`scaling.least` has to be"),
        ([{"name": "a"}], "path"),
    ],
)
def test_a_wrong_configuration_says_so(models: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        model_app.checked_config({"models": models})


def test_an_open_address_without_a_key_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KPRAY_API_KEYS", raising=False)
    for host in ("0.0.0.0", "127.0.0.1"):
        client = SimpleNamespace(http_config=SimpleNamespace(host=host))
        monkeypatch.setattr(model_app, "_get_global_client", lambda client=client: client)
        if host == "127.0.0.1":
            assert "only this machine can ask" in model_app._who_may_ask(AddressConfig())
        else:
            with pytest.raises(ConfigError, match="KPRAY_API_KEYS"):
                model_app._who_may_ask(AddressConfig())
