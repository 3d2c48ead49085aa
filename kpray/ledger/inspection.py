"""Looking at a ledger: what it holds, whether it is sound, one reply, all replies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from kpray import storage
from kpray.errors import InputError, StorageError
from kpray.ledger.entries import Entry
from kpray.ledger.files import FileContents, folders, read_folder
from kpray.ledger.lines import Line
from kpray.ledger.ranges import SceneRange
from kpray.ledger.sweep import OnFolder, ignore_progress, sweep
from kpray.schemas import Reply


class Damage(msgspec.Struct, frozen=True):
    """A place that cannot be read.

    Attributes:
        file: Its path.
        line: Its number, from 1; None for a whole file.
        why: What is wrong there.
    """

    file: str
    line: int | None
    why: str

    @property
    def where(self) -> str:
        """``file:line``, as editors understand it."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


class Survey(msgspec.Struct):
    """What a ledger holds.

    Attributes:
        folders: Of shards.
        files: Ledger files in them.
        bytes: Their size.
        answered: Different requests with a reply; errors among them.
        replies: Different replies that were charged for, or are the error that counts.
        bought_again: Replies that were charged for although there was one already.
        in_doubt: Requests that were sent and have no reply; they may have been charged.
        by_model: Answered requests by model and finish reason (``gpt-4o stop``).
        prompt_tokens: Of all charged replies, as far as servers counted; likewise the next two.
        completion_tokens: Likewise.
        cached_tokens: A part of the prompt tokens.
        usd: Of all charged replies with a known price.
        usd_unknown: Charged replies without one.
        first: When the oldest reply came (ISO 8601); empty where there is none.
        last: When the newest came.
        runs: Charged replies by run; an empty name is a run of version 1.
        torn: Paths of files whose last line was cut short: a crash, or somebody who is writing just now.
        damage: Lines and whole files that cannot be read.
    """

    folders: int = 0
    files: int = 0
    bytes: int = 0
    answered: int = 0
    replies: int = 0
    bought_again: int = 0
    in_doubt: int = 0
    by_model: Counter[str] = msgspec.field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    usd: float = 0.0
    usd_unknown: int = 0
    first: str = ""
    last: str = ""
    runs: Counter[str] = msgspec.field(default_factory=Counter)
    torn: list[str] = []
    damage: list[Damage] = []

    def count_file(self, contents: FileContents) -> None:
        """Take a file into account."""
        self.files += 1
        self.bytes += contents.file.size
        if contents.torn:
            self.torn.append(contents.file.path)
        if contents.unreadable:
            self.damage.append(Damage(contents.file.path, None, contents.unreadable))
        self.damage += [Damage(contents.file.path, bad.number, bad.why) for bad in contents.bad]

    def count_entry(self, entry: Entry) -> None:
        """Take a request into account."""
        best, paid = entry.best, entry.paid
        self.in_doubt += entry.in_doubt
        self.replies += len(entry.kept)
        self.bought_again += max(0, len(paid) - 1)
        if best is not None:
            self.answered += 1
            self.by_model[f"{best.reply.model or '(no model named)'} {best.reply.finish_reason or '(no reason)'}"] += 1
            self._count_time(best.reply)
        for booked in paid:
            self.runs[booked.run] += 1
            self._count_cost(booked.reply)
            self._count_time(booked.reply)

    def _count_cost(self, reply: Reply) -> None:
        if reply.usd is None:
            self.usd_unknown += 1
        else:
            self.usd += reply.usd
        if reply.usage is not None:
            self.prompt_tokens += reply.usage.prompt_tokens
            self.completion_tokens += reply.usage.completion_tokens
            self.cached_tokens += reply.usage.cached_tokens

    def _count_time(self, reply: Reply) -> None:
        self.first = min(self.first or reply.created_at, reply.created_at)
        self.last = max(self.last, reply.created_at)


def survey(ledger: str, on_folder: OnFolder = ignore_progress) -> Survey:
    """Read a whole ledger and count; what cannot be read is told and passed over."""
    counts = Survey()

    def read(ledger: str, scenes: SceneRange) -> Iterator[Line]:
        counts.folders += 1
        for contents in read_folder(ledger, scenes):
            counts.count_file(contents)
            yield from contents.lines

    for entry in sweep(ledger, read=read, on_folder=on_folder):
        counts.count_entry(entry)
    return counts


def find(ledger: str, request_id: str) -> Entry:
    """All that the ledger knows of one request.

    Raises:
        InputError: Nothing.
    """
    found = Entry(request_id)
    for scenes in folders(ledger):
        for contents in read_folder(ledger, scenes, about=request_id):
            for line in contents.lines:
                found.add(line)
    if not found.replies and not found.sent:
        raise InputError(
            f"{ledger} knows no request {request_id}. Expected the 32 hex digits of a sample's lineage.request_id, or "
            "of a rejected row's request_id"
        )
    return found


class _RunConfig(msgspec.Struct):
    ledger: str | None = None


class _Run(msgspec.Struct):
    config: _RunConfig = msgspec.field(default_factory=_RunConfig)


def find_ledger(path: str) -> str:
    """The ledger that a path means: a run's, the folder ``ledger`` in it, or the path itself.

    Raises:
        StorageError: There is no ledger.
    """
    manifest = storage.join(path, "run.json")
    named = _ledger_of(manifest) if storage.exists(manifest) else None
    candidates = [named] if named else [path, storage.join(path, "ledger")]
    ledger = next((candidate for candidate in candidates if folders(candidate)), None)
    if ledger is None:
        raise StorageError(
            f"no ledger in {candidates[-1]}: expected a run's folder, or a folder that holds folders named like "
            "139..9891. A ledger appears with the first reply"
        )
    return ledger


def _ledger_of(manifest: str) -> str | None:
    try:
        return msgspec.json.decode(storage.read_bytes(manifest), type=_Run).config.ledger
    except msgspec.DecodeError as error:
        raise StorageError(f"{manifest} is no run's manifest ({error}); give the ledger's own folder") from error
