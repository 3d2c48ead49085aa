"""Requests to the judge that are wrong in some way: each gets an answer in 4xx, none gets 500, none hangs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

pytest.importorskip("fastapi")

from gateway_server import KEY
from judge_address import LocalBench, address, item

from kpray.judges.geometric import GeometricJudge
from kpray.serving.config import JudgeAppConfig, LimitsConfig

schemathesis = pytest.importorskip("schemathesis")
hypothesis = pytest.importorskip("hypothesis")

JSON = {"content-type": "application/json"}
SECONDS = 60


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    config = JudgeAppConfig(limits=LimitsConfig(body_mb=1, seconds=20), items=8)
    with address(LocalBench(GeometricJudge()), config) as client:
        yield client
        assert client.post("/v1/judge", json=item(0)).status_code == 200  # none did harm


def assert_refused(response: httpx.Response) -> None:
    assert 400 <= response.status_code < 500, response.text[:500]
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert "Traceback" not in response.text
    assert len(response.content) < 2000


def test_wrong_types_at_every_place(client: httpx.Client) -> None:
    places = [["question"], ["context"], ["answers"], ["answers", 0], ["mode"], ["reference"], ["repeats"], ["id"]]
    places += [["answers", 0, name] for name in ("model", "text")]
    places += [["context", name] for name in ("form", "width", "height", "captions", "annotations")]
    places += [["context", "annotations", 0, name] for name in ("category", "bbox", "keypoints", "id", "area")]
    values: list[Any] = [-1, 10**30, 1e300, [[]], {"a": {}}, [None], True]
    count = 0
    for place in places:
        for value in values:
            wrong = json.loads(json.dumps(item(0)))
            target = wrong
            for step in place[:-1]:
                target = target[step]
            target[place[-1]] = value
            assert_refused(client.post("/v1/judge", json=wrong))
            count += 1
    assert count > 120


def test_bodies_that_are_no_request(client: httpx.Client) -> None:
    good = json.dumps(item(0)).encode()
    bodies = [good[:length] for length in range(0, len(good), 7)]
    bodies += [
        b'{"items":[]}',
        b'{"items":null}',
        b'{"items":{}}',
        b"[]",
        b"null",
        b"0",
        b"\x00" * 99,
        b'{"items":[1]}',
    ]
    bodies += [b'{"items":' + b"[" * 50_000, b'{"question":' + b'{"a":' * 50_000, b'{"question":"\xff"}']
    bodies += [good.replace(b"640", number, 1) for number in (b"NaN", b"1e999", b"Infinity", b"9" * 5000, b"-0")]
    bodies += [json.dumps({"items": [item(0)] * 8 + [1]}).encode(), json.dumps(item(0) | {"items": [item(0)]}).encode()]
    for body in bodies:
        assert_refused(client.post("/v1/judge", content=body, headers=JSON))


@pytest.mark.parametrize("mode", ["NEGATIVE", "POSITIVE"])
def test_what_schemathesis_makes_of_the_description(client: httpx.Client, mode: str) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    headers = {"authorization": f"Bearer {KEY}"}
    schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json", headers=headers)
    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.negative_data_rejection,
    ]
    statuses: Counter[int] = Counter()
    operation = schema["/v1/judge"]["POST"]

    @settings(
        max_examples=40 if mode == "NEGATIVE" else 15,  # drawing a whole context takes seconds
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode[mode]))
    def check(case: Any) -> None:
        statuses[case.call_and_validate(headers=headers, timeout=SECONDS, checks=wanted).status_code] += 1

    check()
    assert statuses.total() >= 15
    assert statuses[422] > 5 or mode == "POSITIVE"
