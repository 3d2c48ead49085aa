from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_server import KEY, ScriptedEngine, client, gateway, serving, wait_until
from prometheus_client.parser import text_string_to_metric_families

from kpray.serving.telemetry import FIGURES, Telemetry

DASHBOARD = Path(__file__).parents[2] / "serve" / "grafana.json"
HELLO: Any = [{"role": "user", "content": [{"type": "text", "text": word} for word in ("one", "two", "three")]}]


def figures(port: int) -> dict[tuple[str, ...], float]:
    """Values by name and labels' values, in the order of the labels' names."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", headers={"authorization": f"Bearer {KEY}"}).text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return {(s.name, *(v for k, v in s.labels.items())): s.value for s in samples if not s.name.endswith("_created")}


def test_requests_are_counted_as_they_ended() -> None:
    with serving(gateway(ScriptedEngine())) as port, client(port) as official:
        official.chat.completions.create(model="tiny", messages=HELLO)
        list(official.chat.completions.create(model="tiny", messages=HELLO, stream=True))
        httpx.get(f"http://127.0.0.1:{port}/v1/models")
        httpx.get(f"http://127.0.0.1:{port}/some/path", headers={"authorization": f"Bearer {KEY}"})
        official.models.retrieve("tiny")
        wait_until(lambda: figures(port).get(("kpray_requests_total", "", "/v1/models/{model_id:path}", "200")) == 1)
        got = figures(port)
    chat = "/v1/chat/completions"
    assert got["kpray_requests_total", "tiny", chat, "200"] == 2
    assert got["kpray_request_seconds_count", "tiny", chat] == 2
    assert got["kpray_requests_total", "", "other", "401"] == 1
    assert got["kpray_errors_total", "invalid_api_key", "other"] == 1
    assert got["kpray_requests_total", "", "other", "404"] == 1
    assert got["kpray_prompt_tokens_total", "tiny"] == 22
    assert got["kpray_completion_tokens_total", "tiny"] == 6
    assert got["kpray_first_token_seconds_count", "tiny"] == 2
    assert got["kpray_between_tokens_seconds_count", "tiny"] == 4
    assert got[("kpray_in_flight",)] == 0


def test_what_a_client_makes_up_becomes_no_label() -> None:
    with serving(gateway()) as port, client(port) as official:
        for name in ("made-up-1", "made-up-2"):
            httpx.get(f"http://127.0.0.1:{port}/{name}", headers={"authorization": f"Bearer {KEY}"})
            with pytest.raises(Exception, match="no model"):
                official.chat.completions.create(model=name, messages=HELLO)
        assert not [key for key in figures(port) if any("made-up" in value for value in key)]


def test_the_dashboard_draws_exactly_what_there_is() -> None:
    """By either name, as Ray puts ``ray_`` in front; those of the engines are `kpray.serving.replica`'s."""
    board = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    drawn = {name for query in queries for name in re.findall(r'__name__=~"\(ray_\)\?(kpray_\w+)"', query)}
    there = {name if f.kind != "histogram" else f"{name}_bucket" for name, f in FIGURES.items()}
    assert {name for name in drawn if not name.startswith("kpray_engine_")} == there
    assert all(query.count("kpray_") == query.count("(ray_)?kpray_") for query in queries)
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in board["panels"]]
    assert len(set(places)) == len(places)


def test_the_dashboard_asks_for_labels_that_there_are() -> None:
    board = json.loads(DASHBOARD.read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            [name] = re.findall(r"(kpray_\w+?)(?:_bucket)?\"", target["expr"])
            labels = set(re.findall(r"(\w+)=~", target["expr"])) | set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            known = FIGURES[name].labels if name in FIGURES else ("model",)
            assert labels <= {"__name__", *known}, target["expr"]


def test_a_plain_process_needs_no_ray() -> None:
    code = "import sys; from kpray.serving.gateway import build_gateway; build_gateway({}); print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.ray
def test_ray_exports_the_same_names(ray_local: None) -> None:
    import ray

    @ray.remote(num_cpus=0)
    class Process:
        def __init__(self) -> None:
            self.telemetry = Telemetry(to_ray=True)
            for name, figure in FIGURES.items():
                self.telemetry.put(name, 2, **dict.fromkeys(figure.labels, "x"))

        def ready(self) -> None:
            pass

    process = Process.remote()
    ray.get(process.ready.remote())
    [port] = {node["MetricsExportPort"] for node in ray.nodes()}

    def exported() -> set[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            return set(re.findall(r"^ray_(kpray_\w+)\{", response.read().decode(), re.MULTILINE))

    counters = {n if f.kind != "histogram" else f"{n}_bucket" for n, f in FIGURES.items()}
    wait_until(lambda: counters <= exported(), seconds=60)
