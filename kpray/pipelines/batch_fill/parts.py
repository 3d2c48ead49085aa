"""The parts that a run's requests are cut into, on disk, under ``<run>/batches/``.

::

    00007.json       the part's state, written anew at every step
    00007.jsonl      its requests, as they are uploaded
    00007.ids.json   the same requests by shard: which reply goes where

The last two are deleted when the part is closed. A part without its state was not finished being cut, and does not
count.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final, Literal, cast

import msgspec

from kpray import storage
from kpray.errors import StorageError
from kpray.ledger.journal import SceneRange

Step = Literal["prepared", "uploading", "uploaded", "submitting", "submitted", "closed"]

_COPY_BYTES: Final = 1 << 22


class ShardIds(msgspec.Struct, frozen=True):
    """The requests of one shard in a part.

    Attributes:
        shard: Its number.
        scenes: Its place in the ledger.
        ids: Of the requests.
    """

    shard: int
    scenes: SceneRange
    ids: list[str]


class Part(msgspec.Struct, frozen=True):
    """Some requests that are sent as one batch.

    Attributes:
        run: Id of the run.
        recipe: Fingerprint of what its requests were made by.
        model: The model's name at the server.
        name: Its number, as text.
        nonce: Drawn when it was cut, so that its names at the server are nobody else's.
        requests: How many.
        bytes: Of its file.
        tokens: Expected prompt tokens.
        usd: The most that it may cost; None where the price is not known.
        shards: Numbers of the shards that it takes requests from.
        attempt: Counts from 1; each has a batch of its own.
        step: How far it is. ``uploading`` and ``submitting`` are written before the server is told, so that after a
            crash there is something to look for.
        file_id: The server's name of its file.
        batch_id: The server's name of its batch.
        outcome: How it ended, in words.
        replies: How many it brought.
    """

    run: str
    recipe: str
    model: str
    name: str = ""
    nonce: str = ""
    requests: int = 0
    bytes: int = 0
    tokens: int = 0
    usd: float | None = None
    shards: tuple[int, ...] = ()
    attempt: int = 1
    step: Step = "prepared"
    file_id: str | None = None
    batch_id: str | None = None
    outcome: str | None = None
    replies: int = 0

    @property
    def key(self) -> str:
        """What no other batch of the account has in its metadata; another attempt has another key."""
        return hashlib.blake2b(f"{self.upload_name}/{self.attempt}".encode(), digest_size=16).hexdigest()

    @property
    def upload_name(self) -> str:
        """The name of its file at the server."""
        whole = f"{self.run}/{self.name}/{self.nonce}"
        return f"kpray-{self.name}-{hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()}.jsonl"


class PartFolder:
    """The parts of one run."""

    def __init__(self, run: str) -> None:
        """Name the folder; nothing is read yet."""
        self._path = storage.join(run, "batches")

    def load(self) -> list[Part]:
        """The parts that are not closed, in order; what a crash left of others is deleted.

        Raises:
            StorageError: A state cannot be read.
        """
        names = storage.list_files(self._path)
        parts = [self._read(name) for name in names if name.endswith(".json") and not name.endswith(".ids.json")]
        unfinished = {part.name: part for part in parts if part.step != "closed"}
        for name in names:
            of = name.partition(".")[0]
            if (of not in unfinished and name != f"{of}.json") or name.endswith(".tmp"):
                storage.delete(storage.join(self._path, name))
        return [unfinished[name] for name in sorted(unfinished)]

    def next_name(self) -> str:
        """A number that no part has had."""
        taken = [int(name.partition(".")[0]) for name in storage.list_files(self._path)]
        return f"{max(taken, default=0) + 1:05}"

    def save(self, part: Part) -> Part:
        """Write a part's state, durably."""
        storage.write_bytes(self.state_file(part.name), msgspec.json.encode(part))
        return part

    def advance(self, part: Part, step: Step, **changes: object) -> Part:
        """Write that a part is one step further."""
        return self.save(msgspec.structs.replace(part, step=step, **changes))

    def close(self, part: Part, outcome: str, *, replies: int = 0) -> Part:
        """Write that nothing more will be done about a part, and delete its requests."""
        closed = self.advance(part, "closed", outcome=outcome, replies=replies)
        for ending in ("jsonl", "ids.json"):
            storage.delete(self._file(part.name, ending))
        return closed

    def write_ids(self, name: str, ids: list[ShardIds]) -> None:
        """Write which requests a part holds."""
        storage.write_bytes(self._file(name, "ids.json"), msgspec.json.encode(ids))

    def read_ids(self, name: str) -> list[ShardIds]:
        """Which requests a part holds."""
        return msgspec.json.decode(storage.read_bytes(self._file(name, "ids.json")), type=list[ShardIds])

    def state_file(self, name: str) -> str:
        """Where a part's state is."""
        return self._file(name, "json")

    def requests_file(self, name: str) -> str:
        """Where a part's requests are."""
        return self._file(name, "jsonl")

    @contextmanager
    def open_requests(self, name: str) -> Iterator[IO[bytes]]:
        """A part's requests, in a file that tells its length and can be read again from its beginning."""
        with storage.open_raw(self.requests_file(name)) as stored, tempfile.TemporaryFile() as copy:
            while chunk := stored.read(_COPY_BYTES):
                copy.write(chunk)
            copy.seek(0)
            yield cast(IO[bytes], copy)

    def _read(self, file: str) -> Part:
        path = storage.join(self._path, file)
        try:
            return msgspec.json.decode(storage.read_bytes(path), type=Part)
        except msgspec.DecodeError as error:
            raise StorageError(
                f"{path} is not the state of a batch ({error}). It tells what has been sent: mend it, or delete it "
                "and risk that its requests are paid for again"
            ) from error

    def _file(self, name: str, ending: str) -> str:
        return storage.join(self._path, f"{name}.{ending}")
