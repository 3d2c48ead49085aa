"""A local model's replies into the ledger, through `ray.data.llm`; the normal run finds them there.

Shards of scenes become the requests that the ledger cannot answer, requests become rows of tokens, vLLM answers
them in batches, and each batch is made durable by the worker that receives it. Only counts reach the driver. What
is answered already never reaches the model, and where nothing is missing the model is not even loaded.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext

from kpray.config import TeacherConfig
from kpray.errors import ConfigError, KprayError, TeacherError
from kpray.ledger.journal import SceneRange, write_replies
from kpray.pipelines.missing import missing_requests
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.shards import ShardFiles
from kpray.schemas import Reply, Request
from kpray.teachers import vllm
from kpray.teachers.vllm_chat import ERROR, REPLY_COLUMNS, Chat, to_reply, to_row

_ENGINE_RESTARTS: Final = 2
"""How often an engine that died is started again; Ray would go on for ever."""

_CPUS: Final = 0.25
"""For each small step around the engine, so that two cores are enough for all."""

Look = Callable[[int], tuple[SceneRange, list[Request]]]
"""Finds what a shard misses."""


class FillReport(msgspec.Struct):
    """What came of a fill.

    Attributes:
        missing: Requests that the ledger could not answer.
        new_replies: Made durable; those to prompts that the model cannot take are among them.
        failed: Requests without a reply; a later fill asks them again.
        reasons: Of the failed, and how often.
        prompt_tokens: Of the new replies.
        completion_tokens: Likewise.
        elapsed_s: With loading the model.
    """

    missing: int = 0
    new_replies: int = 0
    failed: int = 0
    reasons: dict[str, int] = {}
    prompt_tokens: int = 0
    completion_tokens: int = 0
    elapsed_s: float = 0.0

    def add(self, other: FillReport) -> None:
        """Add the counts of one batch."""
        self.new_replies += other.new_replies
        self.failed += other.failed
        self.reasons = dict(Counter(self.reasons) + Counter(other.reasons))
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens


def fill(
    files: ShardFiles,
    recipe: Recipe,
    shards: Sequence[int],
    settings: TeacherConfig,
    *,
    run: str,
    images: str | None = None,
    again: bool = False,
    on_progress: Callable[[FillReport], None] = lambda report: None,
) -> FillReport:
    """Ask a local model everything that the ledger cannot answer about some shards.

    Ray must have been started. A request that fails is counted and left for another time.

    Args:
        files: Of the run; its ledger is read and written.
        recipe: What scenes become.
        shards: Which shards.
        settings: The teacher's.
        run: Stands beside the replies in the ledger.
        images: Folder in which a scene's image must exist for it to be asked about, or None.
        again: Whether also to ask again for replies that have a fault.
        on_progress: Called with the counts so far, after every batch.

    Raises:
        ConfigError: A setting does not fit the model or the cluster, or no prompt fits the model.
        TeacherError: The model cannot be run; replies that were made durable before are kept.
        StorageError: The ledger cannot be written.
    """
    started = time.perf_counter()
    DataContext.get_current().raise_original_map_exception = True  # else a StorageError arrives without its name
    look = functools.partial(missing_requests, files, recipe, images=images, again=again)
    missing = _count_missing(look, shards)
    report = FillReport(missing=sum(missing.values()))
    if report.missing:
        gpus = ray.cluster_resources().get("GPU", 0.0)
        vllm.check(settings, gpus)
        chat = Chat(settings)
        _require_room(chat, look(min(missing))[1])
        write = functools.partial(
            _write,
            ledger=files.ledger,
            run=run,
            model=recipe.model.removeprefix(f"{vllm.NAME}/"),
            ends=chat.end_ids,
        )
        for counts in _stream(sorted(missing), look, write, settings, chat, gpus=gpus):
            report.add(counts)
            on_progress(report)
    report.elapsed_s = round(time.perf_counter() - started, 3)
    return report


def _count_missing(look: Look, shards: Sequence[int]) -> dict[int, int]:
    """How many requests each shard lacks, for shards that lack any."""
    if not shards:
        return {}

    def count(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "missing": len(look(int(row["shard"]))[1])}

    counted = _shard_rows(shards).map(count, num_cpus=_CPUS)
    return {row["shard"]: row["missing"] for row in _drain(counted, "looking for missing replies") if row["missing"]}


def _shard_rows(shards: Sequence[int]) -> Any:
    return ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards))


def _require_room(chat: Chat, requests: Sequence[Request]) -> None:
    """Fail before the model is loaded where its template takes none of a shard's prompts, or they are all too long.

    Raises:
        ConfigError: With the fault of the first.
    """
    faults = []
    for request in requests:
        fault = to_row(request, chat)[ERROR]
        if not fault:
            return
        faults.append(fault)
    raise ConfigError(
        f"the model can take none of the prompts; the first: {faults[0]}. If they are too long, raise "
        "`teacher.vllm.max_model_len` or lower `max_context_chars`; else choose a model that is made for chats"
    )


class _Render:
    """An actor: one shard becomes the rows of its missing requests."""

    def __init__(self, look: Look, settings: TeacherConfig) -> None:
        self._look = look
        self._chat = Chat(settings)

    def __call__(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        scenes, requests = self._look(int(row["shard"]))
        place = {"first_scene": scenes.first, "last_scene": scenes.last}
        return [{**place, **to_row(request, self._chat)} for request in requests]


def _stream(
    shards: Sequence[int],
    look: Look,
    write: Callable[[pa.Table], dict[str, list[Any]]],
    settings: TeacherConfig,
    chat: Chat,
    *,
    gpus: float,
) -> Iterator[FillReport]:
    """Answer the shards and yield the counts of every batch once its replies are durable."""
    # Rows in blocks of one batch: the engine starts with the first and its replies land as soon as it is through.
    rows = (
        _shard_rows(shards)
        .flat_map(_Render, fn_constructor_args=(look, settings), compute=ActorPoolStrategy(size=1), num_cpus=_CPUS)
        .repartition(target_num_rows_per_block=settings.vllm.batch_size)
    )
    replies = _processor(settings, chat, gpus)(rows)
    written = replies.map_batches(write, batch_size=None, batch_format="pyarrow", num_cpus=_CPUS)
    for row in _drain(written, "running vLLM"):
        yield msgspec.json.decode(row["counts"], type=FillReport)


def _processor(settings: TeacherConfig, chat: Chat, gpus: float) -> Any:
    """The engine as a step of a Ray Dataset."""
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    replicas = settings.vllm.replicas
    config = vLLMEngineProcessorConfig(
        model_source=settings.model,
        engine_kwargs=vllm.engine_arguments(settings, length=chat.length, gpus=gpus),
        batch_size=settings.vllm.batch_size,
        concurrency=(replicas, replicas),
        should_continue_on_error=True,
        placement_group_config=None if gpus else {"bundle_per_worker": {"CPU": 1}},
        chat_template_stage=False,
        tokenize_stage=False,
        detokenize_stage=False,  # the engine's own text is complete
    )
    small = {"num_cpus": _CPUS}
    processor = build_processor(config, preprocess_map_kwargs=small, postprocess_map_kwargs=small)
    engine = processor.get_stage_by_name("vLLMEngineStage")
    engine.map_batches_kwargs["max_restarts"] = _ENGINE_RESTARTS
    return processor


def _write(batch: pa.Table, *, ledger: str, run: str, model: str, ends: Collection[int]) -> dict[str, list[Any]]:
    """Make a batch's replies durable, each in its shard's folder; the counts go on."""
    rows = batch.select([name for name in REPLY_COLUMNS if name in batch.column_names]).to_pylist()
    replies = [(row, to_reply(row, model=model, ends=ends)) for row in rows]
    by_place: dict[SceneRange, list[Reply]] = {}
    for row, reply in replies:
        if reply is not None:
            by_place.setdefault(SceneRange(row["first_scene"], row["last_scene"]), []).append(reply)
    for scenes, together in by_place.items():
        write_replies(ledger, scenes, together, run=run)
    return {"counts": [msgspec.json.encode(_counts(replies))]}


def _counts(replies: Sequence[tuple[Mapping[str, Any], Reply | None]]) -> FillReport:
    usages = [reply.usage for _, reply in replies if reply and reply.usage]
    faults = Counter(row[ERROR].partition(":")[0] for row, reply in replies if reply is None)
    return FillReport(
        new_replies=len(replies) - faults.total(),
        failed=faults.total(),
        reasons=dict(faults),
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
    )


def _drain(dataset: Any, doing: str) -> Iterator[dict[str, Any]]:
    """The rows of a dataset; errors of kpray's own that rose in a worker come out as themselves.

    Raises:
        KprayError: As it rose.
        TeacherError: A worker was lost or an engine would not run.
    """
    try:
        yield from dataset.iter_rows()
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, KprayError):
            raise type(cause)(_words(cause)) from error
        raise TeacherError(
            f"{doing} failed: {_words(error)}. More is in Ray's worker logs (session_latest/logs). Replies that came "
            "before are kept; when it is mended, the same command goes on"
        ) from error


def _words(error: Exception) -> str:
    """The last line of an error's message, without the advice that Ray Data adds."""
    message, _, _ = str(error).partition("\nFailed to apply UDF")
    return message.strip().rpartition("\n")[2].strip() or type(error).__name__
