"""A training run's `run.json`: what it was asked to do, with what software, and how it went."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from kpray import storage
from kpray.errors import ConfigError, StorageError
from kpray.lineage import software
from kpray.training.config import TrainConfig

Status = Literal["running", "complete", "interrupted", "failed"]

_PACKAGES = ("torch", "transformers", "deepspeed", "accelerate", "peft", "liger-kernel", "flash-attn")


class TrainSession(msgspec.Struct):
    """One start of the command on this folder.

    Attributes:
        started_at: ISO 8601, UTC.
        from_step: Steps that were done before.
        to_step: Steps of the newest complete checkpoint at its end.
        workers: Asked for.
        elapsed_s: Until it ended.
        status: How it ended; one that was killed stays ``running``.
    """

    started_at: str
    from_step: int = 0
    to_step: int = 0
    workers: int = 0
    elapsed_s: float = 0.0
    status: Status = "running"


class TrainManifest(msgspec.Struct):
    """The contents of `run.json`.

    Attributes:
        config: Resolved, as it ran last; paths are absolute.
        identity: What decides the weights; see `identity_of`.
        software: Versions and commit.
        data: Fingerprint of the prepared records, how many, tokens, what was skipped by reason.
        global_batch: Sequences in a step; the same for good.
        steps: Of the whole run.
        sessions: Every start, in order.
        kind: Tells it from other commands' manifests.
    """

    config: TrainConfig
    identity: dict[str, Any]
    software: dict[str, str]
    global_batch: int
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    steps: int = 0
    sessions: list[TrainSession] = msgspec.field(default_factory=list)
    kind: Literal["train"] = "train"


def identity_of(config: TrainConfig) -> dict[str, Any]:
    """What decides the weights that come out.

    How a global batch is divided (workers, batch size, accumulation), where things lie, and what is told does not.
    """
    fields: dict[str, Any] = msgspec.to_builtins(config)
    optim = {key: fields["optim"][key] for key in fields["optim"] if key not in ("batch_size", "accumulation")}
    optim.pop("global_batch")  # `TrainManifest.global_batch` holds it, also where it follows from the others
    model = {key: fields["model"][key] for key in ("name", "frozen", "lora", "dtype")}
    data = {key: fields["data"][key] for key in ("path", "kinds", "limit", "max_length", "batching")}
    return {"data": data, "model": model, "optim": optim, "zero_stage": config.deepspeed.stage, "seed": config.seed}


def manifest_path(out: str) -> str:
    """Where a run's manifest is."""
    return storage.join(out, "run.json")


def read_train_manifest(out: str) -> TrainManifest | None:
    """The manifest of a folder, or None where nothing has been started.

    Raises:
        ConfigError: The folder is another command's.
        StorageError: There is a `run.json` that kpray did not write.
    """
    path = manifest_path(out)
    if not storage.exists(path):
        return None
    raw = storage.read_bytes(path)
    try:
        return msgspec.json.decode(raw, type=TrainManifest)
    except msgspec.MsgspecError as error:
        if b'"ledger"' in raw or b'"reading"' in raw:
            raise ConfigError(f"{out} holds a dataset of `kpray generate`; choose another --out") from error
        raise StorageError(f"{path} is not a manifest of this kpray ({error}); choose another --out") from error


def write_train_manifest(manifest: TrainManifest) -> None:
    """Write a manifest into its run's folder, atomically."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    storage.write_bytes(manifest_path(manifest.config.out), text + b"\n")


def open_manifest(config: TrainConfig) -> TrainManifest:
    """The manifest of a folder with this configuration, read or made; nothing is written.

    Raises:
        ConfigError: The folder holds a run of other settings.
    """
    before = read_train_manifest(config.out)
    optim = config.optim
    asked = optim.global_batch or optim.batch_size * optim.accumulation * config.workers.count
    if before is None:
        return TrainManifest(config, _plain(identity_of(config)), versions(), asked)
    differs = changed(before.identity, _plain(identity_of(config)))
    if optim.global_batch not in (None, before.global_batch):
        differs.append("optim.global_batch")
    if differs:
        raise ConfigError(
            f"{config.out} holds a training run of other settings ({', '.join(differs)} differ). Choose another --out, "
            "or give the same settings to go on"
        )
    before.config, before.software = config, versions()
    return before


@contextmanager
def session(manifest: TrainManifest, from_step: int) -> Iterator[TrainSession]:
    """Note a start of the command, and how it ends."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    began, entry = time.monotonic(), TrainSession(now, from_step, from_step, manifest.config.workers.count)
    manifest.sessions.append(entry)
    write_train_manifest(manifest)
    try:
        yield entry
    except BaseException as error:
        entry.status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with suppress(StorageError):  # on a full disk, the error in hand is the one to tell
            _note_end(manifest, entry, began)
        raise
    entry.status = "complete"
    _note_end(manifest, entry, began)


def _note_end(manifest: TrainManifest, entry: TrainSession, began: float) -> None:
    entry.elapsed_s = round(time.monotonic() - began, 3)
    write_train_manifest(manifest)


def versions() -> dict[str, str]:
    """Software of training, beside what every run records."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return software() | found


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))  # as it is read back
    return plain


def changed(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of what differs between two identities.

    >>> changed({"seed": 0, "model": {"lora": None}}, {"seed": 1, "model": {"lora": {}}})
    ['model.lora', 'seed']
    """
    names = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            names += changed(old, new, f"{prefix}{key}.")
        elif old != new:
            names.append(f"{prefix}{key}")
    return names
