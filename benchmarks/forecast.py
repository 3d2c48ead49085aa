"""How close a pilot's forecast comes to what a run then costs.

Run from the repository's root::

    python benchmarks/forecast.py --seeds 5 --pilot 50 --scenes 1667

Synthetic scenes are drawn once. For every seed `kpray plan --pilot` asks a few requests and forecasts the cost of the
rest, and `kpray generate` then asks the rest; what that cost is counted from the ledger. The teacher is a local server
that counts tokens by a law of its own, which kpray does not know: letters and digits weigh differently, every prompt
is off by some percent, the lengths of replies are log-normal (sigma 0.45), differ between kinds and grow with the
context, and of 20 requests one does not find its constant turns in the cache. Its draws depend on the seed, as does
the choice of the pilot's requests. Prices are those of gpt-4o.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from aiohttp import web
from measuring import markdown

from kpray.coco.synthetic import SyntheticFiles, write_coco
from kpray.config import GenerateConfig, load_config
from kpray.ledger.journal import spent
from kpray.pipelines.generate import generate
from kpray.pipelines.plan import make_plan
from kpray.pipelines.session import start_ray, stop_ray
from kpray.pipelines.shards import ShardFiles

LATENCY_S = 0.02
COLUMNS = {
    "seed": ("seed", 0),
    "pilot": ("pilot", 0),
    "requests": ("requests after it", 0),
    "forecast": ("forecast, USD", 3),
    "low": ("from", 3),
    "high": ("to", 3),
    "actual": ("actual, USD", 3),
    "error": ("error, %", 2),
    "inside": ("inside", None),
    "plan_s": ("planning, s", 1),
}
REPLIES: dict[str, Any] = {
    "conversation": {"turns": [{"question": "Is the person standing?", "answer": "Yes, the person is standing."}]},
    "detailed": {"description": "One person stands upright in the open."},
    "reasoning": {"question": "What keeps the balance?", "answer": "The stance is upright and relaxed."},
}
TYPICAL_TOKENS = {"conversation": 270, "detailed": 200, "reasoning": 134}


class Server:
    """Chat completions by the law that the module's text describes."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._seen: set[str] = set()

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.complete)
        return app

    async def models(self, request: web.Request) -> web.Response:
        """Answer kpray's look at whether the server is there."""
        return web.json_response({"object": "list", "data": []})

    async def complete(self, request: web.Request) -> web.Response:
        """Answer with a constant text and drawn counts."""
        raw = await request.read()
        body, drawn = msgspec.json.decode(raw), random.Random(raw + bytes([self._seed]))
        kind = body["response_format"]["json_schema"]["name"]
        constant, context = body["messages"][:-1], body["messages"][-1]["content"]
        prefix = round(sum(len(message["content"]) for message in constant) / 3.1)
        prompt = prefix + round(0.59 * len(context) * drawn.uniform(0.95, 1.05))
        typical = TYPICAL_TOKENS[kind] * (len(context) / 1_000) ** 0.25
        completion = round(drawn.lognormvariate(math.log(typical), 0.45))
        cached = prefix // 128 * 128 if kind in self._seen and drawn.random() > 0.05 else 0
        await asyncio.sleep(LATENCY_S)
        self._seen.add(kind)
        message = {"role": "assistant", "content": json.dumps(REPLIES[kind]), "refusal": None}
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        about = {"id": "c", "object": "chat.completion", "created": 0, "model": body["model"]}
        encoded = msgspec.json.encode({**about, "choices": [choice], "usage": usage})
        return web.Response(body=encoded, content_type="application/json")


@contextmanager
def serving(seed: int) -> Iterator[str]:
    """The server in a process of its own; yields its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, "--serve", str(port), "--seeds", str(seed)])
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def config(out: str, base_url: str, *, files: SyntheticFiles, seed: int) -> GenerateConfig:
    flags = {
        "out": out,
        "seed": seed,
        "captions": files.captions,
        "keypoints": files.keypoints,
        "instances": files.instances,
        "teacher.name": "openai",
        "teacher.base_url": base_url,
        "teacher.price.prompt": 2.5,
        "teacher.price.completion": 10.0,
        "teacher.price.cached_prompt": 1.25,
        "check.mode": "report",  # the server says the same of every picture
    }
    return load_config(GenerateConfig, file=None, flags=flags, overrides=("check.near_duplicates=null",))


def measure(run: GenerateConfig, pilot: int) -> dict[str, Any]:
    """One forecast and the run that it is about."""
    began = time.perf_counter()
    plan = make_plan(run, pilot=pilot)
    plan_s = time.perf_counter() - began
    manifest = generate(run)
    bought = spent(ShardFiles.of(run).ledger, None, manifest.run_id)
    usd = plan.total.rest.usd
    assert usd is not None
    assert usd.low is not None
    assert usd.high is not None
    assert plan.total.rest.requests == bought.replies
    return {
        "pilot": pilot,
        "requests": bought.replies,
        "forecast": usd.mean,
        "low": usd.low,
        "high": usd.high,
        "actual": bought.known_usd,
        "error": 100 * (usd.mean / bought.known_usd - 1),
        "inside": "yes" if usd.low <= bought.known_usd <= usd.high else "no",
        "plan_s": plan_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pilot", type=int, default=50)
    parser.add_argument("--scenes", type=int, default=1_667, help="of each three requests")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON as the last line")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        web.run_app(Server(arguments.seeds).app(), host="127.0.0.1", port=arguments.serve, print=None)
        return
    os.environ["OPENAI_API_KEY"] = "none"
    start_ray(address="local")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = write_coco(folder, count=arguments.scenes, seed=0, images=False)
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as out, serving(seed) as base_url:
                run = config(out, base_url, files=files, seed=seed)
                rows.append({"seed": seed, **measure(run, arguments.pilot)})
    stop_ray()
    print(markdown(rows, COLUMNS))
    print(f"mean absolute error {statistics.fmean(abs(row['error']) for row in rows):.2f} %")
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
