"""The end of a run: the model it made, in its own folder."""

from __future__ import annotations

import json

from kpray import storage
from kpray.training.export import export
from kpray.training.run import TrainResult


def export_result(result: TrainResult) -> str | None:
    """Write a finished run's model into ``<out>/model``; one of an earlier checkpoint there is replaced.

    Returns:
        The folder; None where the run is on an object store, to which models are not written.

    Raises:
        ConfigError: The folder holds something else.
        StorageError: The checkpoint cannot be read, or the model not be written.
    """
    if "://" in result.out:
        return None
    folder = storage.join(result.out, "model")
    made_from = _made_from(folder)
    if made_from is not None and result.checkpoint.endswith(made_from):
        return folder
    if made_from is not None:
        storage.delete(folder)
    return export(result.checkpoint, folder).out


def _made_from(folder: str) -> str | None:
    """The checkpoint that a model in a folder was exported from, relative to its run; None without one."""
    path = storage.join(folder, "lineage.json")
    return str(json.loads(storage.read_bytes(path))["checkpoint"]) if storage.exists(path) else None
