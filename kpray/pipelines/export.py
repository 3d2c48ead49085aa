"""Training files from samples/, written record by record so that memory does not grow with the dataset."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import pyarrow.parquet as pq

from kpray import storage
from kpray.config import ExportFormat
from kpray.pipelines.shards import ShardFiles
from kpray.schemas import IMAGE_TOKEN, KindName

Record = dict[str, Any]

_COLUMNS = ["sample_id", "image", "conversations"]


def iterate_samples(files: ShardFiles, kinds: tuple[KindName, ...], shards: int) -> Iterator[Record]:
    """What training needs of all samples (see `SAMPLE_SCHEMA`), by shard and then by kind."""
    for shard in range(shards):
        for kind in kinds:
            data = storage.read_bytes(files.samples(kind, shard))
            yield from pq.read_table(io.BytesIO(data), columns=_COLUMNS).to_pylist()


def to_llava(sample: Record) -> Record:
    """LLaVA's instruction format: id, image, conversations[{from, value}]."""
    return {"id": sample["sample_id"], "image": sample["image"], "conversations": sample["conversations"]}


def to_sharegpt(sample: Record) -> Record:
    """ShareGPT with images, as LLaMA-Factory reads it: conversations[{from, value}], images[]."""
    return {"id": sample["sample_id"], "conversations": sample["conversations"], "images": [sample["image"]]}


def to_messages(sample: Record) -> Record:
    """Chat messages with typed content, as TRL reads them; the image is a content part of its own."""
    roles = {"human": "user", "gpt": "assistant"}
    messages = []
    for turn in sample["conversations"]:
        text = turn["value"]
        content: list[Record] = []
        if text.startswith(IMAGE_TOKEN):
            text = text.removeprefix(IMAGE_TOKEN).lstrip("\n")
            content.append({"type": "image"})
        content.append({"type": "text", "text": text})
        messages.append({"role": roles[turn["from"]], "content": content})
    return {"id": sample["sample_id"], "images": [sample["image"]], "messages": messages}


LLAVA: Final = "llava.json"
"""The training file that every run has."""

_EXPORTS: dict[ExportFormat, tuple[str, Callable[[Record], Record]]] = {
    "sharegpt": ("sharegpt.json", to_sharegpt),
    "messages": ("messages.jsonl", to_messages),
}
_CONVERTERS: dict[str, Callable[[Record], Record]] = {LLAVA: to_llava, **dict(_EXPORTS.values())}

EXPORT_NAMES = tuple(_CONVERTERS)
"""All training files that a run may hold."""


def missing_exports(run: str, formats: tuple[ExportFormat, ...]) -> list[str]:
    """Training files that a run should have and has not."""
    names = [LLAVA, *(_EXPORTS[name][0] for name in formats)]
    return [name for name in names if not storage.exists(storage.join(run, name))]


def write_export(files: ShardFiles, name: str, kinds: tuple[KindName, ...], shards: int) -> None:
    """Write one training file (a name that `missing_exports` gives); it appears when it is complete."""
    convert = _CONVERTERS[name]
    records = (convert(sample) for sample in iterate_samples(files, kinds, shards))
    write = _write_lines if name.endswith(".jsonl") else _write_array
    write(storage.join(files.run, name), records)


def _write_lines(path: str, records: Iterator[Record]) -> None:
    with storage.open_atomic(path) as stream:
        for record in records:
            stream.write(msgspec.json.encode(record) + b"\n")


def _write_array(path: str, records: Iterator[Record]) -> None:
    """A JSON array with a record a line, so that it can be read by eye and by line tools too."""
    with storage.open_atomic(path) as stream:
        separator = b"[\n"
        for record in records:
            stream.write(separator + msgspec.json.encode(record))
            separator = b",\n"
        stream.write(b"\n]\n" if separator == b",\n" else b"[]\n")
