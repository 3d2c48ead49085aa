from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

import httpx
from gateway_server import wait_until
from judge_address import CONTEXT, LocalBench, address, item
from judge_items import model_judge
from judge_server import JudgeServer
from openai_server import KEY as JUDGE_KEY

from kpray.judges.asking import Calls
from kpray.judges.connect import Spending
from kpray.judges.geometric import GeometricJudge
from kpray.ledger.prices import ModelPrice
from kpray.serving.config import AddressConfig, JudgeAppConfig, JudgeConfig, LimitsConfig

PRICE = ModelPrice(prompt=2.5, completion=10.0, cached_prompt=1.25)
CONFIG = JudgeAppConfig(judge=JudgeConfig(judge="openai"), limits=LimitsConfig(seconds=20), items=16)


@pytest.fixture(scope="module")
def geometric() -> Iterator[httpx.Client]:
    with address(LocalBench(GeometricJudge()), CONFIG) as client:
        yield client


@pytest.fixture(scope="module")
def shared() -> Iterator[JudgeServer]:
    with JudgeServer() as server:
        yield server


@pytest.fixture
def server(shared: JudgeServer, monkeypatch: pytest.MonkeyPatch) -> JudgeServer:
    monkeypatch.setenv("OPENAI_API_KEY", JUDGE_KEY)
    shared.set_faults()
    shared.change(latency_s=0.0)
    return shared


def ask(client: httpx.Client, *items: dict[str, Any]) -> dict[str, Any]:
    response = client.post("/v1/judge", json={"items": list(items)})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_the_embedded_judge_over_http(geometric: httpx.Client) -> None:
    body = ask(geometric, item(0), item(1, mode="reference"), item(2, mode="single", repeats=2))
    assert body["object"] == "judgements"
    pair, reference, single = body["results"]
    assert [v["models"] for v in pair["verdicts"]] == [["tuned", "base"], ["base", "tuned"]]
    assert [v["swapped"] for v in pair["verdicts"]] == [False, True]
    tuned, base = pair["ratings"]
    assert tuned["score"] > base["score"]
    assert (pair["id"], pair["unscored"]) == ("q0", None)
    assert "keypoints support" in pair["explanation"]
    assert reference["verdicts"][0]["models"] == ["reference", "tuned"]
    assert [v["repeat"] for v in single["verdicts"]] == [0, 1]
    assert [j["kind"] for j in body["judges"]] == ["geometric"]
    assert {v["judge"] for r in body["results"] for v in r["verdicts"]} == {body["judges"][0]["digest"]}
    assert body["usage"] == {
        "verdicts": 6,
        "asked": 0,
        "from_ledger": 0,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "usd": 0.0,
    }


def test_one_item_is_a_batch_of_one(geometric: httpx.Client) -> None:
    alone = geometric.post("/v1/judge", json=item(0))
    assert alone.json() == ask(geometric, item(0))


def test_an_item_is_asked_by_its_content_and_paid_once(server: JudgeServer, tmp_path: Path) -> None:
    before = server.stats().get("answered", 0)
    with address(LocalBench(model_judge(server.base_url, tmp_path, price=PRICE)), CONFIG) as client:
        first = ask(client, item(0), item(1))
        again = ask(client, item(1), item(0))
    assert server.stats()["answered"] == before + 4
    assert first["judges"][0]["model"] == "gpt-4o-2024-08-06"
    assert first["judges"][0]["sampling"]["temperature"] == 0.2
    assert first["usage"]["asked"] == 4
    assert first["usage"]["usd"] == pytest.approx(sum(v["usd"] for r in first["results"] for v in r["verdicts"]))
    assert again["usage"] | {"asked": 0, "from_ledger": 4, "usd": 0.0} == again["usage"]
    assert again["results"][1]["ratings"] == first["results"][0]["ratings"]
    assert all(v["source"] == "ledger" and v["request_id"] for r in again["results"] for v in r["verdicts"])


def test_one_failure_is_its_item_s_alone(server: JudgeServer, tmp_path: Path) -> None:
    server.set_faults({"match": "kicks ball 1", "status": 500, "times": 99, "headers": {"x-should-retry": "false"}})
    with address(LocalBench(model_judge(server.base_url, tmp_path)), CONFIG) as client:
        good, bad = ask(client, item(0), item(1))["results"]
        assert good["unscored"] is None
        assert (bad["unscored"], [r["score"] for r in bad["ratings"]]) == ("no_reply", [None, None])
        assert "ask for this item again" in bad["verdicts"][0]["detail"]
        metrics = client.get("/metrics").text
    assert 'kpray_judgements_total{source="none",unscored="no_reply"} 2.0' in metrics
    assert 'kpray_judgements_total{source="asked",unscored=""} 2.0' in metrics


def test_an_overloaded_judge_is_503_with_its_own_pause(server: JudgeServer, tmp_path: Path) -> None:
    server.set_faults({"status": 429, "retry_after": 900, "times": 9})
    calls = Calls(in_flight=1, patience_s=20.0)
    with address(LocalBench(model_judge(server.base_url, tmp_path, calls=calls)), CONFIG) as client:
        response = client.post("/v1/judge", json=item(0))
    assert (response.status_code, response.json()["error"]["code"]) == (503, "judge_unavailable")
    assert 800 < int(response.headers["retry-after"]) <= 900


def test_a_spent_budget_is_429(server: JudgeServer, tmp_path: Path) -> None:
    judge = model_judge(server.base_url, tmp_path, price=PRICE, spending=Spending(1e-6))
    with address(LocalBench(judge), CONFIG) as client:
        response = client.post("/v1/judge", json=item(0))
    assert (response.status_code, response.json()["error"]["code"]) == (429, "budget_spent")
    assert int(response.headers["retry-after"]) > 0


def test_a_slow_judge_is_503_and_its_judgement_is_kept(server: JudgeServer, tmp_path: Path) -> None:
    server.change(latency_s=4.0)
    limits = LimitsConfig(seconds=2)
    config = JudgeAppConfig(judge=JudgeConfig(judge="openai"), limits=limits)
    with address(LocalBench(model_judge(server.base_url, tmp_path)), config) as client:
        response = client.post("/v1/judge", json=item(0, mode="single"))
        assert (response.status_code, response.json()["error"]["code"]) == (503, "too_slow")
        sent = server.stats()["requests"]
        wait_until(lambda: client.post("/v1/judge", json=item(0, mode="single")).status_code == 200, seconds=30)
    assert server.stats()["requests"] == sent


def test_no_key_gets_out(
    server: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    canary = "sk-canary-93b1f0"
    monkeypatch.setenv("OPENAI_API_KEY", canary)
    caplog.set_level(logging.DEBUG)
    said = {"times": 9, "message": f"Bad: {canary}", "code": "x"}
    with address(LocalBench(model_judge(server.base_url, tmp_path)), CONFIG) as client:
        refused = client.post("/v1/judge", json=item(0))  # the server does not know this key
        monkeypatch.setenv("OPENAI_API_KEY", JUDGE_KEY)
        server.set_faults({"match": "kicks ball", "status": 400, **said, "message": f"Bad: {JUDGE_KEY}-long"})
    assert refused.status_code == 503
    with address(LocalBench(model_judge(server.base_url, tmp_path / "other")), CONFIG) as client:
        wrong = client.post("/v1/judge", json=item(0))
    assert [v["unscored"] for v in wrong.json()["results"][0]["verdicts"]] == ["error", "error"]
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*.jsonl")).decode()
    assert "Bad: " in written
    for text in (refused.text, wrong.text, written, caplog.text):
        assert canary not in text


def test_health_and_keys(tmp_path: Path) -> None:
    bench = LocalBench(GeometricJudge())
    with address(bench, CONFIG) as client:
        assert client.get("/-/ready").json() == {"status": "ready", "parts": {"judge": True}}
        bench.ready = False
        assert client.get("/-/ready").status_code == 503
        without = httpx.post(f"{client.base_url}/v1/judge", json=item(0))
        assert (without.status_code, without.json()["error"]["code"]) == (401, "invalid_api_key")


def test_prompts_are_logged_only_if_wanted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kpray.serving.requests")
    for wanted in (False, True):
        caplog.clear()
        config = JudgeAppConfig(address=AddressConfig(log_content=wanted))
        with address(LocalBench(GeometricJudge()), config) as client:
            ask(client, item(0))
            wait_until(lambda: bool(caplog.messages))
        assert ("What is the man doing?" in caplog.text) is wanted
        assert json.loads(caplog.messages[0])["route"] == "/v1/judge"


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"answers": []}, 422, "answers"),
        ({"answers": item(0)["answers"][:1]}, 422, "shows 2 answers"),
        ({"mode": "reference"}, 422, "no reference answer"),
        ({"mode": "best"}, 422, "mode"),
        ({"question": ""}, 422, "question"),
        ({"repeats": 11}, 422, "repeats"),
        ({"more": 1}, 422, "more"),
        ({"answers": [item(0)["answers"][0]] * 2}, 422, "different names"),
        ({"context": CONTEXT | {"form": "picture"}}, 422, "picture"),
        ({"context": CONTEXT | {"width": 0}}, 422, "width"),
        ({"context": CONTEXT | {"image_id": ""}}, 422, "image_id"),
        ({"context": CONTEXT | {"annotations": CONTEXT["annotations"][:1] * 2}}, 422, "two have the same id"),
        ({"context": {"form": "coco", "width": 9, "height": 9, "annotations": [{"category": "x"}]}}, 422, "bbox"),
    ],
)
def test_what_is_malformed_says_where(geometric: httpx.Client, changes: dict[str, Any], status: int, said: str) -> None:
    response = geometric.post("/v1/judge", json={"items": [item(1), item(0) | changes]})
    assert response.status_code == status
    assert said in response.json()["error"]["message"]
    assert geometric.post("/v1/judge", json=item(0) | changes).status_code == status


def test_limits(geometric: httpx.Client) -> None:
    many = geometric.post("/v1/judge", json={"items": [item(i) for i in range(17)]})
    assert (many.status_code, many.json()["error"]["code"]) == (400, "limit_exceeded")
    assert geometric.post("/v1/judge", content=b"{").status_code == 415
    headers = {"content-type": "application/json"}
    assert geometric.post("/v1/judge", content=b"{", headers=headers).json()["error"]["code"] == "invalid_json"
    assert geometric.get("/v1/judge").status_code == 405
    huge = json.dumps(item(0, question="a" * 2**25)).encode()
    assert geometric.post("/v1/judge", content=huge, headers=headers).status_code == 413
