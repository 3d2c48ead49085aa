"""Fills a run's ledger with replies through OpenAI's Batch API.

The shards' missing requests are cut into parts, each part becomes a batch, and the results of a batch go into the
ledger as soon as it has ended. What a batch left unanswered is still missing, and goes into a part of the next round.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from kpray.config import TeacherConfig
from kpray.errors import TeacherStoppedError, TeacherUnavailableError
from kpray.ledger.budget import Budget, most_usd
from kpray.ledger.journal import SceneRange
from kpray.ledger.prices import require_price
from kpray.ledger.tokens import TokenMeter
from kpray.lineage import fingerprint_value
from kpray.pipelines.batch_fill.collecting import Collector
from kpray.pipelines.batch_fill.cutting import Cutter, Limits, MissingRequests
from kpray.pipelines.batch_fill.lines import encode_line
from kpray.pipelines.batch_fill.money import Reservations
from kpray.pipelines.batch_fill.parts import Part, PartFolder
from kpray.pipelines.batch_fill.queue import Queue
from kpray.pipelines.batch_fill.report import BatchProgress, BatchReport, PartProgress
from kpray.pipelines.batch_fill.results import Collected
from kpray.pipelines.batch_fill.submitting import Submitter
from kpray.pipelines.missing import missing_requests
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.shards import ShardFiles
from kpray.schemas import Reply, Request
from kpray.teachers.completions import NO_MONEY
from kpray.teachers.openai import Secret
from kpray.teachers.openai_batch import TOKEN_LIMIT, BatchAccount, BatchState, NotTakenError

if TYPE_CHECKING:
    from kpray.ledger.prices import ModelPrice

_FRUITLESS_ROUNDS: Final = 3
"""So many rounds without a single reply end the work."""

_REFUSALS: Final = 3
"""So often in a row the server may have no room for a part, though nothing of ours is there, before it is halved."""

_LEARN_FROM: Final = 2_000
"""Requests that are kept in memory, to learn from their replies how many tokens they take."""


def fill_by_batch(
    files: ShardFiles,
    recipe: Recipe,
    shards: Sequence[int],
    *,
    images: str | None,
    again: bool = False,
    settings: TeacherConfig,
    key: Secret,
    run: str,
    price: ModelPrice | None,
    budget: Budget | None,
    on_progress: Callable[[BatchProgress], None],
) -> BatchReport:
    """Answer all requests of some shards that the ledger cannot answer yet; called again, it goes on.

    At most one process may work on a run.

    Args:
        files: Of the run; what has been sent is written down under ``<run>/batches/``.
        recipe: What scenes become.
        shards: Their numbers.
        images: Folder in which a scene's image must exist for it to be asked about, or None.
        again: Whether also to ask again for replies that have a fault.
        settings: Of the teacher.
        key: Of the account.
        run: Id of the run; marks replies, files and batches.
        price: Of the model; None leaves the replies' cost unknown.
        budget: What may be spent; None is no limit. It is settled as batches end.
        on_progress: Called after every look at the batches.

    Raises:
        ConfigError: A request is too large for a batch, or there is a budget and no price.
        TeacherStoppedError: The key does not work, or the account's money is used up.
        TeacherUnavailableError: The server is out of reach, or answers nothing time after time.
        TeacherError: The server refuses a part, or has lost results.
        StorageError: The run or its ledger cannot be read or written.
    """
    if budget is not None and price is None:
        price = require_price(settings)
    account = BatchAccount(settings, key)
    look = functools.partial(missing_requests, files, recipe, images=images, again=again)
    work = _Fill(files, recipe, look, settings, account, run, price, budget, on_progress)
    try:
        return work.fill(set(shards))
    finally:
        account.close()


class _Fill:
    """One call of `fill_by_batch`."""

    def __init__(
        self,
        files: ShardFiles,
        recipe: Recipe,
        look: Callable[[int], tuple[SceneRange, list[Request]]],
        settings: TeacherConfig,
        account: BatchAccount,
        run: str,
        price: ModelPrice | None,
        budget: Budget | None,
        on_progress: Callable[[BatchProgress], None],
    ) -> None:
        self._files = files
        self._look = look
        self._price = price
        self._on_progress = on_progress
        patience_s, poll_s = settings.retry_for_s, settings.batch.poll_s
        made_by = fingerprint_value((recipe, settings.model, settings.base_url is None))
        self._blank = Part(run=run, recipe=made_by, model=settings.model)
        self._folder = PartFolder(files.run)
        self._limits = Limits(settings.batch)
        self._money = Reservations(budget)
        self._meter = TokenMeter()
        self._cutter = self._make_cutter(settings)
        self._submitter = Submitter(account, self._folder, patience_s=patience_s, poll_s=poll_s)
        self._queue = Queue(account, max_tokens=settings.batch.max_enqueued_tokens, poll_s=poll_s)
        self._collector = Collector(
            account, self._folder, files, self._blank.model, price, patience_s, on_reply=self._on_reply
        )
        self._ready: deque[Part] = deque()
        self._resumed: dict[str, Part] = {}
        self._shards: set[int] = set()
        self._todo: set[int] = set()
        self._samples: dict[str, Request] = {}
        self._refused_requests: set[str] = set()
        self._failing = False
        self._halved = False
        self._last_end = ""
        self._report = BatchReport(usd=None if price is None else 0.0)

    def _make_cutter(self, settings: TeacherConfig) -> Cutter:
        price, meter, own_server = self._price, self._meter, settings.base_url is not None
        return Cutter(
            self._folder,
            self._limits,
            meter,
            self._money,
            encode=functools.partial(encode_line, model=settings.model, own_server=own_server),
            worst_usd=functools.partial(most_usd, price=price, meter=meter, batch=True) if price else None,
            blank=self._blank,
            on_request=self._keep_sample,
        )

    def fill(self, shards: set[int]) -> BatchReport:
        """Do rounds until nothing is missing, or nothing more can be had."""
        self._shards, self._todo = shards, set(shards)
        self._resume()
        fruitless = 0
        while self._todo or self._ready or self._queue:
            before, self._halved = self._report.replies, False
            self._round()
            if self._report.budget_spent:
                break
            fruitless = 0 if self._halved or self._report.replies > before else fruitless + 1
            if self._todo and fruitless == _FRUITLESS_ROUNDS:
                raise TeacherUnavailableError(
                    f"{fruitless} attempts in a row brought no reply; the last was {self._last_end}. What was answered "
                    "before is in the ledger: start again to try once more"
                )
        return self._finished()

    def _finished(self) -> BatchReport:
        self._report.submitted, self._report.adopted = self._submitter.submitted, self._submitter.adopted
        return self._report

    def _resume(self) -> None:
        """Take up the parts of an earlier call."""
        for part in self._folder.load():
            if part.step == "submitted":
                self._take_up(part, None)
            elif part.recipe == self._blank.recipe and self._money.hold(part):
                self._ready.append(part)
                self._resumed[part.name] = part
            elif part.step == "submitting" and (found := self._submitter.find(part)):
                self._take_up(*found)
            else:
                self._folder.close(part, "never sent: the run or its budget has changed")

    def _take_up(self, part: Part, state: BatchState | None) -> None:
        self._money.hold_submitted(part)
        self._resumed[part.name] = part
        self._queue.add(part, state)

    def _round(self) -> None:
        """Send what is missing, and wait until nothing is under way."""
        source = MissingRequests(sorted(self._todo), self._missing)
        self._todo, self._failing = set(), False
        while True:
            self._submit(source)
            if not self._queue and not self._ready:
                break
            ended = [self._end(part, state) for part, state in self._queue.look()]
            self._tell()
            if not any(ended) or self._queue.crowded:
                self._queue.wait()
        self._todo |= source.left()

    def _missing(self, shard: int) -> tuple[SceneRange, list[Request]]:
        """What a shard misses and no part is under way with."""
        scenes, requests = self._look(shard)
        taken = set(self._refused_requests)
        for part in self._resumed.values():
            if shard in part.shards:
                taken.update(i for entry in self._folder.read_ids(part.name) if entry.shard == shard for i in entry.ids)
        return scenes, [request for request in requests if request.request_id not in taken]

    def _submit(self, source: MissingRequests) -> None:
        """Submit parts as long as there is room, cutting them as they are needed."""
        while self._ready or self._cut(source):
            if not self._queue.has_room(self._ready[0]):
                return
            part = self._ready.popleft()
            try:
                part, state = self._submitter.submit(part)
            except NotTakenError as error:
                self._not_taken(part, error)
            else:
                self._queue.add(part, state)

    def _cut(self, source: MissingRequests) -> bool:
        if self._failing or self._money.exceeded:
            return False
        part = self._cutter.cut(source)
        if part is not None:
            self._ready.append(part)
        elif self._cutter.budget_full and not self._queue:
            self._report.budget_spent = True
        return part is not None

    def _not_taken(self, part: Part, error: NotTakenError) -> None:
        if error.code != TOKEN_LIMIT:
            self._close(part, str(error), None)
            raise error
        self._no_room(part, str(error))

    def _no_room(self, part: Part, why: str) -> None:
        """The account's enqueued tokens are used up: the part waits for another attempt, or is made smaller."""
        self._queue.refuse(part)
        again = self._folder.advance(part, "uploaded", batch_id=None, attempt=part.attempt + 1)
        if not self._queue.refusals or self._queue.refusals % _REFUSALS:
            self._ready.appendleft(again)
            return
        self._close(again, why, None)
        if part.requests == 1:
            raise TeacherUnavailableError(
                f"the server has no room for a single request of about {part.tokens:,} tokens ({why}). Other programs "
                "may be using the account's enqueued tokens: start again later"
            )
        self._limits.lower_tokens(part.tokens // 2)
        self._halved = True

    def _end(self, part: Part, state: BatchState) -> bool:
        """Deal with a batch that has ended; False if it has to be looked at again."""
        if state.status == "failed" and state.has_fault(frozenset({TOKEN_LIMIT})):
            self._no_room(part, state.why)
            return True
        collected = self._collector.collect(part, state)
        if collected is None:
            return False
        self._queue.remove(part)
        self._close(part, state.why, collected)
        self._last_end = f"batch {state.batch_id}: {_why(state, collected)}"
        if state.has_fault(NO_MONEY):
            raise TeacherStoppedError(f"{self._last_end}. Add money to the account, and start again")
        if collected.stops:
            raise TeacherStoppedError(f"{self._last_end}. No request can succeed until that is mended")
        self._failing = state.status == "failed" or (self._failing and not collected.replies)
        return True

    def _close(self, part: Part, outcome: str, collected: Collected | None) -> None:
        """A part is done with: what it left unanswered is missing again."""
        self._folder.close(part, outcome, replies=collected.replies if collected else 0)
        self._resumed.pop(part.name, None)
        self._money.settle(part, collected)
        unanswered = set(part.shards) if collected is None else collected.unanswered_shards
        self._todo |= unanswered & self._shards
        if collected is not None:
            self._report.add(collected)

    def _keep_sample(self, request: Request) -> None:
        if len(self._samples) < _LEARN_FROM:
            self._samples[request.request_id] = request

    def _on_reply(self, reply: Reply) -> None:
        sample = self._samples.pop(reply.request_id, None)
        if sample is not None:
            self._meter.observe(sample, reply.usage)
        if reply.finish_reason == "error":
            self._refused_requests.add(reply.request_id)

    def _tell(self) -> None:
        waiting = [PartProgress(part.name, "", "waiting", 0, 0, part.requests) for part in self._ready]
        parts = (*self._queue.progress(), *waiting)
        self._on_progress(BatchProgress(parts, self._report.replies, self._report.usd, self._queue.note))


def _why(state: BatchState, collected: Collected) -> str:
    reasons = "; ".join(f"{count:,} x {why}" for why, count in collected.failures.most_common(3))
    return f"{state.why} ({reasons})" if reasons else state.why
