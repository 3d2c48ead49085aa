"""The ways of asking that `teacher_throughput` compares; every one sends the same requests.

Each is called in a process of its own as ``way(job, folder)`` and returns ``import_s`` (its imports, which are no part
of the job), ``job_s`` (everything else, from reading the requests to the end) and, on Ray, ``start_s`` (Ray's start, a
part of the job).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from measuring import Timings
from throughput_server import allow_many_connections

MODEL = "gpt-4o"
PEERS = {"distilabel": "distilabel[openai]", "curator": "bespokelabs-curator"}
_PEER_FILES = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Inputs:
    """The same scenes in the forms that the ways read.

    Attributes:
        coco: Annotation files by role (captions, keypoints, instances).
        requests: JSON Lines of `kpray.schemas.Request`.
        bodies: JSON Lines of the bodies that are sent for them.
        count: How many there are.
        kinds: How many requests each scene makes.
    """

    coco: Mapping[str, str]
    requests: str
    bodies: str
    count: int
    kinds: int


@dataclass(frozen=True)
class Job:
    """What a way has to do: send the first `requests` of the inputs, with at most `in_flight` under way."""

    base_url: str
    in_flight: int
    requests: int
    inputs: Inputs
    peers: str | None = None


def prepare(folder: Path, coco: Path | None, requests: int) -> Inputs:
    """Draw scenes, or name the files of COCO's val2017, and render at most so many requests."""
    import msgspec

    from kpray.coco import CocoSource, SceneFilter
    from kpray.coco.reader import read_scenes
    from kpray.config import GenerateConfig
    from kpray.pipelines.recipe import Recipe

    files = _val2017(coco) if coco else _draw(folder, requests)
    recipe = Recipe.of(GenerateConfig(out=""), model=f"openai/{MODEL}", reads_scene=False)
    kinds = len(recipe.kinds)
    paths = folder / "requests.jsonl", folder / "bodies.jsonl"
    count = 0
    with paths[0].open("wb") as requests_file, paths[1].open("wb") as bodies_file:
        for scene in read_scenes(CocoSource(**files), SceneFilter(limit=max(1, requests // kinds))):
            for kind in recipe.kinds:
                request = recipe.request(kind, scene, recipe.prompt(kind, scene))
                requests_file.write(msgspec.json.encode(request) + b"\n")
                bodies_file.write(msgspec.json.encode(_body(request)) + b"\n")
                count += 1
    return Inputs(files, str(paths[0]), str(paths[1]), count, kinds)


def _val2017(coco: Path) -> Mapping[str, str]:
    names = {"captions": "captions_val2017", "keypoints": "person_keypoints_val2017_rebuilt"}
    names["instances"] = "instances_val2017_subset"
    return {role: str(coco / "annotations" / f"{name}.json") for role, name in names.items()}


def _draw(folder: Path, requests: int) -> Mapping[str, str]:
    from kpray.coco.synthetic import write_coco
    from kpray.schemas import KIND_NAMES

    files = write_coco(str(folder / "coco"), count=max(1, requests // len(KIND_NAMES)), seed=0, images=False)
    return {"captions": files.captions, "keypoints": files.keypoints, "instances": files.instances}


def _body(request: Any) -> dict[str, Any]:
    schema = {"name": request.kind, "strict": True, "schema": request.response_schema}
    return {
        "model": MODEL,
        "messages": request.messages,
        "response_format": {"type": "json_schema", "json_schema": schema},
    }


def _lines(path: str, count: int) -> Iterator[bytes]:
    with Path(path).open("rb") as lines:
        yield from islice(lines, count)


def with_kpray(job: Job, out: str) -> Timings:
    """`kpray generate`, from the annotation files to ``llava.json``."""
    begin = time.perf_counter()
    from kpray.config import CheckConfig, GenerateConfig, TeacherConfig
    from kpray.pipelines.generate import generate
    from kpray.pipelines.session import start_ray, stop_ray

    imported = time.perf_counter()
    start_ray(address="local")
    started = time.perf_counter()
    teacher = TeacherConfig(name="openai", model=MODEL, base_url=job.base_url, in_flight=job.in_flight)
    limit = job.requests // job.inputs.kinds
    unchecked = CheckConfig(mode="report", near_duplicates=None)  # the server says the same of every picture
    config = GenerateConfig(out=str(Path(out, "run")), limit=limit, teacher=teacher, check=unchecked, **job.inputs.coco)
    manifest = generate(config)
    done = time.perf_counter()
    stop_ray()
    _expect(job, manifest.totals["requests"] - manifest.totals["unanswered"])
    return {"import_s": imported - begin, "start_s": started - imported, "job_s": done - imported}


def with_engine(job: Job, out: str) -> Timings:
    """The Engine and teacher of kpray in one process, every reply durable; no Ray, no parsing."""
    begin = time.perf_counter()
    import msgspec

    from kpray.config import TeacherConfig
    from kpray.ledger.journal import Journal, Known, SceneRange
    from kpray.schemas import Reply, Request
    from kpray.teachers.engine import Engine
    from kpray.teachers.openai import OpenAITeacher, key_from_environment

    imported = time.perf_counter()
    replies: list[Reply] = []

    async def ask() -> None:
        decoder = msgspec.json.Decoder(Request)
        settings = TeacherConfig(name="openai", model=MODEL, base_url=job.base_url, in_flight=job.in_flight)
        teacher = OpenAITeacher(settings, key_from_environment(job.base_url))
        engine = Engine(teacher, in_flight=job.in_flight, on_reply=lambda _, reply: replies.append(reply))
        requests = (decoder.decode(line) for line in _lines(job.inputs.requests, job.requests))
        journal = Journal(str(Path(out, "ledger")), SceneRange("0", "1"))
        outcomes = await engine.answer(requests, known=Known({}, frozenset()), journal=journal)
        await teacher.aclose()
        for failure in (outcome for outcome in outcomes if not isinstance(outcome, Reply)):
            raise failure

    asyncio.run(ask())
    done = time.perf_counter()
    _expect(job, len(replies))
    return {"import_s": imported - begin, "job_s": done - imported}


def with_the_openai_client(job: Job, out: str) -> Timings:
    """The official client in one process, its pool as large as the window; nothing is kept."""
    begin = time.perf_counter()
    import httpx2
    import openai

    imported = time.perf_counter()

    @asynccontextmanager
    async def connect() -> AsyncIterator[Callable[[bytes], Awaitable[object]]]:
        limits = httpx2.Limits(max_connections=job.in_flight, max_keepalive_connections=job.in_flight)
        transport = openai.DefaultAsyncHttpxClient(limits=limits)
        settings = {"api_key": "none", "base_url": job.base_url, "timeout": 600, "max_retries": 0}
        async with openai.AsyncOpenAI(**settings, http_client=transport) as client:

            async def ask(body: bytes) -> object:
                completion = await client.chat.completions.create(**json.loads(body))
                return completion.choices[0].message.content

            yield ask

    _expect(job, asyncio.run(_ask_all(job, connect)))
    return {"import_s": imported - begin, "job_s": time.perf_counter() - imported}


def with_aiohttp(job: Job, out: str) -> Timings:
    """One process of aiohttp: sends the bodies as they are, decodes the answers and keeps nothing."""
    begin = time.perf_counter()
    import aiohttp

    imported = time.perf_counter()

    @asynccontextmanager
    async def connect() -> AsyncIterator[Callable[[bytes], Awaitable[object]]]:
        url, headers = f"{job.base_url}/chat/completions", {"Content-Type": "application/json"}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

            async def ask(body: bytes) -> object:
                async with session.post(url, data=body) as response:
                    return json.loads(await response.read())["choices"][0]["message"]["content"]

            yield ask

    _expect(job, asyncio.run(_ask_all(job, connect)))
    return {"import_s": imported - begin, "job_s": time.perf_counter() - imported}


async def _ask_all(job: Job, connect: Callable[[], Any]) -> int:
    """As many askers as may be under way, each with the next body as soon as it is free."""
    bodies = _lines(job.inputs.bodies, job.requests)
    answered = 0
    async with connect() as ask:

        async def asker() -> None:
            nonlocal answered
            for body in bodies:
                if await ask(body):
                    answered += 1

        await asyncio.gather(*(asker() for _ in range(job.in_flight)))
    return answered


def with_ray_data_llm(job: Job, out: str) -> Timings:
    """The HTTP processor of ``ray.data.llm`` with one actor.

    It sends the requests of a batch one after the other, so batches are of one row and as many of them are open as may
    be under way; all rows are in one block, as places stay empty at the end of every block. Answers go to Parquet.
    """
    os.environ["RAY_DATA_DEFAULT_ASYNC_BATCH_UDF_MAX_CONCURRENCY"] = str(job.in_flight)
    begin = time.perf_counter()
    import ray
    from ray.data.llm import HttpRequestProcessorConfig, build_processor

    from kpray.pipelines.session import start_ray, stop_ray

    imported = time.perf_counter()
    start_ray(address="local")
    started = time.perf_counter()
    config = HttpRequestProcessorConfig(url=f"{job.base_url}/chat/completions", batch_size=1, concurrency=(1, 1))
    processor = build_processor(
        config,
        preprocess=lambda row: {"payload": _without_schema(row["body"])},
        postprocess=lambda row: {"content": row["http_response"]["choices"][0]["message"]["content"]},
    )
    rows = [{"body": line} for line in _lines(job.inputs.bodies, job.requests)]
    processor(ray.data.from_items(rows, override_num_blocks=1)).write_parquet(str(Path(out, "answers")))
    done = time.perf_counter()
    _expect(job, ray.data.read_parquet(str(Path(out, "answers"))).count())
    stop_ray()
    return {"import_s": imported - begin, "start_s": started - imported, "job_s": done - imported}


def _without_schema(body: bytes) -> dict[str, Any]:
    """The schemas of the kinds differ in structure, and the columns that Ray Data makes of them cannot be joined."""
    return {name: value for name, value in json.loads(body).items() if name != "response_format"}


def with_distilabel(job: Job, out: str) -> Timings:
    """Argilla's distilabel; see ``peers/distilabel_driver.py``."""
    return _with_peer("distilabel", job, out)


def with_curator(job: Job, out: str) -> Timings:
    """Bespoke Labs' curator; see ``peers/curator_driver.py``."""
    return _with_peer("curator", job, out)


def _with_peer(peer: str, job: Job, out: str) -> Timings:
    """Run a peer's driver with its own Python; its caches, and its home, are the empty folder."""
    assert job.peers is not None
    python = Path(job.peers, peer, "bin", "python")
    arguments = [job.base_url, job.inputs.bodies, str(job.requests), str(job.in_flight), out]
    command = [str(python), str(_PEER_FILES / f"{peer}_driver.py"), *arguments]
    environment = {**os.environ, "HOME": out, "OPENAI_API_KEY": "none", "TELEMETRY_ENABLED": "false"}
    done = subprocess.run(command, env=environment, cwd=out, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"{peer} failed with code {done.returncode}; the end of what it wrote:\n{done.stderr[-2000:]}"
        )
    timings = json.loads(done.stdout.splitlines()[-1])
    _expect(job, int(timings.pop("answered")))
    return {name: float(value) for name, value in timings.items()}


def _expect(job: Job, answered: int) -> None:
    if answered != job.requests:
        raise RuntimeError(f"expected {job.requests} answers; found {answered}")


WAYS: dict[str, Callable[[Job, str], Timings]] = {
    "kpray": with_kpray,
    "kpray engine": with_engine,
    "openai client": with_the_openai_client,
    "aiohttp": with_aiohttp,
    "ray.data.llm": with_ray_data_llm,
    "distilabel": with_distilabel,
    "curator": with_curator,
}
SLOW = ("ray.data.llm", *PEERS)


def run_way(way_and_job: tuple[str, Job], out: str) -> dict[str, Any]:
    """Run one way in the process that was made for it; a failure is a result, which its row will show."""
    way, job = way_and_job
    allow_many_connections()
    try:
        timings = WAYS[way](job, out)
        time.sleep(0.5)  # so that a sample of the CPU time is taken after the end
        return timings
    except Exception as error:  # noqa: BLE001 - whatever a peer raises
        return {"failed": f"{type(error).__name__}: {error}"}
