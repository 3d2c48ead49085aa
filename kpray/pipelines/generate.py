"""From COCO annotations to a training-ready dataset: the whole of `kpray generate`.

Scenes are read once into shards; each shard is asked, parsed and written on its own, streaming through a Ray
Dataset; at the end the training files and the dataset card are put together. Every step leaves files that
the next start of the same command finds, so a run that was stopped anywhere goes on where it was.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import ray
from ray.data import ActorPoolStrategy

from kpray import storage
from kpray.coco import CocoSource, SceneFilter, check_inputs
from kpray.coco.images import ImageFolder
from kpray.coco.synthetic import write_coco
from kpray.config import GenerateConfig
from kpray.errors import InputError, KprayError, TeacherStoppedError
from kpray.lineage import fingerprint_file, fingerprint_value
from kpray.pipelines.access import TeacherAccess
from kpray.pipelines.asking import AskShard, Calls
from kpray.pipelines.card import write_card
from kpray.pipelines.duplicates import remove_duplicates
from kpray.pipelines.export import EXPORT_NAMES, LLAVA, missing_exports, write_export
from kpray.pipelines.progress import Money, ProgressLine, Scoreboard
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.run_folder import Manifest, open_run, write_manifest
from kpray.pipelines.scenes import write_scenes
from kpray.pipelines.shards import (
    ShardFiles,
    ShardSummary,
    delete_stale,
    finished_shards,
    write_shard,
)
from kpray.pipelines.spending import spending
from kpray.quality.grounding.text import SpacyAnalyzer
from kpray.teachers import model_name, reads_scene

MAX_SHARD_SCENES: Final = 512
_SMALL_RUN_SHARDS: Final = 32
_REQUESTS_PER_ACTOR: Final = 256
"""Requests in flight that one worker process handles with ease."""
_SHARDS_PER_ACTOR: Final = 2
"""Shards that a worker has open at once, so that the end of one does not leave places empty."""


def generate(config: GenerateConfig, *, rebuild: bool = False, offline: bool = False) -> Manifest:
    """Make, or finish, the dataset that a configuration describes.

    Ray must have been started (`kpray.pipelines.session.start_ray`).

    Args:
        config: What to make.
        rebuild: Whether the dataset in the folder is made anew from the ledger, also if other settings made it.
        offline: Whether the replies in the ledger are all there is, and nothing is asked.

    Returns:
        The run's manifest, as it is on disk; its status is ``complete`` or ``incomplete``.

    Raises:
        ConfigError: The folder holds another dataset, or a spaCy model is asked for that is not installed.
        InputError: The annotations cannot be used.
        TeacherError: The teacher cannot be asked; what was answered before is kept.
        StorageError: The folder cannot be written.
    """
    if config.captions and config.keypoints:
        check_inputs(CocoSource(config.captions, config.keypoints, config.instances))
    if config.check.spacy_model:
        SpacyAnalyzer(config.check.spacy_model)  # a missing model must not come to light after the first paid reply
    recipe = recipe_of(config)
    manifest, replaces = open_run(config, _identity(config, recipe), rebuild=rebuild)
    with _timed(manifest):
        _Run(config, recipe, manifest, offline=offline).finish(discard=replaces)
    return manifest


def recipe_of(config: GenerateConfig) -> Recipe:
    """The recipe of a configuration; nothing needs to be set up to know it."""
    return Recipe.of(config, model=model_name(config.teacher), reads_scene=reads_scene(config.teacher))


def inputs(config: GenerateConfig) -> tuple[CocoSource, str | None]:
    """The annotation files to read and the folder of their images; drawn here where none are given."""
    if config.captions and config.keypoints:
        return CocoSource(config.captions, config.keypoints, config.instances), config.images
    folder = storage.join(config.out, "coco")
    files = write_coco(folder, count=config.synthetic.count, seed=config.seed, images=config.synthetic.images)
    images = files.images if config.synthetic.images else None
    return CocoSource(files.captions, files.keypoints, files.instances), images


def scene_filter(config: GenerateConfig) -> SceneFilter:
    """The filter that a configuration asks for."""
    return SceneFilter(limit=config.limit, **msgspec.structs.asdict(config.scenes))


def _identity(config: GenerateConfig, recipe: Recipe) -> dict[str, Any]:
    """What decides the dataset; input files count by their contents."""
    named = {"captions": config.captions, "keypoints": config.keypoints, "instances": config.instances}
    files = {name: fingerprint_file(path) for name, path in named.items() if path}
    image_list = config.scenes.image_list
    return {
        "inputs": files or {"synthetic": config.synthetic},
        "images": config.images,
        "scenes": config.scenes,
        "image_list": fingerprint_file(image_list) if image_list else None,
        "limit": config.limit,
        "shard_size": config.shard_size,
        "recipe": recipe,
        "near_duplicates": config.check.near_duplicates,
    }


@contextmanager
def _timed(manifest: Manifest) -> Iterator[None]:
    """Record how a session ended and how long it took, however it ends."""
    session = manifest.sessions[-1]
    started = time.perf_counter()
    try:
        yield
    except BaseException as error:
        session.status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        raise
    finally:
        session.elapsed_s = round(time.perf_counter() - started, 3)
        write_manifest(manifest)


class _Run:
    """One session of work on a run's folder."""

    def __init__(self, config: GenerateConfig, recipe: Recipe, manifest: Manifest, *, offline: bool) -> None:
        self._config = config
        self._recipe = recipe
        self._manifest = manifest
        self._session = manifest.sessions[-1]
        self._files = ShardFiles.of(config)
        self._identity = fingerprint_value(manifest.identity)
        self._access = None if offline else TeacherAccess(config, manifest.run_id)

    def finish(self, *, discard: bool) -> None:
        """Do what is missing; first discard the dataset that is there, if it is to be replaced."""
        if discard:
            delete_stale(self._files)
        if not self._manifest.reading:
            self._ready()  # reading may take long; a missing key should not come to light after it
            self._manifest.reading = self._read_scenes()
            write_manifest(self._manifest)
        shards = math.ceil(self._manifest.reading["scenes"] / self._manifest.reading["shard_size"])
        done = finished_shards(self._files, self._identity)
        pending = [shard for shard in range(shards) if shard not in done]
        if pending:
            self._ready()
            self._require_images(shards)
        for summary in self._answer(pending):
            done[summary.shard] = summary
        self._put_together(shards, done.values(), changed=bool(pending))

    def _ready(self) -> None:
        """Fail now, before anything is read or asked, if the teacher could not be asked."""
        if self._access:
            self._access.require_ready()

    def _read_scenes(self) -> dict[str, Any]:
        started = time.perf_counter()
        source, images = inputs(self._config)
        shard_size = self._config.shard_size or _default_shard_size(self._config)
        folder = storage.join(self._config.out, "scenes")
        storage.delete(folder)
        report = write_scenes(source, scene_filter(self._config), folder, shard_size)
        elapsed_s = round(time.perf_counter() - started, 3)
        about_run = {"shard_size": shard_size, "image_folder": images, "elapsed_s": elapsed_s}
        return {**msgspec.to_builtins(report), **about_run}

    def _require_images(self, shards: int) -> None:
        """Fail before anything is asked if not one image is where it was said to be."""
        found = ImageFolder(self._images)
        if not any(found.resolve(scene) for shard in range(shards) for scene in self._files.read_scenes(shard)):
            example = self._files.read_scenes(0)[0].file_name
            raise InputError(
                f"none of the images is in {self._images}: expected names such as {example}, there or in a folder "
                "named like the split. Give the folder that holds them with --images"
            )

    def _put_together(self, shards: int, summaries: Iterable[ShardSummary], *, changed: bool) -> None:
        config = self._config
        if changed:
            for name in (*EXPORT_NAMES, "README.md"):  # they would no longer be true
                storage.delete(storage.join(config.out, name))
        missing = missing_exports(config.out, config.export)
        if LLAVA in missing:  # deleted above, so that a removal that was cut short is taken up
            self._remove_duplicates(shards)
        for name in missing:
            write_export(self._files, name, config.kinds, shards)
        self._manifest.totals = total(summaries, self._manifest.duplicates)
        if changed:
            self._manifest.spending = self._spending()
        self._session.status = "incomplete" if self._manifest.totals["unanswered"] else "complete"
        if not storage.exists(storage.join(config.out, "README.md")):
            write_card(self._manifest)

    def _remove_duplicates(self, shards: int) -> None:
        threshold = self._config.check.near_duplicates
        report = remove_duplicates(self._files, self._config.kinds, shards, threshold)
        self._manifest.duplicates = msgspec.to_builtins(report)
        write_manifest(self._manifest)

    def _spending(self) -> dict[str, Any]:
        unanswered = self._manifest.totals["unanswered"]
        free = reads_scene(self._config.teacher)
        return spending(self._config, self._manifest.run_id, unanswered=unanswered, free=free)

    def _answer(self, pending: list[int]) -> Iterator[ShardSummary]:
        """Get the replies for some shards, and yield each one's summary when it is written.

        Raises:
            TeacherError: The teacher cannot be asked, from the start or any more.
        """
        if not pending:
            return
        access = self._access
        if access and access.in_bulk:
            for tally in access.fill_ledger(self._files, self._recipe, pending, images=self._images):
                self._session.count(tally)
            access = None  # whatever came is in the ledger now
        yield from self._stream(pending, access)

    def _stream(self, pending: list[int], access: TeacherAccess | None) -> Iterator[ShardSummary]:
        """Run shards through the two stages and yield their summaries as they are written."""
        actors = _actor_count(self._config, len(pending))
        scoreboard = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Scoreboard).remote()
        calls = access.calls(actors) if access else None
        money = access.money if access else Money()
        line = ProgressLine(scoreboard, requests=self._requests(pending), money=money)
        try:
            with line:
                for row in self._dataset(pending, actors, calls, scoreboard).iter_rows():
                    summary = msgspec.json.decode(row["summary"], type=ShardSummary)
                    if summary.stopped is not None:
                        raise TeacherStoppedError(
                            f"{summary.stopped}. Everything answered so far is kept in {self._files.ledger}; "
                            "mend this and run the same command again"
                        )
                    yield summary
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, KprayError):
                raise error.cause from error
            raise
        finally:
            self._session.count(line.tally)

    @property
    def _images(self) -> str | None:
        folder: str | None = self._manifest.reading["image_folder"]
        return folder

    def _dataset(self, pending: list[int], actors: int, calls: Calls | None, scoreboard: Any) -> Any:
        return (
            ray.data.from_items([{"shard": shard} for shard in pending], override_num_blocks=len(pending))
            .map_batches(
                AskShard,
                fn_constructor_args=(self._files, self._recipe, self._images, scoreboard, calls),
                batch_size=1,
                compute=ActorPoolStrategy(size=actors, max_concurrent_calls_per_actor=_SHARDS_PER_ACTOR),
                num_cpus=0.5,
            )
            .map_batches(
                write_shard,
                fn_kwargs={"files": self._files, "recipe": self._recipe, "identity": self._identity},
                batch_size=1,
                num_cpus=0.5,
            )
        )

    def _requests(self, pending: list[int]) -> int:
        scenes: int = self._manifest.reading["scenes"]
        size: int = self._manifest.reading["shard_size"]
        return len(self._config.kinds) * sum(min(size, scenes - shard * size) for shard in pending)


def _default_shard_size(config: GenerateConfig) -> int:
    """Small runs get small shards, so that they too are spread over the workers."""
    known = config.limit or (config.synthetic.count if config.keypoints is None else None)
    return MAX_SHARD_SCENES if known is None else max(1, min(MAX_SHARD_SCENES, math.ceil(known / _SMALL_RUN_SHARDS)))


def _actor_count(config: GenerateConfig, pending: int) -> int:
    if config.teacher.workers is not None:
        return min(config.teacher.workers, pending)
    cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
    # A teacher that computes its answers here needs every core; one that waits for a server needs few.
    wanted = cpus if reads_scene(config.teacher) else math.ceil(config.teacher.in_flight / _REQUESTS_PER_ACTOR)
    return max(1, min(wanted, cpus, pending))


def total(summaries: Iterable[ShardSummary], duplicates: Mapping[str, Any]) -> dict[str, Any]:
    """The sums of shards' summaries (see `ShardSummary`), without the samples that are near duplicates."""
    names = ("scenes", "requests", "unanswered", "repairs", "repaired", "prompt_tokens", "completion_tokens")
    plain = Counter(dict.fromkeys(names, 0))
    samples: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    claims: dict[str, Counter[str]] = {}
    usd: float | None = 0.0
    for summary in summaries:
        plain.update({name: getattr(summary, name) for name in plain})
        samples.update(summary.samples)
        rejected.update(summary.rejected)
        faults.update(summary.faults)
        for name, verdicts in summary.claims.items():
            claims.setdefault(name, Counter()).update(verdicts)
        usd = None if usd is None or summary.usd is None else usd + summary.usd
    samples.subtract(duplicates.get("by_kind", {}))
    return {
        **plain,
        "samples": dict(sorted(samples.items())),
        "rejected": dict(rejected.most_common()),
        "duplicates": sum(duplicates.get("by_kind", {}).values()),
        "faults": dict(faults.most_common()),
        "claims": {name: dict(sorted(verdicts.items())) for name, verdicts in sorted(claims.items())},
        "usd": usd,
    }
