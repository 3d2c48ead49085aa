"""A run's folder as a stream of what came out of it, one shard in memory at a time."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterator
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from kpray import storage
from kpray.coco.rows import table_to_scenes
from kpray.errors import InputError
from kpray.schemas import Fault, GroundedClaim, Rejected, Sample, Scene, Turn

Outcome = Literal["kept", "rejected", "duplicate"]
Manifest = dict[str, Any]


class Text(msgspec.Struct, frozen=True):
    """A conversation and what the checks found in it; rejects of the checks may have it beside their reason."""

    conversations: tuple[Turn, ...] = ()
    claims: tuple[GroundedClaim, ...] = ()
    faults: tuple[Fault, ...] = ()


class Entry(msgspec.Struct, frozen=True):
    """One thing that came out of a run; exactly one of `sample` and `rejected` is set.

    Attributes:
        text: What was said; empty for a reject of which only the raw text was kept.
        sample: What was kept or, with `duplicate_of`, removed.
        rejected: What was not kept, and why.
        duplicate_of: Sample id of what it repeats; empty when it was kept.
        similarity: Of the two, 0..1; None where that was not written down.
    """

    text: Text
    sample: Sample | None = None
    rejected: Rejected | None = None
    duplicate_of: str = ""
    similarity: float | None = None

    @property
    def outcome(self) -> Outcome:
        """What became of it."""
        if self.rejected is not None:
            return "rejected"
        return "duplicate" if self.duplicate_of else "kept"

    @property
    def kind(self) -> str:
        """Of its request; empty for a scene that nothing was asked about."""
        return self.sample.kind if self.sample else self._reject.kind

    @property
    def scene_id(self) -> str:
        """Of the scene it is about."""
        return self.sample.scene_id if self.sample else self._reject.scene_id

    @property
    def entry_id(self) -> str:
        """Names it within the run, whatever shard it is in."""
        if self.sample:
            return self.sample.sample_id
        reject = self._reject
        return "-".join(part for part in (reject.scene_id, reject.kind, reject.reason, reject.request_id[:8]) if part)

    @property
    def _reject(self) -> Rejected:
        assert self.rejected is not None, "an entry holds a sample or a reject"
        return self.rejected


def read_run(run: str) -> Manifest:
    """A run's `run.json`.

    Raises:
        InputError: The folder is no run.
    """
    path = storage.join(run, "run.json")
    if not storage.exists(path):
        raise InputError(f"{run} is not a run: there is no run.json. Make one with `kpray generate --out {run}`")
    try:
        manifest = json.loads(storage.read_bytes(path))
    except ValueError as error:
        raise InputError(
            f"{path} is not a run's manifest ({error}); give the command that made the run again"
        ) from error
    if not isinstance(manifest, dict):
        raise InputError(f"{path} is not a run's manifest; expected an object, found a {type(manifest).__name__}")
    return manifest


def iterate_entries(run: str) -> Iterator[Entry]:
    """Everything that came out of a run: kept, then duplicates, then rejects.

    Raises:
        InputError: A file is not what kpray writes there.
    """
    for path, row in _rows(run, "samples"):
        yield Entry(_convert(row, Text, path), _sample(row, path))
    for path, row in _rows(run, "duplicates"):
        original = row.get("duplicate_of", "unknown")
        yield Entry(_convert(row, Text, path), _sample(row, path), None, original, row.get("similarity"))
    for path, row in _rows(run, "rejected"):
        yield Entry(_convert(row, Text, path), rejected=_convert(row, Rejected, path))


def _sample(row: dict[str, Any], path: str) -> Sample:
    kind = path.partition("kind=")[2].partition("/")[0]
    sample: Sample = _convert({"kind": kind, **row}, Sample, path)
    return sample


def read_scenes(run: str, wanted: Collection[str]) -> dict[str, Scene]:
    """Some scenes of a run, by id; ids that it does not have are left out."""
    found: dict[str, Scene] = {}
    for path in _parquet_files(run, "scenes"):
        scenes = table_to_scenes(_open(path).read())
        found |= {scene.scene_id: scene for scene in scenes if scene.scene_id in wanted}
    return found


def _rows(run: str, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows with their file; what is null, as columns are that an older run did not write, is left out."""
    for path in _parquet_files(run, folder):
        for batch in _open(path).iter_batches(batch_size=2_000):
            for row in batch.to_pylist():
                yield path, {name: value for name, value in row.items() if value is not None}


def _parquet_files(run: str, folder: str) -> Iterator[str]:
    base = storage.join(run, folder)
    return (storage.join(base, name) for name in storage.list_files(base) if name.endswith(".parquet"))


def _open(path: str) -> Any:
    try:
        return pq.ParquetFile(io.BytesIO(storage.read_bytes(path)))
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} cannot be read as Parquet ({error}); make the run again") from error


def _convert(row: dict[str, Any], wanted: Any, path: str) -> Any:
    try:
        return msgspec.convert(row, wanted)
    except msgspec.ValidationError as error:
        raise InputError(f"{path} holds a row that is no {wanted.__name__} of this kpray ({error})") from error
