"""Reading what is learned from: a kpray run's folder, or a file in LLaVA's form, one record after the other.

Neither is ever held whole. A record that cannot be understood comes out as `Skipped`; what makes a whole dataset
unusable is an error.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import pyarrow.parquet as pq
from pyarrow.fs import FileType

from kpray import llava, storage
from kpray.errors import ConfigError, InputError
from kpray.lineage import fingerprint_file, fingerprint_value
from kpray.schemas import IMAGE_TOKEN, KIND_NAMES, Turn
from kpray.training.config import DataConfig
from kpray.training.types import Record, Skipped

_ROLES: Final = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt"}


def read_records(data: DataConfig) -> Iterator[Record | Skipped]:
    """The records of a dataset, in its order, up to `DataConfig.limit`.

    Raises:
        ConfigError: `DataConfig.kinds` does not fit the dataset.
        InputError: There is no dataset, it is empty, or it breaks off.
        StorageError: It cannot be read.
    """
    files = dataset_files(data)
    whole = _read_run(data.path, files) if _is_run(data.path) else _read_file(data.path)
    records = itertools.islice(whole, data.limit)
    first = next(records, None)
    if first is None:
        raise InputError(f"{data.path} holds no records. {llava.EXPECTED}, with at least one record.")
    yield first
    yield from records


def dataset_files(data: DataConfig) -> list[str]:
    """Paths of the files that hold the records, in the order in which they are read.

    Raises:
        ConfigError: `DataConfig.kinds` does not fit the dataset.
        InputError: There is no dataset.
    """
    if not storage.exists(data.path):
        raise InputError(f"there is no {data.path}. {llava.EXPECTED}.")
    if _is_run(data.path):
        return [storage.join(data.path, "samples", name) for name in _shards(data)]
    if _is_folder(data.path):
        raise InputError(f"{data.path} is a folder without a run.json, so no kpray run. {llava.EXPECTED}.")
    if data.kinds:
        raise ConfigError("`data.kinds` chooses from a kpray run's folder; `data.path` is a file. Drop `data.kinds`")
    return [data.path]


def image_folder(data: DataConfig) -> str | None:
    """The folder that image paths are relative to; None where nothing says it."""
    if data.images is not None or not _is_run(data.path):
        return data.images
    manifest = msgspec.json.decode(storage.read_bytes(storage.join(data.path, "run.json")))
    folder: str | None = manifest.get("reading", {}).get("image_folder")
    return folder


def fingerprint_dataset(data: DataConfig) -> str:
    """Hash of the records' files by content, and of what chooses among them (16 hex digits)."""
    paths = dataset_files(data)
    names = _shards(data) if _is_run(data.path) else [""]
    files = [(name, fingerprint_file(path)) for name, path in zip(names, paths, strict=True)]
    return fingerprint_value([files, data.limit])


def _is_run(path: str) -> bool:
    return storage.exists(storage.join(path, "run.json"))


def _is_folder(path: str) -> bool:
    files, inner = storage.resolve(path)
    return bool(files.get_file_info(inner).type == FileType.Directory)


def _shards(data: DataConfig) -> list[str]:
    """Names of a run's tables below samples/, by shard and then by kind."""
    names = [name for name in storage.list_files(storage.join(data.path, "samples")) if name.endswith(".parquet")]
    there = {name.split("/")[0].removeprefix("kind=") for name in names}
    missing = sorted(set(data.kinds) - there)
    if missing:
        raise ConfigError(
            f"`data.kinds` names {', '.join(missing)}; {data.path} has {', '.join(sorted(there)) or 'no samples'}"
        )
    order = {f"kind={kind}": place for place, kind in enumerate(KIND_NAMES)}
    wanted = [name for name in names if not data.kinds or name.split("/")[0].removeprefix("kind=") in data.kinds]
    return sorted(wanted, key=lambda name: (name.split("/")[1], order.get(name.split("/")[0], 0)))


def _read_run(run: str, files: Sequence[str]) -> Iterator[Record | Skipped]:
    for path in files:
        table = pq.read_table(
            io.BytesIO(storage.read_bytes(path)), columns=["sample_id", "image", "conversations"], partitioning=None
        )
        for row in table.to_pylist():
            yield understand(row, row["sample_id"])


def _read_file(path: str) -> Iterator[Record | Skipped]:
    for place, value in enumerate(map(_decode, llava.read_records(path))):
        found = value.get("id") if isinstance(value, Mapping) else None
        # LLaVA's own files repeat ids, so the place makes them unique.
        yield understand(value, f"{'record' if found is None else found}@{place}")


def understand(value: Any, record_id: str) -> Record | Skipped:
    """One record, as decoded from JSON, in LLaVA's or ShareGPT's form.

    >>> understand({"conversations": []}, "7@0")
    Skipped(record_id='7@0', reason='malformed', detail='`conversations` is not a list with at least one exchange')
    """
    try:
        turns = _turns(value)
        image = _image(value)
        _check_placeholder(turns, image)
    except _MalformedError as error:
        return Skipped(record_id, "malformed", str(error))
    return Record(record_id, image, turns)


class _MalformedError(Exception):
    pass


def _turns(value: Any) -> tuple[Turn, ...]:
    if isinstance(value, BaseException):
        raise _MalformedError(f"not JSON: {value}")
    if not isinstance(value, Mapping):
        raise _MalformedError(f"expected an object, found {str(value)[:40]!r}")
    said = value.get("conversations")
    if not isinstance(said, list) or len(said) < 2:
        raise _MalformedError("`conversations` is not a list with at least one exchange")
    turns = tuple(_turn(turn) for turn in said)
    if any(turn.role != ("human", "gpt")[i % 2] for i, turn in enumerate(turns)) or len(turns) % 2:
        roles = ", ".join(turn.role for turn in turns[:6])
        raise _MalformedError(f"`conversations` is not human and gpt in turn, but {roles}")
    return turns


def _turn(turn: Any) -> Turn:
    role = _ROLES.get(str(turn.get("from"))) if isinstance(turn, Mapping) else None
    if role is None or not isinstance(turn.get("value"), str):
        raise _MalformedError(f"a turn is not {{from: human or gpt, value: text}}: {str(turn)[:60]}")
    return msgspec.convert({"from": role, "value": turn["value"]}, Turn)


def _image(value: Mapping[str, Any]) -> str | None:
    named = value.get("image") or value.get("images")
    if isinstance(named, list) and len(named) == 1:
        named = named[0]
    if named and not isinstance(named, str):
        raise _MalformedError(f"expected the path of one image, found {str(named)[:60]}")
    return named or None


def _check_placeholder(turns: Sequence[Turn], image: str | None) -> None:
    found = turns[0].value.count(IMAGE_TOKEN)
    if bool(found) != (image is not None):
        has = "an image" if image is not None else "no image"
        raise _MalformedError(f"the record has {has}, and its first turn {IMAGE_TOKEN} {found} times")


def _decode(raw: bytes) -> Any:
    """A record, or the error of one that is no JSON."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        return error
