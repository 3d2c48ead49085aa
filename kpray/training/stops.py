"""Ending a run for a reason that another try would meet again.

Ray Train starts a group of workers again when one fails, which is right for a lost node and of no use for weights that
are no numbers any more. A worker that knows better leaves a note in the run's folder; a group that finds the note of
its own session ends at once, and the command tells what it says.
"""

from __future__ import annotations

import contextlib

import msgspec

from kpray import storage
from kpray.errors import KprayError, StorageError
from kpray.training.metrics import log_folder


class TrainingError(KprayError):
    """A run cannot go on; its last complete checkpoint is intact."""


def leave_note(out: str, session: str, message: str) -> None:
    """Say why the run ends; the first to say so is heard. On a full disk there may be no room for it."""
    with contextlib.suppress(StorageError):
        if read_note(out, session) is None:
            storage.write_bytes(_path(out, session), msgspec.json.encode({"message": message}))


def read_note(out: str, session: str) -> str | None:
    """Why this session's run ends, or None if nobody said so."""
    path = _path(out, session)
    return str(msgspec.json.decode(storage.read_bytes(path))["message"]) if storage.exists(path) else None


def _path(out: str, session: str) -> str:
    return storage.join(log_folder(out), f"stop-{session}.json")


def not_a_number(step: int, record_ids: list[str], what: str) -> str:
    """The message for a loss or gradient that is no number."""
    shown = ", ".join(record_ids[:8]) + (f" and {len(record_ids) - 8:,} more" if len(record_ids) > 8 else "")
    return (
        f"the {what} of step {step:,} is not a finite number; no checkpoint has taken it. Records of this step: "
        f"{shown}. Lower `optim.lr`, set `optim.max_grad_norm: 1.0`, or look at these records; then start "
        "again with another --out, or go on from the last checkpoint"
    )


def out_of_memory(step: int, error: BaseException) -> str:
    """The message for a worker that ran out of memory in a step (from 1)."""
    return (
        f"out of memory in step {step:,} ({str(error).splitlines()[0]}). The last checkpoint is intact. Halve "
        "`optim.batch_size` and double `optim.accumulation` (the result stays the same), lower `data.max_length`, or "
        "set `model.gradient_checkpointing`, `deepspeed.stage: 3` or `deepspeed.offload_optimizer`"
    )
