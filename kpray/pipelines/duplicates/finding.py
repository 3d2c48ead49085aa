"""Finding near duplicates on Ray, in a dataset that comes in parts (the rule is in `kpray.quality.duplicates`).

1. A task for each part sketches its samples, each in every bucket that it falls into.
2. A shuffle by the buckets' hashes brings the samples of each bucket together, and tasks find the pairs in them.
3. A task for each part reads again the samples that are in a pair, and only those go to the driver, which verifies
   the pairs and decides in the order of the samples.

The driver's memory grows with the samples that are in some pair, not with the dataset. Samples are numbered by their
part and their place in it, and nothing depends on how Ray splits, merges or orders its blocks.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
from ray.data.context import ShuffleStrategy

from kpray.errors import KprayError
from kpray.quality.duplicates import Hashes, Pairs, jaccard, matches, pairs_in_buckets, sample_shingles, sketch, union

_PARTS_PER_PARTITION: Final = 8
"""Parts are some thousand samples, so a partition of the shuffle is some ten MB."""

_PART: Final = 1 << 32
"""A sample's number is its part times this, plus its place in the part."""

_ROW: Final = np.dtype([("bucket", "u8"), ("content", "u8"), ("bits", "u1", (16,)), ("sample", "i8")])
"""A sample in one of its buckets; see `kpray.quality.duplicates.Sketch`."""


class Text(msgspec.Struct, frozen=True):
    """A sample as far as duplicates are concerned: its id, its image, and the texts of its turns."""

    sample_id: str
    image: str
    turns: tuple[str, ...]


class Texts(Protocol):
    """A dataset in parts; it travels to the tasks."""

    def read(self, part: int) -> Sequence[Text]:
        """The samples of a part, always in the same order; those before are the ones to keep."""


class Duplicate(msgspec.Struct, frozen=True):
    """A sample that is to be dropped.

    Attributes:
        place: Of the sample in its part.
        duplicate_of: Id of the first kept sample that it duplicates.
        similarity: Jaccard similarity of their shingles, 0..1.
        same_image: Whether the two are about one image.
    """

    place: int
    duplicate_of: str
    similarity: float
    same_image: bool


class _Paired(msgspec.Struct, frozen=True):
    """A sample that is in some pair."""

    sample_id: str
    image: str
    shingles: Hashes


def find_duplicates(texts: Texts, parts: int, threshold: float) -> dict[int, list[Duplicate]]:
    """Find what is to be dropped, on the running Ray cluster.

    Args:
        texts: The dataset.
        parts: How many parts it has.
        threshold: Jaccard similarity from which on two samples are near duplicates, above 0 and at most 1.

    Returns:
        By part, in the order of the samples; parts with nothing to drop are left out.

    Raises:
        KprayError: A part cannot be read.
    """
    if not parts:
        return {}
    with own_errors():
        pairs = _pairs(texts, parts, threshold)
        paired = _read_paired(texts, np.unique(np.concatenate([pairs.same, pairs.near])))
    found = matches(pairs, lambda a, b: jaccard(paired[a].shingles, paired[b].shingles), threshold)
    by_part: defaultdict[int, list[Duplicate]] = defaultdict(list)
    for sample, match in sorted(found.items()):
        kept = paired[match.kept]
        same_image = kept.image == paired[sample].image
        by_part[sample // _PART].append(Duplicate(sample % _PART, kept.sample_id, match.similarity, same_image))
    return dict(by_part)


@contextmanager
def own_errors() -> Iterator[None]:
    """Let kpray's own errors arrive from the tasks of `rows_of_parts` as they were raised, and be told once."""
    log = logging.getLogger("ray.data")
    level = log.level
    log.setLevel(logging.CRITICAL)  # what it would log as an error is raised here
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, KprayError):
            message, *_ = str(error.cause).split("\nFailed to apply UDF")  # Ray appends its advice on retries
            raise type(error.cause)(message) from error
        raise
    finally:
        log.setLevel(level)


def rows_of_parts(rows: Sequence[Mapping[str, Any]]) -> Any:
    """A Ray Dataset with a row in each block, so that each is a task's work."""
    dataset = ray.data.from_items(list(rows), override_num_blocks=len(rows))
    dataset.context.raise_original_map_exception = True
    return dataset


def _pairs(texts: Texts, parts: int, threshold: float) -> Pairs:
    """Every pair worth comparing."""
    partitions = math.ceil(parts / _PARTS_PER_PARTITION)
    buckets = rows_of_parts([{"part": part} for part in range(parts)]).map_batches(
        _sketch_part,
        fn_kwargs={"texts": texts, "threshold": threshold, "partitions": partitions},
        batch_size=1,
        num_cpus=0.5,
    )
    # Ray's default of 2.60 starts a process for each stage of a shuffle: seconds for what this does in half of one.
    buckets.context.shuffle_strategy = ShuffleStrategy.SORT_SHUFFLE_PULL_BASED
    found = buckets.groupby("partition", num_partitions=partitions).map_groups(
        _pairs_in_partition, fn_kwargs={"threshold": threshold}, batch_format="pyarrow", num_cpus=0.5
    )
    return union(_to_pairs(batch) for batch in found.iter_batches(batch_size=None, batch_format="numpy"))


def _sketch_part(batch: Mapping[str, Any], *, texts: Texts, threshold: float, partitions: int) -> dict[str, list[Any]]:
    """A row for each partition of the shuffle, with the part's `_ROW`s in it: few rows are shuffled fast."""
    (part,) = batch["part"].tolist()
    made = sketch([sample_shingles(text.turns, text.image) for text in texts.read(part)], threshold)
    count, bands = made.buckets.shape
    rows = np.empty((count, bands), dtype=_ROW)
    rows["bucket"], rows["content"] = made.buckets, made.content[:, None]
    rows["bits"], rows["sample"] = made.bits[:, None], (part * _PART + np.arange(count))[:, None]
    flat = rows.ravel()
    partition = flat["bucket"] % np.uint64(partitions)
    order = np.argsort(partition, kind="stable")
    edges = np.searchsorted(partition[order], np.arange(1, partitions, dtype=np.uint64))
    return {
        "partition": list(range(partitions)),
        "rows": [piece.tobytes() for piece in np.split(flat[order], edges)],
    }


def _pairs_in_partition(table: pa.Table, *, threshold: float) -> dict[str, npt.NDArray[Any]]:
    rows = np.concatenate([np.frombuffer(piece.as_buffer(), dtype=_ROW) for piece in table["rows"]])
    pairs = pairs_in_buckets(rows["bucket"], rows["content"], rows["bits"], rows["sample"], threshold)
    both = np.concatenate([pairs.same, pairs.near])
    return {"one": both[:, 0], "other": both[:, 1], "same": np.arange(len(both)) < len(pairs.same)}


def _to_pairs(batch: Mapping[str, npt.NDArray[Any]]) -> Pairs:
    both = np.column_stack([batch["one"], batch["other"]])
    return Pairs(both[batch["same"]], both[~batch["same"]])


def _read_paired(texts: Texts, samples: npt.NDArray[np.int64]) -> dict[int, _Paired]:
    """Read some samples again, by number."""
    places: defaultdict[int, list[int]] = defaultdict(list)
    for sample in samples.tolist():
        places[sample // _PART].append(sample % _PART)
    if not places:
        return {}
    rows = rows_of_parts([{"part": part, "places": wanted} for part, wanted in places.items()])
    read = rows.map_batches(_read_places, fn_kwargs={"texts": texts}, batch_size=1, num_cpus=0.5)
    return dict(_by_number(read.iter_rows()))


def _read_places(batch: Mapping[str, Any], *, texts: Texts) -> pa.Table:
    (part,) = batch["part"].tolist()
    places = batch["places"][0].tolist()
    found = texts.read(part)
    return pa.table(
        {
            "sample": [part * _PART + place for place in places],
            "sample_id": [found[place].sample_id for place in places],
            "image": [found[place].image for place in places],
            "shingles": [sample_shingles(found[place].turns, found[place].image).tobytes() for place in places],
        }
    )


def _by_number(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, _Paired]]:
    for row in rows:
        yield row["sample"], _Paired(row["sample_id"], row["image"], np.frombuffer(row["shingles"], dtype=np.uint64))
