"""First stage of a shard: its scenes become requests, and requests become replies, in an actor."""

from __future__ import annotations

import contextlib
import gc
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
import ray

from kpray.coco.images import ImageFolder
from kpray.errors import (
    BudgetSpentError,
    KprayError,
    StorageError,
    TeacherError,
    TeacherStoppedError,
    TeacherUnavailableError,
)
from kpray.ledger.budget import Purse
from kpray.ledger.journal import Journal, Known, SceneRange
from kpray.ledger.limits import RateGate
from kpray.ledger.tokens import TokenMeter
from kpray.pipelines.breaker import fault_of
from kpray.pipelines.checking import Judged, judge_all, repairs
from kpray.pipelines.progress import Reporter
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.rendering import render
from kpray.pipelines.samples import Asked
from kpray.pipelines.shards import Answered, Batch, ShardFiles
from kpray.schemas import Rejected, Reply, Request, Scene
from kpray.teachers.engine import Engine, Outcome
from kpray.teachers.protocol import Teacher


class Calls(NamedTuple):
    """How a worker asks; everything in it is made in the worker.

    Attributes:
        run: Id of the run, for the ledger.
        teacher: Makes the teacher.
        in_flight: This worker's part of the bound.
        retry_for_s: See `TeacherConfig`.
        gate: Makes the gate that keeps the account's limits; None is no limit.
        purse: Makes the purse that keeps the budget; None is no budget.
    """

    run: str
    teacher: Callable[[], Teacher]
    in_flight: int
    retry_for_s: float
    gate: Callable[[], RateGate] | None = None
    purse: Callable[[TokenMeter], Purse] | None = None


class AskShard:
    """Answers shards, several at once; they share one window of requests in flight."""

    def __init__(
        self, files: ShardFiles, recipe: Recipe, images: str | None, scoreboard: Any, calls: Calls | None
    ) -> None:
        """Set up one worker.

        Args:
            files: Of the run.
            recipe: What scenes become.
            images: Folder in which every scene's image must exist, or None.
            scoreboard: The `Scoreboard` actor.
            calls: How to ask; None answers from the ledger alone.
        """
        self._files = files
        self._recipe = recipe
        self._images = ImageFolder(images)
        self._reporter = Reporter(scoreboard, worker=uuid.uuid4().hex, on_stop=self._stop)
        self._on_trial: dict[str, Asked] = {}
        self._calls = calls
        if calls:
            meter = TokenMeter()
            self._teacher = calls.teacher()
            self._engine = Engine(
                self._teacher,
                in_flight=calls.in_flight,
                on_reply=self._on_reply,
                gate=calls.gate() if calls.gate else None,
                purse=calls.purse(meter) if calls.purse else None,
                meter=meter,
                retry_for_s=calls.retry_for_s,
            )
        gc.freeze()  # what was imported stays for good: the collector need not look at it again and again

    async def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        """Answer the shards of a batch (one)."""
        return {"answered": [msgspec.msgpack.encode(await self._answer(int(shard))) for shard in batch["shard"]]}

    async def _answer(self, shard: int) -> Answered:
        try:
            return await self._answered(shard)
        except KprayError as error:  # such as a ledger that cannot be read; the driver ends the run in its words
            return Answered(shard, 0, [], [], {}, [], stopped=str(error))

    async def _answered(self, shard: int) -> Answered:
        scenes = self._files.read_scenes(shard)
        scene_range = SceneRange.of(scene.scene_id for scene in scenes)
        known = self._files.known(scene_range)
        without_image: list[Scene] = []
        asked: list[Asked] = []
        judged: list[Judged] = []
        repaired: dict[int, Asked] = {}
        with self._journal(scene_range, scenes) as journal:
            requests = self._requests(scenes, asked, without_image)
            outcomes = await self._ask(requests, known, journal)
            asked = [_with_outcome(stub, outcome) for stub, outcome in zip(asked, outcomes, strict=True)]
            self._count_reused(asked, known)
            if self._recipe.repairs and _stopped(outcomes) is None:
                judged = await _judge.remote(asked, scenes, self._recipe)
                again = repairs(asked, judged, scenes, self._recipe)
                repaired, more = await self._ask_again(asked, again, known, journal)
                outcomes += more
        return Answered(
            shard=shard,
            scenes=len(scenes),
            asked=asked,
            judged=judged,
            repaired=repaired,
            rejected=[_image_missing(scene) for scene in without_image],
            stopped=_stopped(outcomes),
        )

    async def _ask_again(
        self, asked: list[Asked], again: dict[int, Request], known: Known, journal: Journal | None
    ) -> tuple[dict[int, Asked], list[Outcome]]:
        self._reporter.on_repairs(len(again))
        outcomes = await self._ask(again.values(), known, journal)
        repaired = {}
        for (i, request), outcome in zip(again.items(), outcomes, strict=True):
            first = asked[i]
            stub = msgspec.structs.replace(first, request_id=request.request_id, repairs=first.request_id, reply=None)
            repaired[i] = _with_outcome(stub, outcome)
        self._count_reused(repaired.values(), known)
        return repaired, outcomes

    async def _ask(self, requests: Iterable[Request], known: Known, journal: Journal | None) -> list[Outcome]:
        if journal is None:
            return [known.replies.get(request.request_id, _NOT_ASKED) for request in requests]
        return await self._engine.answer(requests, known=known, journal=journal)

    @contextlib.contextmanager
    def _journal(self, scene_range: SceneRange, scenes: list[Scene]) -> Iterator[Journal | None]:
        """Where the replies about a shard's scenes go; None where nothing is asked."""
        if self._calls is None:
            yield None
            return
        self._teacher.prepare(scenes)
        journal = Journal(self._files.ledger, scene_range, run=self._calls.run)
        try:
            yield journal
        finally:
            with contextlib.suppress(StorageError):  # a reply that could not be written has stopped the engine
                journal.close()

    def _requests(self, scenes: list[Scene], asked: list[Asked], without_image: list[Scene]) -> Iterator[Request]:
        """Render the shard's requests one by one, noting beside each what its sample will need."""
        for rendered in render(scenes, self._recipe, self._images, without_image):
            stub = Asked.of(rendered)
            asked.append(stub)
            if self._reporter.on_trial:
                self._on_trial[stub.request_id] = stub
            yield rendered.request

    def _count_reused(self, asked: Iterable[Asked], known: Known) -> None:
        self._reporter.on_reused(sum(stub.request_id in known.replies for stub in asked))
        self._reporter.flush()

    def _on_reply(self, request: Request, reply: Reply) -> None:
        stub = self._on_trial.pop(request.request_id, None)
        if stub and self._reporter.on_trial:
            self._reporter.on_verdict(fault_of(msgspec.structs.replace(stub, reply=reply), self._recipe))
        self._reporter.on_reply(reply, retried=self._engine.retried, asked_again=self._engine.asked_again)

    def _stop(self, reason: str) -> None:
        self._engine.stop(TeacherStoppedError(reason))


@ray.remote(num_cpus=0, max_retries=-1)  # type: ignore[untyped-decorator]
def _judge(asked: list[Asked], scenes: list[Scene], recipe: Recipe) -> list[Judged]:
    """In a process of its own: a worker that waits for hundreds of replies must not compute beside."""
    return judge_all(asked, scenes, recipe)


_NOT_ASKED = TeacherUnavailableError("the ledger holds no reply, and nothing was to be asked")


def _stopped(outcomes: Iterable[Outcome]) -> str | None:
    return next((str(o) for o in outcomes if isinstance(o, TeacherStoppedError)), None)


def _image_missing(scene: Scene) -> Rejected:
    detail = f"{scene.file_name} is not in the images folder under any of COCO's names"
    return Rejected(scene.scene_id, "", "", "scene", "image_missing", detail, scene.file_name)


def _with_outcome(stub: Asked, outcome: Outcome) -> Asked:
    if isinstance(outcome, Reply):
        return msgspec.structs.replace(stub, reply=outcome)
    return msgspec.structs.replace(stub, failure=str(outcome), failure_reason=_reason(outcome))


def _reason(error: TeacherError) -> str:
    return "budget_spent" if isinstance(error, BudgetSpentError) else "no_reply"
