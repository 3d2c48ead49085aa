"""A shard of scenes, the unit of work, of retry and of resuming: where its files are, and how they are written.

A shard's row in the Ray Dataset is one row from beginning to end, so no regrouping of blocks can tear it.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from kpray import storage
from kpray.coco.rows import table_to_scenes
from kpray.config import GenerateConfig
from kpray.errors import StorageError
from kpray.ledger.entries import is_charged
from kpray.ledger.journal import Known, SceneRange, read_ledger
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.samples import Asked, rejected_to_table, samples_to_table, to_samples
from kpray.schemas import Rejected, Sample, Scene

Batch = Mapping[str, Any]


class ShardFiles(msgspec.Struct, frozen=True):
    """Where the files of a run's shards are.

    Attributes:
        run: The run's folder.
        ledger: The folder of the replies, the run's own or one that it shares.
        forget_errors: Whether replies that say the server will not answer count as no replies.
    """

    run: str
    ledger: str
    forget_errors: bool = False

    @classmethod
    def of(cls, config: GenerateConfig) -> ShardFiles:
        """The files of the run that a configuration describes."""
        return cls(config.out, config.ledger or storage.join(config.out, "ledger"), config.ask_errors_again)

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

    def read_scenes(self, shard: int) -> list[Scene]:
        """The shard's scenes, read."""
        table = pq.read_table(io.BytesIO(storage.read_bytes(self.scenes(shard))))
        return table_to_scenes(table)

    def known(self, scenes: SceneRange) -> Known:
        """What the ledger holds about a range of scenes."""
        return read_ledger(self.ledger, scenes, forget_errors=self.forget_errors)


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
        stopped: Why the run cannot go on; nothing was written then.
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


class Answered(msgspec.Struct, frozen=True):
    """A shard between its two stages: asked, and not yet written.

    Attributes:
        shard: Its number.
        scenes: How many it holds.
        asked: Its requests with what came of them.
        rejected: Scenes that nothing was asked about.
        stopped: Why the run cannot go on, or None.
    """

    shard: int
    scenes: int
    asked: list[Asked]
    rejected: list[Rejected]
    stopped: str | None


def write_shard(batch: Batch, *, files: ShardFiles, recipe: Recipe, identity: str) -> dict[str, list[Any]]:
    """Second stage, a task: the replies of a batch's shards (one) become samples or rejects, and files.

    Returns:
        A column ``summary`` of encoded `ShardSummary`.
    """
    summaries = []
    for row in batch["answered"]:
        answered = msgspec.msgpack.decode(row, type=Answered)
        made = [to_samples(asked, recipe) for asked in answered.asked]
        samples = [sample for records in made if not isinstance(records, Rejected) for sample in records]
        rejected = [*answered.rejected, *(reject for reject in made if isinstance(reject, Rejected))]
        summary = _summarise(answered, samples, rejected, identity)
        if summary.stopped is None:
            try:
                _save(files, recipe, summary, samples, rejected)
            except StorageError as error:
                summary = msgspec.structs.replace(summary, stopped=str(error))
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


def _summarise(answered: Answered, samples: list[Sample], rejected: list[Rejected], identity: str) -> ShardSummary:
    # Equal requests share a reply, which was paid for once.
    replies = list({a.reply.request_id: a.reply for a in answered.asked if a.reply}.values())
    prices = [reply.usd for reply in replies if is_charged(reply)]
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
