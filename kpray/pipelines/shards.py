"""A shard of scenes through the teacher and onto the disk; the unit of work, of retry and of resuming.

A shard's row in the Ray Dataset is one row from beginning to end, so no regrouping of blocks can tear it.
"""

from __future__ import annotations

import gc
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from kpray import storage
from kpray.coco.images import ImageFolder
from kpray.coco.rows import table_to_scenes
from kpray.errors import TeacherStoppedError
from kpray.ledger import journal
from kpray.pipelines.progress import Reporter
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.samples import Asked, rejected_to_table, samples_to_table, to_samples
from kpray.schemas import Rejected, Reply, Request, Sample, Scene
from kpray.teachers.engine import Engine, Outcome
from kpray.teachers.protocol import Teacher

Batch = Mapping[str, Any]


class ShardFiles(msgspec.Struct, frozen=True):
    """Where the files of a run's shards are."""

    run: str

    def scenes(self, shard: int) -> str:
        """The shard's scenes."""
        return storage.join(self.run, "scenes", _file(shard))

    def samples(self, kind: str, shard: int) -> str:
        """The shard's samples of one kind."""
        return storage.join(self.run, "samples", f"kind={kind}", _file(shard))

    def rejected(self, shard: int) -> str:
        """The shard's rejects."""
        return storage.join(self.run, "rejected", _file(shard))

    def completion(self, shard: int) -> str:
        """Written last, when everything else of the shard is on disk."""
        return storage.join(self.run, "completions", f"shard-{shard:05}.json")

    @property
    def ledger(self) -> str:
        """The run's ledger."""
        return storage.join(self.run, "ledger")

    def read_scenes(self, shard: int) -> list[Scene]:
        """The shard's scenes, read."""
        table = pq.read_table(io.BytesIO(storage.read_bytes(self.scenes(shard))))
        return table_to_scenes(table)


def _file(shard: int) -> str:
    return f"shard-{shard:05}.parquet"


class ShardSummary(msgspec.Struct, frozen=True):
    """What became of one shard.

    Attributes:
        shard: Its number.
        identity: Of the run that it belongs to; a summary of another identity does not count.
        scenes: How many it held.
        requests: How many were to be answered.
        unanswered: How many were not; above 0, a later run asks again.
        samples: Kept records by kind.
        rejected: Rejects by reason.
        prompt_tokens: Of all its replies, as far as servers counted.
        completion_tokens: Likewise.
        usd: Of all its replies; None if any price is unknown.
        stopped: Why the teacher cannot be asked any more; nothing was written then.
    """

    shard: int
    identity: str
    scenes: int
    requests: int
    unanswered: int
    samples: dict[str, int]
    rejected: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    stopped: str | None = None


class _Answered(msgspec.Struct, frozen=True):
    """A shard between its two stages."""

    shard: int
    scenes: int
    asked: list[Asked]
    rejected: list[Rejected]
    stopped: str | None


class AskShard:
    """First stage, an actor: a shard's scenes become requests, and requests become replies."""

    def __init__(
        self,
        files: ShardFiles,
        recipe: Recipe,
        teacher: Callable[[], Teacher],
        in_flight: int,
        images: str | None,
        scoreboard: Any,
    ) -> None:
        """Set up one worker.

        Args:
            files: Of the run.
            recipe: What scenes become.
            teacher: Makes the teacher.
            in_flight: This worker's part of the bound.
            images: Folder in which every scene's image must exist, or None.
            scoreboard: The `Scoreboard` actor.
        """
        self._files = files
        self._recipe = recipe
        self._images = ImageFolder(images)
        self._reporter = Reporter(scoreboard)
        self._teacher = teacher()
        self._engine = Engine(self._teacher, in_flight=in_flight, on_reply=self._reporter.on_reply)
        self._known_folders = journal.folders(files.ledger)
        gc.freeze()  # what was imported stays for good: the collector need not look at it again and again

    async def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        """Answer the shards of a batch (one)."""
        return {"answered": [msgspec.msgpack.encode(await self._answer(int(shard))) for shard in batch["shard"]]}

    async def _answer(self, shard: int) -> _Answered:
        scenes = self._files.read_scenes(shard)
        scene_range = journal.SceneRange.of(scene.scene_id for scene in scenes)
        known = journal.read_replies(self._files.ledger, self._known_folders, scene_range)
        book = journal.Journal(self._files.ledger, scene_range)
        self._teacher.prepare(scenes)
        asked: list[Asked] = []
        rejected: list[Rejected] = []
        try:
            requests = self._requests(scenes, asked, rejected)
            outcomes = await self._engine.answer(requests, known=known, journal=book)
        finally:
            book.close()
        self._reporter.on_reused(sum(stub.request_id in known for stub in asked))
        self._reporter.flush()
        stopped = next((str(o) for o in outcomes if isinstance(o, TeacherStoppedError)), None)
        asked = [_with_outcome(stub, outcome) for stub, outcome in zip(asked, outcomes, strict=True)]
        return _Answered(shard, len(scenes), asked, rejected, stopped)

    def _requests(self, scenes: list[Scene], asked: list[Asked], rejected: list[Rejected]) -> Iterator[Request]:
        """Render the shard's requests one by one, noting beside each what its sample will need."""
        for scene in scenes:
            image = self._images.resolve(scene)
            if image is None:
                detail = f"{scene.file_name} is not in the images folder under any of COCO's names"
                rejected.append(Rejected(scene.scene_id, "", "", "scene", "image_missing", detail, scene.file_name))
                continue
            for kind in self._recipe.kinds:
                prompt = self._recipe.prompt(kind, scene)
                request = self._recipe.request(kind, scene, prompt)
                stub = Asked(
                    kind=kind,
                    scene_id=scene.scene_id,
                    image=image,
                    request_id=request.request_id,
                    instruction=prompt.instruction,
                    dropped=prompt.dropped,
                    reply=None,
                    failure=None,
                )
                asked.append(stub)
                yield request


def _with_outcome(stub: Asked, outcome: Outcome) -> Asked:
    if isinstance(outcome, Reply):
        return msgspec.structs.replace(stub, reply=outcome)
    return msgspec.structs.replace(stub, failure=str(outcome))


def write_shard(batch: Batch, *, files: ShardFiles, recipe: Recipe, identity: str) -> dict[str, list[Any]]:
    """Second stage, a task: the replies of a batch's shards (one) become samples or rejects, and files.

    Returns:
        A column ``summary`` of encoded `ShardSummary`.
    """
    summaries = []
    for row in batch["answered"]:
        answered = msgspec.msgpack.decode(row, type=_Answered)
        made = [to_samples(asked, recipe) for asked in answered.asked]
        samples = [sample for records in made if not isinstance(records, Rejected) for sample in records]
        rejected = [*answered.rejected, *(reject for reject in made if isinstance(reject, Rejected))]
        summary = _summarise(answered, samples, rejected, identity)
        if summary.stopped is None:
            _save(files, recipe, summary, samples, rejected)
        summaries.append(msgspec.json.encode(summary))
    return {"summary": summaries}


def _save(
    files: ShardFiles, recipe: Recipe, summary: ShardSummary, samples: list[Sample], rejected: list[Rejected]
) -> None:
    for kind in recipe.kinds:
        table = samples_to_table(sample for sample in samples if sample.kind == kind)
        _write_parquet(files.samples(kind, summary.shard), table)
    _write_parquet(files.rejected(summary.shard), rejected_to_table(rejected))
    storage.write_bytes(files.completion(summary.shard), msgspec.json.encode(summary))


def _summarise(answered: _Answered, samples: list[Sample], rejected: list[Rejected], identity: str) -> ShardSummary:
    # Equal requests share a reply, which was paid for once.
    replies = list({a.reply.request_id: a.reply for a in answered.asked if a.reply}.values())
    prices = [reply.usd for reply in replies]
    return ShardSummary(
        shard=answered.shard,
        identity=identity,
        scenes=answered.scenes,
        requests=len(answered.asked),
        unanswered=sum(asked.reply is None for asked in answered.asked),
        samples=dict(sorted(Counter(sample.kind for sample in samples).items())),
        rejected=dict(sorted(Counter(reject.reason for reject in rejected).items())),
        prompt_tokens=sum(reply.usage.prompt_tokens for reply in replies if reply.usage),
        completion_tokens=sum(reply.usage.completion_tokens for reply in replies if reply.usage),
        usd=None if None in prices else sum(price for price in prices if price is not None),
        stopped=answered.stopped,
    )


def _write_parquet(path: str, table: pa.Table) -> None:
    with storage.open_atomic(path) as stream:
        pq.write_table(table, stream, compression="zstd")


def finished_shards(files: ShardFiles, identity: str) -> dict[int, ShardSummary]:
    """Summaries of the shards that are done, by number: same identity and every request answered."""
    folder = storage.join(files.run, "completions")
    names = storage.list_files(folder)
    summaries = [msgspec.json.decode(storage.read_bytes(storage.join(folder, n)), type=ShardSummary) for n in names]
    return {s.shard: s for s in summaries if s.identity == identity and s.unanswered == 0}


def delete_stale(files: ShardFiles) -> None:
    """Delete what an earlier configuration wrote from its replies; the ledger stays."""
    for folder in ("samples", "rejected", "completions"):
        storage.delete(storage.join(files.run, folder))
