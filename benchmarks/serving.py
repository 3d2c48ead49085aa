"""The served model against the bare engine, in one run: throughput, latency, and what happens at twice the capacity.

    python benchmarks/serving.py --model models/tiny-base           # transformers, against `generate`
    python benchmarks/serving.py --model DIR --quick                # a few requests, to see that it runs
    python benchmarks/serving.py --model DIR --engine vllm --vllm http://127.0.0.1:8100   # against a bare vLLM server

Ways: ``generate`` is transformers' own batch generation, batches of the same size, pictures and prompts prepared in the
same process; ``engine`` is kpray's engine in this process without HTTP; ``served`` is `build_app` on Ray Serve over
HTTP; ``vllm`` is the server at the URL. Every way answers the same requests greedily, one picture each, and the
clients of the last two run in this process. CPU time is that of all of the way's own processes on this machine, the
clients' and Ray's among them (of a server at a URL only the clients').
Without ``--model`` a small random LLaVA is built.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from measuring import MB, markdown
from serving_load import Answer, arrivals, closed_loop, quantile, summary

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "serving"))

from serving_models import picture, saved_model

from kpray.serving.config import ServedModel
from kpray.serving.types import ChatMessage, ChatRequest, ChatSampling

CLIENTS = (1, 8, 32, 128)
QUESTIONS = ("Describe the pose.", "Which arm is raised?", "What is the person doing, and how are the legs held?")
COLUMNS = {
    "way": ("way", None),
    "clients": ("clients", None),
    "requests_s": ("requests/s", 2),
    "tokens_s": ("tokens/s", 0),
    "share": ("share of bare", 2),
    "first_p50": ("first text p50, ms", 1),
    "first_p95": ("p95", 1),
    "between_p50": ("between p50, ms", 1),
    "between_p95": ("p95", 1),
    "cpu_ms": ("CPU ms/token", 2),
    "failed": ("failed", None),
}


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or str(saved_model(Path(folder) / "model"))
        served = ServedModel(name="model", path=model, engine=arguments.engine, batch_size=arguments.batch_size)
        rows, overload = measure(served, arguments)
    print(markdown(rows, COLUMNS))
    print(*(f"- {name}: {value}" for name, value in overload.items()), sep="\n")
    if arguments.json:
        print(json.dumps({"rows": rows, "overload": overload}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder of an image-text-to-text model")
    parser.add_argument("--engine", choices=["transformers", "vllm"], default="transformers")
    parser.add_argument("--vllm", metavar="URL", help="a bare vLLM server with the same model, named `model`")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--requests", type=int, default=16, help="per client, and at most 512 in all")
    parser.add_argument("--overload-s", type=float, default=60.0)
    parser.add_argument("--quick", action="store_true", help="1 and 8 clients, few requests, a short overload")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON as the last line")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.requests, arguments.overload_s = 2, 5.0
    arguments.clients = CLIENTS[:2] if arguments.quick else CLIENTS
    return arguments


def measure(served: ServedModel, arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    if served.engine == "transformers":
        rows += [row for way in (_generate_rows, _engine_rows) for row in way(served, arguments)]
    with Application(served) as url:
        ways = {"served": url} | ({"vllm": arguments.vllm} if arguments.vllm else {})
        for clients in arguments.clients:
            rows += [_http_row(way, at, clients, arguments) for way, at in ways.items()]
        overload = _overload(url, rows, arguments)
    bare = {row["clients"]: row["tokens_s"] for row in rows if row["way"] in ("vllm", "generate")}
    for row in rows:
        row["share"] = row["tokens_s"] / bare[row["clients"]] if row["clients"] in bare else None
    return sorted(rows, key=lambda row: row["clients"]), overload


def requests_for(clients: int, arguments: argparse.Namespace) -> list[ChatRequest]:
    """The same for all ways."""
    count = max(min(clients * arguments.requests, 512), clients)
    sampling = ChatSampling(temperature=0.0, top_p=1.0, max_tokens=arguments.max_tokens)
    return [
        ChatRequest(
            f"r-{i}",
            "model",
            (ChatMessage("user", (picture(i % 16, width=320, height=240, form="JPEG"), QUESTIONS[i % 3])),),
            sampling,
        )
        for i in range(count)
    ]


def body_of(request: ChatRequest) -> dict[str, Any]:
    from kpray.serving.engines.vllm_wire import openai_body

    return openai_body(request)


def _row(way: str, clients: int, run: Callable[[], tuple[list[Answer], float]]) -> dict[str, Any]:
    before = _cpu_s()
    answers, seconds = run()
    figures = summary(answers, seconds)
    figures["cpu_ms"] = 1000 * (_cpu_s() - before) / max(sum(answer.tokens for answer in answers), 1)
    print(way, clients, figures, file=sys.stderr)
    failed = sum(answer.status != 200 for answer in answers)
    return {"way": way, "clients": clients, "failed": str(failed), **figures}


def _http_row(way: str, url: str, clients: int, arguments: argparse.Namespace) -> dict[str, Any]:
    bodies = [body_of(request) for request in requests_for(clients, arguments)]
    closed_loop(url, bodies[: min(len(bodies), 4)], clients=min(clients, 4))  # warm
    return _row(way, clients, lambda: closed_loop(url, bodies, clients=clients))


def _generate_rows(served: ServedModel, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    import torch

    from kpray.serving.engines.loading import load

    loaded = load(served)
    loaded.processor.tokenizer.padding_side = "left"

    def run(clients: int) -> tuple[list[Answer], float]:
        requests, size = requests_for(clients, arguments), min(clients, served.batch_size)
        answers, start = [], time.perf_counter()
        with torch.inference_mode():
            for first in range(0, len(requests), size):
                answers += _generated(loaded, requests[first : first + size], arguments.max_tokens)
        return answers, time.perf_counter() - start

    run(1)  # warm
    return [_row("generate", clients, partial(run, clients)) for clients in arguments.clients]


def _generated(loaded: Any, requests: list[ChatRequest], max_tokens: int) -> list[Answer]:
    """One batch; its first text is there after its first step."""
    from PIL import Image

    start = time.perf_counter()
    texts, pictures = [], []
    for request in requests:
        picture_, question = request.messages[0].parts
        content = [{"type": "image"}, {"type": "text", "text": question}]
        chat = [{"role": "user", "content": content}]
        texts.append(loaded.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))
        pictures.append(Image.open(io.BytesIO(picture_.encoded)).convert("RGB"))  # type: ignore[union-attr]
    inputs = loaded.processor(text=texts, images=pictures, return_tensors="pt", padding=True).to(loaded.model.device)
    streamer = _FirstToken()
    tokens = loaded.model.generate(**inputs, do_sample=False, max_new_tokens=max_tokens, stopping_criteria=[streamer])
    new = tokens[:, inputs["input_ids"].shape[1] :]
    ends = loaded.ends | {loaded.pad_token}
    counts = [next((i + 1 for i, token in enumerate(row) if token in ends), len(row)) for row in new.tolist()]
    loaded.processor.tokenizer.batch_decode(new, skip_special_tokens=True)
    last = time.perf_counter() - start
    return [Answer(200, streamer.at - start, last, tokens=count) for count in counts]


class _FirstToken:
    """A stopping criterion that never stops, and notes when it was asked first."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        self.at = self.at or time.perf_counter()
        return input_ids.new_zeros(input_ids.shape[0]).bool()


def _engine_rows(served: ServedModel, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    from kpray.serving.engines.transformers_engine import TransformersEngine

    engine = TransformersEngine(served)

    async def ask(request: ChatRequest) -> Answer:
        start = before = time.perf_counter()
        answer = Answer(200)
        async for piece in engine.answer(request):
            now = time.perf_counter()
            if piece.text and answer.first_s:
                answer.between_s.append(now - before)
            elif piece.text:
                answer.first_s = now - start
            before, answer.tokens = now, piece.completion_tokens
        answer.last_s = time.perf_counter() - start
        return answer

    async def run(clients: int) -> tuple[list[Answer], float]:
        waiting, answers = iter(requests_for(clients, arguments)), []

        async def client() -> None:
            for request in waiting:
                answers.append(await ask(request))

        start = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        return answers, time.perf_counter() - start

    asyncio.run(run(1))  # warm
    rows = [_row("engine", n, partial(asyncio.run, run(n))) for n in arguments.clients]
    engine.close()
    return rows


class Application:
    """The served model on a Ray cluster of its own; gives its URL."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served

    def __enter__(self) -> str:
        import socket

        import msgspec
        from ray import serve

        from kpray.pipelines.session import start_ray
        from kpray.serving.model_app import build_app

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        start_ray(address="local", num_cpus=4)
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        scaling = {"ongoing": 32, "queued": 128}
        model = msgspec.to_builtins(self._served) | {"scaling": scaling}
        serve.run(build_app({"models": [model]}), name="kpray", route_prefix="/")
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        import ray
        from ray import serve

        serve.delete("kpray")
        ray.shutdown()


def _overload(url: str, rows: list[dict[str, Any]], arguments: argparse.Namespace) -> dict[str, Any]:
    """Twice as many requests as it can answer, then one at a time until it is as fast as before."""
    capacity = max(row["requests_s"] for row in rows if row["way"] == "served")
    alone = next(row for row in rows if row["way"] == "served" and row["clients"] == 1)
    bodies = [body_of(request) for request in requests_for(8, arguments)]
    before = _memory_mb()
    answers = arrivals(url, bodies, per_second=2 * capacity, seconds=arguments.overload_s)
    after, over = _memory_mb(), time.perf_counter()
    recovered = None
    while recovered is None and time.perf_counter() - over < 60:
        (answer,), _ = closed_loop(url, bodies[:1], clients=1)
        if answer.status == 200 and 1000 * answer.first_s < 2 * alone["first_p95"]:
            recovered = time.perf_counter() - over
    accepted = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status in (429, 503)]
    return {
        "capacity, requests/s": round(capacity, 2),
        "sent": len(answers),
        "share refused (429, 503)": round(len(refused) / len(answers), 3),
        "neither accepted nor refused": len(answers) - len(accepted) - len(refused),
        "accepted, whole answer p50 / p95, s": _seconds([answer.last_s for answer in accepted]),
        "refused, answered after p50 / p95, s": _seconds([answer.last_s for answer in refused]),
        "model process before / after, MB": f"{before:.0f} / {after:.0f}",
        "full speed again after, s": None if recovered is None else round(recovered, 2),
    }


def _seconds(values: list[float]) -> str:
    return f"{quantile(values, 0.5):.2f} / {quantile(values, 0.95):.2f}"


def _cpu_s() -> float:
    """CPU time of this process and of all that it started, Ray's own among them."""
    total = time.process_time()
    for process in psutil.Process().children(recursive=True):
        try:
            total += sum(process.cpu_times()[:2])
        except psutil.Error:  # it ended
            continue
    return total


def _memory_mb() -> float:
    """Resident set of the model's processes, in MiB."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::ServeReplica:kpray:model-"):
                total += process.memory_info().rss
        except psutil.Error:  # it ended
            continue
    return total / MB


if __name__ == "__main__":
    main()
