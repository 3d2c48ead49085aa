"""Teachers that answer in bulk: they fill the ledger, and the run then reads everything from there."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from kpray.config import TeacherConfig
from kpray.ledger.budget import Budget
from kpray.ledger.prices import ModelPrice
from kpray.pipelines import vllm_fill
from kpray.pipelines.batch_fill import BatchProgress
from kpray.pipelines.batch_fill import fill_by_batch as fill
from kpray.pipelines.progress import Money, Tally
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.shards import ShardFiles
from kpray.pipelines.vllm_fill import FillReport
from kpray.teachers.openai import key_from_environment

_EVERY_S: Final = 10.0


def fill_with_vllm(
    files: ShardFiles,
    recipe: Recipe,
    shards: Sequence[int],
    teacher: TeacherConfig,
    *,
    run: str,
    images: str | None,
    again: bool,
) -> Tally:
    """Have a local model answer what the ledger cannot (see `kpray.pipelines.vllm_fill.fill`)."""
    say = _now_and_then()

    def show(report: FillReport) -> None:
        say([f"{report.new_replies:,}/{report.missing:,} replies, {report.failed:,} failed, {report.elapsed_s:,.0f} s"])

    report = vllm_fill.fill(files, recipe, shards, teacher, run=run, images=images, again=again, on_progress=show)
    return Tally(
        replies=report.new_replies,
        prompt_tokens=report.prompt_tokens,
        completion_tokens=report.completion_tokens,
    )


def fill_by_batch(
    files: ShardFiles,
    recipe: Recipe,
    shards: Sequence[int],
    teacher: TeacherConfig,
    *,
    run: str,
    images: str | None,
    again: bool,
    price: ModelPrice | None,
    money: Money,
) -> Tally:
    """Have the Batch API answer what the ledger cannot (see `kpray.pipelines.batch_fill.fill_by_batch`)."""
    say = _now_and_then()

    def show(progress: BatchProgress) -> None:
        say(progress.lines())

    report = fill(
        files,
        recipe,
        shards,
        images=images,
        again=again,
        settings=teacher,
        key=key_from_environment(teacher.base_url),
        run=run,
        price=price,
        budget=Budget(money.max_usd, spent=money.spent_usd) if money.max_usd is not None else None,
        on_progress=show,
    )
    if report.budget_spent:
        print("the budget has no room for the other requests; they were not sent", file=sys.stderr)
    unpriced = report.replies if report.usd is None else 0
    return Tally(
        replies=report.replies,
        usd=report.usd or 0.0,
        unpriced=unpriced,
        prompt_tokens=report.prompt_tokens,
        completion_tokens=report.completion_tokens,
    )


def _now_and_then() -> Callable[[list[str]], None]:
    """Print to stderr what is not said too often."""
    said_at = float("-inf")

    def say(lines: list[str]) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= _EVERY_S:
            said_at = time.monotonic()
            print(*lines, sep="\n", file=sys.stderr, flush=True)

    return say
