"""Several hundred requests that are wrong in some way: each gets an answer, none gets 500, none hangs."""

from __future__ import annotations

import json
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from gateway_server import KEY, ScriptedEngine, data_uri, gateway, image_part, picture, serving

from kpray.serving.config import LimitsConfig

schemathesis = pytest.importorskip("schemathesis")
hypothesis = pytest.importorskip("hypothesis")

LIMITS = LimitsConfig(body_mb=2, image_mb=1, image_megapixels=1, images=4, messages=8, seconds=10)
GOOD: Any = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
SECONDS = 30


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(gateway(ScriptedEngine(), limits=LIMITS, at_once=16)) as port:
        yield port
        with httpx.Client(headers={"authorization": f"Bearer {KEY}"}, timeout=SECONDS) as client:  # none did harm
            address = f"http://127.0.0.1:{port}"
            assert client.post(f"{address}/v1/chat/completions", json=GOOD).status_code == 200
            deadline = time.monotonic() + SECONDS  # a place is given back just after the client has its answer
            while "kpray_in_flight 0.0" not in client.get(f"{address}/metrics").text:
                assert time.monotonic() < deadline, "a request still holds its place"
                time.sleep(0.05)


def post(port: int, bodies: list[bytes]) -> list[httpx.Response]:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=SECONDS) as client:
        return [client.post("/v1/chat/completions", content=body) for body in bodies]


def assert_refused(response: httpx.Response) -> None:
    assert 400 <= response.status_code < 500, response.text[:500]
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert "Traceback" not in response.text
    assert len(response.content) < 2000


def with_value(place: list[Any], value: Any) -> bytes:
    """The good request, but for one place."""
    wrong = json.loads(json.dumps(GOOD))
    target = wrong
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    return json.dumps(wrong).encode()


def test_wrong_types_at_every_place(port: int) -> None:
    places = [["model"], ["messages"], ["messages", 0], ["messages", 0, "role"], ["messages", 0, "content"]]
    places += [[name] for name in ("max_tokens", "temperature", "top_p", "seed", "stop", "stream", "response_format")]
    places += [[name] for name in ("stream_options", "metadata", "n", "tools", "logit_bias")]
    values: list[Any] = [-1, 10**30, 1e300, [[]], {"a": {}}, [None], "\x00"]
    skipped = [(["stop"], "\x00"), (["messages", 0, "content"], "\x00"), (["seed"], -1)]  # these are allowed
    bodies = [with_value(p, v) for p in places for v in values if (p, v) not in skipped]
    assert len(bodies) > 100
    for response in post(port, bodies):
        assert_refused(response)


def test_bodies_that_are_no_json(port: int) -> None:
    good = json.dumps(GOOD).encode()
    bodies = [good[:length] for length in range(len(good))]
    bodies += [b'{"model":"tiny","messages":[{"role":"user","content":"' + c + b'"}]}' for c in (b"\xff", b"\xc0\xaf")]
    bodies += [
        b'{"model":"tiny","temperature":' + n + b"}" for n in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"01")
    ]
    bodies += [b'{"model":"tiny","seed":' + b"9" * 100_000 + b"}", b"\x00" * 1000, b"null", b'"a"', b"[]", b"0"]
    for response in post(port, bodies):
        assert_refused(response)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_json(port: int, opening: bytes) -> None:
    fields = (b'{"model":"tiny","messages":', b'{"metadata":', b'{"response_format":', b'{"unknown":', b"")
    schema = b'{"model":"tiny","messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_schema",'
    fields += (schema + b'"json_schema":{"name":"a","schema":{"a":',)
    for response in post(port, [field + opening * 100_000 for field in fields]):
        assert_refused(response)


def test_huge_fields(port: int) -> None:
    bodies = [
        with_value(["model"], "m" * 1_000_000),
        with_value(["m" * 1_000_000], 1),
        with_value(["messages"], GOOD["messages"] * 10_000),
        with_value(["stop"], ["s"] * 100_000),
        with_value(["stop"], "s" * 1_000_000),
        with_value(["messages", 0, "role"], "r" * 1_000_000),
        with_value(["messages", 0, "content"], [{"type": "text", "text": "a"}] * 1000 + [{"type": "text"}]),
        with_value(["messages", 0, "content"], [{"type": "t" * 1_000_000}]),
        with_value(["messages", 0, "content"], [image_part(picture(8, 8))] * 5),
        with_value(["messages", 0, "content"], "a" * 3 * 2**20),
        with_value(["metadata"], {str(i): i for i in range(50_000)}),
    ]
    for response in post(port, bodies):
        assert_refused(response)


def test_broken_pictures(port: int) -> None:
    draw = random.Random(7)
    files = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x00\x00\x00\x00WEBP", b"GIF89a", b"<svg/>", b"BM" * 50]
    for kind in ("PNG", "JPEG", "WEBP"):
        whole = picture(60, 40, kind)
        files += [whole[: draw.randrange(len(whole) - 2)] for _ in range(15)]
        files += [whole[:12] + draw.randbytes(len(whole) - 12)] * 5
    bombs = [_png(60_000, 60_000), _png(2**32 - 1, 2**32 - 1), _png(1, 1000), _png(0, 0), picture(1200, 900)]
    uris = [data_uri(file) for file in files + bombs]
    uris += ["", "data:", "data:,", "data:;base64,", "data:image/png;base64,=", "DATA:image/png;base64,AAAA", "data:x"]
    uris += ["http://127.0.0.1/", "http://169.254.169.254/latest", "file:///etc/passwd", "http://[", "\x00", "//x", "a"]
    uris += ["data:image/png;base64," + "A" * 1_600_000]
    bodies = [with_value(["messages", 0, "content"], [{"type": "image_url", "image_url": {"url": u}}]) for u in uris]
    assert len(bodies) > 80
    for response in post(port, bodies):
        assert_refused(response)


def _png(width: int, height: int) -> bytes:
    small = picture(8, 8)
    return small[:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + small[24:]


def test_damaged_pictures_are_answered_one_way_or_the_other(port: int) -> None:
    draw = random.Random(8)
    bodies = []
    for kind in ("PNG", "JPEG", "WEBP"):
        for _ in range(40):
            damaged = bytearray(picture(60, 40, kind))
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
            bodies.append(with_value(["messages", 0, "content"], [image_part(bytes(damaged))]))
    assert {response.status_code for response in post(port, bodies)} <= {200, 400, 413}


def test_bytes_that_are_no_http(port: int) -> None:
    for raw in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \xff\xfe\r\n\r\n",
        b"GET /%ff%00 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            assert b" 500 " not in connection.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize("mode", ["NEGATIVE", "POSITIVE"])
def test_what_schemathesis_makes_of_the_description(port: int, mode: str) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    headers = {"authorization": f"Bearer {KEY}"}
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json", headers=headers)
    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.negative_data_rejection,
    ]
    statuses: Counter[int] = Counter()
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path == "/-/ready" or (mode == "NEGATIVE" and operation.method == "get"):
            continue  # nothing in them to get wrong

        @settings(
            max_examples=30 if operation.method == "post" else 3,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=GenerationMode[mode]))
        def check(case: Any) -> None:
            if mode == "POSITIVE" and isinstance(case.body, dict):
                case.body["model"] = "tiny"  # else hardly any request would get past 404
            statuses[case.call_and_validate(headers=headers, timeout=SECONDS, checks=wanted).status_code] += 1

        check()
    assert statuses.total() >= 30
    assert statuses[422 if mode == "NEGATIVE" else 200] > 5
