"""Replies on disk, durable before anything else happens to them.

A ledger is a folder of JSON Lines files that only grow::

    ledger/<first scene>..<last scene>/<writer>.jsonl      one line a reply, or a request that went out

A shard of scenes is answered by one worker at a time, which writes a file of its own; a shard that is
answered again (a dead worker's, or a later run's) gets another file beside it. To know what has been paid
for, a worker reads the folders whose range of scenes touches its own shard's, and nothing else: no index, no
lock and no central process, whatever the ledger's size. A run with other shards finds the replies all the same.

`kpray.ledger.compaction` merges the files of a folder into one Parquet file, also while they are written; `lines`
and `packed` define what is in the files, docs/ledger.md tells the whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Sequence

import msgspec

from kpray import storage
from kpray.errors import StorageError
from kpray.ledger.entries import is_charged, rank
from kpray.ledger.files import LINES, folders, readable_lines
from kpray.ledger.lines import encode_reply, encode_sent
from kpray.ledger.ranges import SceneRange
from kpray.ledger.sinks import FileSink, ObjectSink, open_sink, sync_folder
from kpray.ledger.sweep import sweep
from kpray.schemas import Reply

__all__ = ["Journal", "Known", "RunSpending", "SceneRange", "folders", "read_ledger", "spent", "write_replies"]


class Known(msgspec.Struct, frozen=True):
    """What a ledger knows about a range of scenes.

    Attributes:
        replies: By request id.
        in_doubt: Ids of requests that were sent and have no reply; they may have been charged.
    """

    replies: dict[str, Reply]
    in_doubt: frozenset[str]


class RunSpending(msgspec.Struct, frozen=True):
    """What a run has paid, or several together.

    Attributes:
        usd: The sum; None if the price of any reply is not known.
        known_usd: The sum over the replies with a price.
        unknown: How many replies have none.
        replies: How many were charged, those that were bought a second time among them.
        asked_again: How often it sent a request once more in a later session, not having the reply; so many replies
            at most were charged besides and are lost, or are among `replies`.
        in_doubt: Requests that it sent and that nobody has a reply to; they may have been charged besides.
    """

    usd: float | None
    known_usd: float
    unknown: int
    replies: int
    asked_again: int
    in_doubt: int


def read_ledger(ledger: str, scenes: SceneRange, *, forget_errors: bool = False) -> Known:
    """Read what may concern a range of scenes, as it is now.

    Args:
        ledger: The ledger's folder; it need not exist.
        scenes: The range.
        forget_errors: Whether requests that the server refused as wrong (``finish_reason`` ``error``, never charged)
            are to count as not answered, so that they are asked again.

    Raises:
        StorageError: A file cannot be read; see `kpray.ledger.files.readable_lines`.
    """
    replies: dict[str, Reply] = {}
    sent: set[str] = set()
    for folder in folders(ledger):
        if not folder.touches(scenes):
            continue
        for line in readable_lines(ledger, folder):
            if line.sent is not None:
                sent.add(line.sent)
            elif line.reply is not None:
                known = replies.setdefault(line.reply.request_id, line.reply)
                if known is not line.reply and rank(line.reply) < rank(known):
                    replies[line.reply.request_id] = line.reply
    in_doubt = frozenset(sent.difference(replies))
    if forget_errors:
        replies = {i: reply for i, reply in replies.items() if is_charged(reply)}
    return Known(replies, in_doubt)


def spent(ledger: str, scenes: SceneRange | None, *runs: str) -> RunSpending:
    """What runs paid together for replies, in one range of scenes or (None) in the whole ledger, folder by folder.

    A reply that another run paid for costs these nothing.

    Raises:
        StorageError: A file cannot be read.
    """
    known_usd, unknown, replies, asked_again, in_doubt = 0.0, 0, 0, 0, 0
    for entry in sweep(ledger, within=scenes):
        prices = [booked.reply.usd for booked in entry.paid if booked.run in runs]
        sent = sum(by in runs for by, _ in entry.sent)
        known_usd += sum(usd for usd in prices if usd is not None)
        unknown += prices.count(None)
        replies += len(prices)
        asked_again += max(0, sent - 1)
        in_doubt += entry.in_doubt and sent > 0
    return RunSpending(None if unknown else known_usd, known_usd, unknown, replies, asked_again, in_doubt)


def write_replies(ledger: str, scenes: SceneRange, replies: Sequence[Reply], *, run: str) -> None:
    """Write many replies at once, as one new file; when this returns they are durable.

    Raises:
        StorageError: They could not be written; none of them is there then.
    """
    if replies:
        folder = storage.join(ledger, scenes.folder)
        lines = b"".join(encode_reply(reply, run) for reply in replies)
        storage.write_bytes(storage.join(folder, f"{uuid.uuid4().hex}{LINES}"), lines)
        sync_folder(folder)


class Journal:
    """Where one worker writes the replies for one shard.

    On local and shared file systems a line outlives this process as soon as it is handed in. Replies that arrive
    while the disk is busy are flushed together (group commit), so hundreds of replies a second are durable without
    hundreds of flushes. A line leaves the list of those that are to be written only once it is durable: what a full
    disk refuses goes along with the next attempt.
    """

    def __init__(self, ledger: str, scenes: SceneRange, *, run: str = "") -> None:
        """Prepare to write for one run; the file is made with the first line."""
        folder = storage.join(ledger, scenes.folder)
        self._folder = folder
        self._run = run
        self._sink: FileSink | ObjectSink = open_sink(folder)
        self._pending: list[tuple[bytes, bool]] = []  # a line, and whether it is in the file already
        self._turn = asyncio.Lock()
        self._committing = threading.Lock()

    def sent(self, request_id: str) -> None:
        """Note that a request goes out now.

        Locally the note outlives this process at once; it is flushed together with the next reply, and goes into an
        object store together with it.

        Raises:
            StorageError: It could not be written, nor could the reply be: do not send.
        """
        line = encode_sent(request_id, self._run)
        try:
            self._sink.put_soon(line)
        except OSError as error:
            raise self._failure(error) from error
        self._pending.append((line, True))

    async def append(self, reply: Reply) -> None:
        """Write a reply; when this returns it is durable.

        Raises:
            StorageError: It could not be written; it is tried again with the next reply and in `close`.
        """
        line, written = encode_reply(reply, self._run), False
        with contextlib.suppress(OSError):  # the commit tries again, and tells if it cannot
            self._sink.put_soon(line)
            written = True
        # Only now, as a commit in another thread takes what it finds here for tried.
        self._pending.append((line, written))
        async with self._turn:
            if self._pending:  # else a neighbour's commit took this line along
                await asyncio.to_thread(self._commit)

    def close(self) -> None:
        """Write what is still to be written and close the file.

        Raises:
            StorageError: Lines could not be written; they stay, and `close` may be called again.
        """
        self._commit()
        self._sink.close()

    def _commit(self) -> None:
        # A cancelled `append` leaves its thread at work here, hence a lock of threads.
        with self._committing:
            group = self._pending[:]
            if not group:
                return
            lines, written = b"".join(line for line, _ in group), all(written for _, written in group)
            try:
                self._sink.flush(lines, written=written)
            except (OSError, StorageError) as error:
                raise self._failure(error) from error
            del self._pending[: len(group)]

    def _failure(self, error: Exception) -> StorageError:
        return StorageError(
            f"cannot write the ledger in {self._folder}: {error}. {len(self._pending)} lines wait to be written: "
            "free some space there"
        )
