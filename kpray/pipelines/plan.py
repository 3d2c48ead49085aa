"""What a run would ask, what the ledger answers already, and what the rest takes: tokens, USD and hours."""

from __future__ import annotations

import math
import random
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from kpray.coco import check_inputs, read_scenes
from kpray.coco.images import ImageFolder
from kpray.config import GenerateConfig, LimitsConfig
from kpray.errors import BudgetSpentError, InputError
from kpray.ledger.journal import SceneRange
from kpray.ledger.prices import ModelPrice, find_price
from kpray.ledger.tokenizers import Counter, find_counter
from kpray.pipelines.checking import judge_all, repairs
from kpray.pipelines.forecast import (
    Duration,
    KindForecast,
    Part,
    Prompts,
    Seen,
    forecast_kind,
    forecast_total,
    how_long,
    seen_of,
)
from kpray.pipelines.generate import inputs, recipe_of, scene_filter
from kpray.pipelines.pilot import PilotReport, draw, run_pilot
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.rendering import render
from kpray.pipelines.samples import Asked
from kpray.pipelines.shards import ShardFiles
from kpray.schemas import KindName, Reply, Request, Scene, Usage

MOST_SCENES: Final = 20_000
"""Of more scenes than these a sample is looked at."""

_LOOKED_UP_AT_ONCE: Final = 512


class KindPlan(msgspec.Struct, frozen=True):
    """One kind of a plan, or all kinds.

    Attributes:
        kind: Its name, or ``total``.
        requests: Of the whole run.
        answered: Of these, what the ledger answers.
        rest: What the others take.
    """

    kind: str
    requests: int
    answered: int
    rest: KindForecast


class Plan(msgspec.Struct, frozen=True):
    """What a run would take.

    Attributes:
        model: ``teacher/model``.
        mode: ``live`` or ``batch``.
        scenes: That the run has.
        scenes_looked_at: Fewer where a sample stands for all; counts and tokens are scaled up then.
        kinds: By kind.
        total: Over all kinds.
        duration: Of asking; None is unknown.
        price: Of the model; None is unknown.
        counted_by: How the prompts' lengths are measured.
        max_usd: The run's budget.
        pilot: What was asked for this plan; None where nothing was.
        unknown: What cannot be told, and what would help.
    """

    model: str
    mode: str
    scenes: int
    scenes_looked_at: int
    kinds: tuple[KindPlan, ...]
    total: KindPlan
    duration: Duration | None
    price: ModelPrice | None
    counted_by: str
    max_usd: float | None
    pilot: PilotReport | None
    unknown: tuple[str, ...]


class _Drawn(NamedTuple):
    """Scenes that stand for all of a run's, in order."""

    scenes: list[Scene]
    of: int


class _Row(msgspec.Struct):
    """A request and what came of it.

    Attributes:
        scene: It is about.
        stub: Its place in a run, with the reply where there is one.
        length: Of its prompt.
        in_pilot: Whether the reply was got just now.
        repair: The request that the reply's faults lead to, if any.
        repair_reply: The reply to that.
    """

    scene: Scene
    stub: Asked
    length: int
    in_pilot: bool = False
    repair: Request | None = None
    repair_reply: Reply | None = None

    @property
    def kind(self) -> KindName:
        """Of the request."""
        return self.stub.kind


def make_plan(config: GenerateConfig, *, pilot: int = 0, most_scenes: int = MOST_SCENES) -> Plan:
    """Plan a run; nothing is written but the replies of a pilot, into the run's ledger.

    Args:
        config: Of the run.
        pilot: How many requests are to be answered for certain, over all kinds; those that are not yet are asked.
        most_scenes: Of more scenes than these a sample is looked at.

    Raises:
        InputError: The annotations cannot be used.
        TeacherError: A pilot could not be asked.
    """
    drawn = _draw_scenes(config, most_scenes)
    recipe = recipe_of(config)
    counter = find_counter(config.teacher)
    rows = _rows(config, recipe, counter, drawn.scenes)
    report = _pilot(config, recipe, rows, pilot) if pilot else None
    return _plan(config, recipe, counter, drawn, rows, report)


def _draw_scenes(config: GenerateConfig, most: int) -> _Drawn:
    """Read all scenes and keep them, or a sample of them in which each is as likely as any other."""
    kept: list[tuple[int, Scene]] = []
    chance = random.Random(config.seed)
    number = -1
    for number, scene in enumerate(_scenes(config)):
        if number < most:
            kept.append((number, scene))
        elif (place := chance.randint(0, number)) < most:
            kept[place] = (number, scene)
    if not kept:
        raise InputError("no scene is left after filtering")
    return _Drawn([scene for _, scene in sorted(kept, key=lambda pair: pair[0])], number + 1)


def _scenes(config: GenerateConfig) -> Iterator[Scene]:
    with tempfile.TemporaryDirectory() as scratch:  # synthetic annotations are drawn there, without pictures
        without_images = msgspec.structs.replace(config.synthetic, images=False)
        source, _ = inputs(msgspec.structs.replace(config, out=scratch, synthetic=without_images))
        check_inputs(source)
        yield from read_scenes(source, scene_filter(config))


def _rows(config: GenerateConfig, recipe: Recipe, counter: Counter, scenes: Sequence[Scene]) -> list[_Row]:
    files, folder = ShardFiles.of(config), ImageFolder(config.images)
    rows: list[_Row] = []
    for begin in range(0, len(scenes), _LOOKED_UP_AT_ONCE):
        some = scenes[begin : begin + _LOOKED_UP_AT_ONCE]
        replies = files.known(SceneRange.of(scene.scene_id for scene in some)).replies
        before = len(rows)
        for rendered in render(some, recipe, folder):
            stub = msgspec.structs.replace(Asked.of(rendered), reply=replies.get(rendered.request.request_id))
            rows.append(_Row(rendered.scene, stub, counter.count(rendered.request)))
        _look_for_faults(recipe, rows[before:], replies)
    return rows


def _look_for_faults(recipe: Recipe, rows: Sequence[_Row], replies: Mapping[str, Reply]) -> None:
    """Note what some rows' replies have to be asked again for."""
    answered = [row for row in rows if row.stub.reply and row.repair is None] if recipe.repairs else []
    scenes = {row.scene.scene_id: row.scene for row in answered}
    asked = [row.stub for row in answered]
    judged = judge_all(asked, list(scenes.values()), recipe)
    for i, request in repairs(asked, judged, scenes.values(), recipe).items():
        answered[i].repair, answered[i].repair_reply = request, replies.get(request.request_id)


def _pilot(config: GenerateConfig, recipe: Recipe, rows: Sequence[_Row], count: int) -> PilotReport:
    """Make sure that so many rows have replies, asked again for their faults as the run would, and note them."""
    drawn = draw({kind: [row for row in rows if row.kind == kind] for kind in recipe.kinds}, count, seed=config.seed)
    requests = {row.stub.request_id: _request(recipe, row) for row in drawn if row.stub.reply is None}
    report, replies = run_pilot(config, list(requests.values()))
    new = [row for row in rows if row.stub.reply is None and row.stub.request_id in replies]
    for row in new:
        row.stub, row.in_pilot = msgspec.structs.replace(row.stub, reply=replies[row.stub.request_id]), True
    _look_for_faults(recipe, new, {})
    return msgspec.structs.replace(
        _pilot_again(config, drawn, report), wanted=len(drawn), faulty=sum(row.repair is not None for row in drawn)
    )


def _pilot_again(config: GenerateConfig, drawn: Sequence[_Row], report: PilotReport) -> PilotReport:
    """Ask again for replies with a fault, as far as the budget goes."""
    again = {row.repair.request_id: row.repair for row in drawn if row.repair and row.repair_reply is None}
    try:
        more, replies = run_pilot(config, list(again.values()))
    except BudgetSpentError as error:
        return msgspec.structs.replace(report, stopped=str(error))
    for row in drawn:
        if row.repair and row.repair.request_id in replies:
            row.repair_reply = replies[row.repair.request_id]
    return report.plus(more)


def _request(recipe: Recipe, row: _Row) -> Request:
    return recipe.request(row.kind, row.scene, recipe.prompt(row.kind, row.scene))


def _plan(
    config: GenerateConfig,
    recipe: Recipe,
    counter: Counter,
    drawn: _Drawn,
    rows: Sequence[_Row],
    report: PilotReport | None,
) -> Plan:
    price = find_price(config.teacher.model, config.teacher)
    scale = drawn.of / len(drawn.scenes)
    parts: list[tuple[Part, KindPlan]] = []
    sample: list[Seen] = []
    for kind in recipe.kinds:
        of_kind = [row for row in rows if row.kind == kind]
        seen = _seen(of_kind)
        prompts = _prompts(of_kind, scale)
        batch = config.teacher.mode == "batch"
        part = forecast_kind(seen, prompts, price=price, batch=batch, exact_prompts=counter.exact)
        requests = round(len(of_kind) * scale)
        parts.append((part, KindPlan(kind, requests, requests - prompts.count, part[0])))
        sample += seen
    kinds = tuple(kind for _, kind in parts)
    rest = forecast_total([part for part, _ in parts], sample)
    requests = sum(kind.requests for kind in kinds)
    total = KindPlan("total", requests, requests - rest.requests, rest)
    duration = _duration(config, rest, sample, report)
    return Plan(
        model=recipe.model,
        mode=config.teacher.mode,
        scenes=drawn.of,
        scenes_looked_at=len(drawn.scenes),
        kinds=kinds,
        total=total,
        duration=duration,
        price=price,
        counted_by=counter.name,
        max_usd=config.max_usd,
        pilot=report,
        unknown=tuple(_unknown(config, rest, price, duration)),
    )


def _seen(rows: Iterable[_Row]) -> list[Seen]:
    """The sample, without the reply that came first if nothing of its prompt was in the server's cache yet."""
    answered = [(row.stub.reply, row) for row in rows if row.stub.reply]
    answered.sort(key=lambda pair: pair[0].created_at)
    seen = [found for reply, row in answered if (found := _seen_of(reply, row))]
    begins_cold = len(seen) > 1 and not seen[0].usage.cached_tokens and seen[1].usage.cached_tokens > 0
    return seen[begins_cold:]


def _seen_of(reply: Reply, row: _Row) -> Seen | None:
    """A reply, together with the one that was asked for because of its faults."""
    first = seen_of(reply, row.length)
    if first is None or row.repair is None:
        return first
    again = seen_of(row.repair_reply, row.length) if row.repair_reply else None
    if again is None:  # not asked yet: the prompt is longer by the reply, and the answer about as long
        prompt = first.usage.prompt_tokens + first.usage.completion_tokens
        again = Seen(row.length, Usage(prompt, first.usage.completion_tokens), first.latency_s)
    return first.plus(again)


def _prompts(rows: Sequence[_Row], scale: float) -> Prompts:
    lengths = [row.length for row in rows if row.stub.reply is None]
    if not lengths:
        return Prompts(0, 0.0)
    error = 0.0
    if scale > 1 and len(lengths) > 1:  # a sample without replacement stands for all
        error = statistics.stdev(lengths) / math.sqrt(len(lengths)) * math.sqrt(1 - 1 / scale)
    # What the pilot answered stands for itself alone: it was taken from the sample.
    in_pilot = sum(row.in_pilot for row in rows)
    return Prompts(round((len(lengths) + in_pilot) * scale) - in_pilot, statistics.fmean(lengths), error)


def _duration(
    config: GenerateConfig, rest: KindForecast, sample: Sequence[Seen], report: PilotReport | None
) -> Duration | None:
    teacher = config.teacher
    if teacher.mode == "batch" or teacher.name != "openai":
        return None
    tokens = None
    if rest.prompt_tokens and rest.completion_tokens:
        tokens = rest.prompt_tokens.mean + rest.completion_tokens.mean
    # What was set by hand holds in the pilot's limits too.
    limits = LimitsConfig(report.requests_per_minute, report.tokens_per_minute) if report else teacher.limits
    latency_s = statistics.fmean(seen.latency_s for seen in sample) if sample else None
    return how_long(rest.requests, tokens, limits=limits, in_flight=teacher.in_flight, latency_s=latency_s)


def _unknown(
    config: GenerateConfig, rest: KindForecast, price: ModelPrice | None, duration: Duration | None
) -> Iterator[str]:
    if price is None:
        yield (
            f"the price of {config.teacher.model}: give it in USD per million tokens with "
            "--set teacher.price.prompt=... --set teacher.price.completion=..."
        )
    if rest.completion_tokens is None and not (price and price.is_free):
        yield "how long replies are: there is none yet; --pilot 50 asks a few, which the run then has already"
    if duration is None and config.teacher.mode == "batch":
        yield "hours: a batch may take up to a day, and most take less"
    elif duration is None and config.teacher.name == "openai":
        yield "hours: name the account's limits (--set teacher.limits.requests_per_minute=...), or add --pilot 50"
