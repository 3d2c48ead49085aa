"""The manifest of a run, `run.json`: what it was asked to do, with what, and how it went."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from kpray import storage
from kpray.config import GenerateConfig
from kpray.errors import ConfigError, StorageError
from kpray.lineage import software
from kpray.pipelines.progress import Tally

Status = Literal["running", "complete", "incomplete", "interrupted", "failed"]


class Session(msgspec.Struct):
    """One start of the command on this folder.

    Attributes:
        started_at: ISO 8601, UTC.
        elapsed_s: Until it ended.
        status: How it ended; one that was killed stays ``running``.
        new_replies: As the workers reported them, like the next three.
        retried: Attempts after the first.
        asked_again: Requests that had gone out before without an answer, from a process that was killed.
        usd: Of the new replies, where the price is known.
    """

    started_at: str
    elapsed_s: float = 0.0
    status: Status = "running"
    new_replies: int = 0
    retried: int = 0
    asked_again: int = 0
    usd: float = 0.0

    def count(self, tally: Tally) -> None:
        """Take over what the workers reported."""
        self.new_replies += tally.replies
        self.retried += tally.retried
        self.asked_again += tally.asked_again
        self.usd += tally.usd


class Manifest(msgspec.Struct):
    """The contents of `run.json`.

    Attributes:
        config: Resolved, as it ran last.
        identity: What decides the dataset: inputs by content, filters, recipe. See `changed_keys`.
        software: Versions and commit.
        reading: The reader's report.
        run_id: Marks this run's replies in the ledger.
        totals: Counts over all shards.
        duplicates: What was taken out of it as near duplicates; see `kpray.pipelines.duplicates`.
        spending: What the run has bought, counted from the ledger; see `kpray.pipelines.spending`.
        sessions: Every start, in order.
    """

    config: GenerateConfig
    identity: dict[str, Any]
    software: dict[str, str]
    reading: dict[str, Any] = msgspec.field(default_factory=dict)
    run_id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)
    totals: dict[str, Any] = msgspec.field(default_factory=dict)
    duplicates: dict[str, Any] = msgspec.field(default_factory=dict)
    spending: dict[str, Any] = msgspec.field(default_factory=dict)
    sessions: list[Session] = msgspec.field(default_factory=list)

    @property
    def status(self) -> Status | None:
        """How the last session ended."""
        return self.sessions[-1].status if self.sessions else None


def manifest_path(run: str) -> str:
    """Where a run's manifest is."""
    return storage.join(run, "run.json")


def read_manifest(run: str) -> Manifest | None:
    """The manifest of a folder, or None where no run has been started.

    Raises:
        StorageError: There is a `run.json` that kpray did not write.
    """
    path = manifest_path(run)
    if not storage.exists(path):
        return None
    try:
        return msgspec.json.decode(storage.read_bytes(path), type=Manifest)
    except msgspec.MsgspecError as error:
        raise StorageError(f"{path} is not a manifest of this kpray ({error}); choose another --out") from error


def write_manifest(manifest: Manifest) -> None:
    """Write a manifest into its run's folder, atomically."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    storage.write_bytes(manifest_path(manifest.config.out), text + b"\n")


def open_run(config: GenerateConfig, identity: Mapping[str, Any], *, rebuild: bool) -> tuple[Manifest, bool]:
    """Begin a session on a run's folder.

    Args:
        config: What is to run.
        identity: What decides its dataset.
        rebuild: Whether the dataset that is there is replaced, also one that other settings made.

    Returns:
        The manifest with the new session, and whether the dataset in the folder is to be replaced.

    Raises:
        ConfigError: The folder holds a dataset of other settings, and `rebuild` is false.
        StorageError: The folder cannot be written.
    """
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(identity))  # as it will be read back
    before = read_manifest(config.out)
    changed = changed_keys(before.identity, plain) if before else []
    if changed and not rebuild:
        raise ConfigError(
            f"{config.out} holds a dataset made with other settings ({', '.join(changed)} differ). Choose another "
            "--out, or add --rebuild to make it anew here; replies that were paid for are kept and used again"
        )
    manifest = Manifest(config, plain, software(), sessions=before.sessions if before else [])
    if before:
        manifest.run_id, manifest.spending = before.run_id, before.spending
    if before and not changed:
        manifest.reading, manifest.totals = before.reading, before.totals
        manifest.duplicates = before.duplicates
    manifest.sessions.append(Session(started_at=datetime.now(UTC).isoformat(timespec="seconds")))
    storage.make_folder(config.out)
    write_manifest(manifest)
    return manifest, rebuild and before is not None


def changed_keys(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of what differs between two identities.

    >>> changed_keys({"seed": 0, "recipe": {"turns": "single"}}, {"seed": 1, "recipe": {"turns": "multi"}})
    ['recipe.turns', 'seed']
    """
    names = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            names += changed_keys(old, new, f"{prefix}{key}.")
        elif old != new:
            names.append(f"{prefix}{key}")
    return names
