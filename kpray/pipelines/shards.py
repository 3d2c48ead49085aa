"""A shard of scenes, the unit of work, of retry and of resuming: where its files are, and how they are written.

A shard's row in the Ray Dataset is one row from beginning to end, so no regrouping of blocks can tear it.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from kpray import storage
from kpray.coco.rows import table_to_scenes
from kpray.config import GenerateConfig
from kpray.errors import StorageError
from kpray.ledger.entries import is_charged
from kpray.ledger.journal import Known, SceneRange, read_ledger
from kpray.pipelines.checking import Judged, judge_all, keep
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.samples import Asked, rejected_to_table, samples_to_table
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

    def duplicates(self, kind: str, shard: int) -> str:
        """The shard's samples of one kind that were taken out as near duplicates; there is no file without any."""
        return storage.join(self.run, "duplicates", f"kind={kind}", _file(shard))

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
        requests: How many were to be answered, besides `repairs`.
        unanswered: How many of both were not; above 0, a later run asks again.
        samples: Kept records by kind.
        rejected: Rejects by reason.
        faults: First replies that had a fault, by its reason; one with several counts for each.
        repairs: How many of those were asked for again.
        repaired: How many of these came back without a fault.
        claims: Of the kept records, by name and verdict.
        prompt_tokens: Of all its replies, as far as servers counted.
        completion_tokens: Likewise.
        usd: Of all its replies; None if any price is unknown.
        stopped: Why the run cannot go on; nothing was written then.
    """

    shard: int
    identity: str
    scenes: int = 0
    requests: int = 0
    unanswered: int = 0
    samples: dict[str, int] = {}
    rejected: dict[str, int] = {}
    faults: dict[str, int] = {}
    repairs: int = 0
    repaired: int = 0
    claims: dict[str, dict[str, int]] = {}
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0
    stopped: str | None = None


class Answered(msgspec.Struct, frozen=True):
    """A shard between its two stages: asked, and not yet written.

    Attributes:
        shard: Its number.
        scenes: How many it holds.
        asked: Its requests with what came of them.
        judged: What each makes; empty where that has not been looked at yet.
        repaired: What was asked again and what came of it, by its index in `asked`.
        rejected: Scenes that nothing was asked about.
        stopped: Why the run cannot go on, or None.
    """

    shard: int
    scenes: int
    asked: list[Asked]
    judged: list[Judged]
    repaired: dict[int, Asked]
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
        summary = ShardSummary(answered.shard, identity, stopped=answered.stopped)
        if summary.stopped is None:
            result = _result(answered, files, recipe)
            summary = _summarise(answered, result, identity)
            try:
                _save(files, recipe, summary, result)
            except StorageError as error:
                summary = msgspec.structs.replace(summary, stopped=str(error))
        summaries.append(msgspec.json.encode(summary))
    return {"summary": summaries}


class _Result(NamedTuple):
    """What a shard's replies make: first as they came, then with those that were asked for again, then divided."""

    first: list[Judged]
    final: list[Judged]
    samples: list[Sample]
    rejected: list[Rejected]


def _result(answered: Answered, files: ShardFiles, recipe: Recipe) -> _Result:
    scenes = files.read_scenes(answered.shard)
    first = answered.judged or judge_all(answered.asked, scenes, recipe)
    final = list(first)
    again = judge_all(list(answered.repaired.values()), scenes, recipe)
    for index, judged in zip(answered.repaired, again, strict=True):
        final[index] = judged
    samples, rejected = [], list(answered.rejected)
    for judged in final:
        kept, dropped = keep(judged, recipe)
        samples += kept
        rejected += dropped
    return _Result(first, final, samples, rejected)


def _save(files: ShardFiles, recipe: Recipe, summary: ShardSummary, result: _Result) -> None:
    for kind in recipe.kinds:
        storage.delete(files.duplicates(kind, summary.shard))  # of samples that are made anew here
        table = samples_to_table(sample for sample in result.samples if sample.kind == kind)
        _write_parquet(files.samples(kind, summary.shard), table)
    _write_parquet(files.rejected(summary.shard), rejected_to_table(result.rejected))
    storage.write_bytes(files.completion(summary.shard), msgspec.json.encode(summary))


def _summarise(answered: Answered, result: _Result, identity: str) -> ShardSummary:
    everything = [*answered.asked, *answered.repaired.values()]
    # Equal requests share a reply, which was paid for once.
    replies = list({a.reply.request_id: a.reply for a in everything if a.reply}.values())
    prices = [reply.usd for reply in replies if is_charged(reply)]
    claims: dict[str, Counter[str]] = {}
    for sample in result.samples:
        for claim in sample.claims:
            claims.setdefault(claim.name, Counter())[claim.verdict] += 1
    return ShardSummary(
        shard=answered.shard,
        identity=identity,
        scenes=answered.scenes,
        requests=len(answered.asked),
        unanswered=sum(asked.reply is None for asked in everything),
        samples=dict(sorted(Counter(sample.kind for sample in result.samples).items())),
        rejected=dict(sorted(Counter(reject.reason for reject in result.rejected).items())),
        faults=dict(sorted(Counter(r for judged in result.first for r in {f.reason for f in judged.faults}).items())),
        repairs=len(answered.repaired),
        repaired=sum(bool(result.final[i].samples) and not result.final[i].faults for i in answered.repaired),
        claims={name: dict(sorted(counts.items())) for name, counts in sorted(claims.items())},
        prompt_tokens=sum(reply.usage.prompt_tokens for reply in replies if reply.usage),
        completion_tokens=sum(reply.usage.completion_tokens for reply in replies if reply.usage),
        usd=None if None in prices else sum(price for price in prices if price is not None),
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
    for folder in ("samples", "duplicates", "rejected", "completions"):
        storage.delete(storage.join(files.run, folder))
