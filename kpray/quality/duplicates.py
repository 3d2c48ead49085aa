"""Which samples say the same: word shingles, MinHash signatures, and the rule that keeps the first.

Two samples are near duplicates if the Jaccard similarity of their sets of three-word shingles reaches a threshold.
MinHash (A. Broder, *On the resemblance and containment of documents*, 1997; here datasketch's) finds the pairs worth
comparing without comparing all; what it finds is then verified on the shingles themselves, so no sample is dropped by
an estimate. What it misses at the threshold is less than one pair in a thousand (`band_rows`).

Everything here depends on the texts and their order alone: hashes have fixed seeds.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from datasketch import MinHash

from kpray.schemas import IMAGE_TOKEN

Hashes = npt.NDArray[np.uint64]

MIN_ACROSS_IMAGES: Final = 20
"""A text of fewer shingles is compared with texts about the same image only."""

PERMUTATIONS: Final = 128
_SEED: Final = 1
_SHINGLE_WORDS: Final = 3
_MISSED: Final = 1e-3
"""How large a share of the pairs that are exactly as similar as the threshold may go unseen."""

_WORD: Final = re.compile(r"\w+")
_MIX: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)
"""Odd factors for a shingle's first, second and third word, so that their order counts."""

_PERMUTATION_FACTORS: Final = MinHash(PERMUTATIONS, seed=_SEED).permutations
_ONES: Final = np.array([byte.bit_count() for byte in range(256)], dtype=np.uint8)


def shingles(texts: Iterable[str]) -> Hashes:
    """The word shingles of a sample's turns, as sorted distinct hashes.

    Case, punctuation and LLaVA's ``<image>`` do not count. Fewer than three words are one shingle, no words none.

    >>> bool((shingles(["A man runs."]) == shingles(["<image>", "a man", "RUNS"])).all())
    True
    >>> len(shingles(["A man runs and a man runs."])), len(shingles(["Yes."])), len(shingles([""]))
    (4, 1, 0)
    """
    words = _WORD.findall(" ".join(texts).replace(IMAGE_TOKEN, " ").casefold())
    if not words:
        return np.empty(0, dtype=np.uint64)
    hashes = np.array([_word_hash(word) for word in words], dtype=np.uint64)
    count = max(1, len(words) - _SHINGLE_WORDS + 1)
    mixed = np.zeros(count, dtype=np.uint64)
    for i in range(min(_SHINGLE_WORDS, len(words))):
        mixed += _scatter(hashes[i : i + count] * _MIX[i])
    return np.unique(mixed)


@functools.lru_cache(maxsize=1 << 16)
def _word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def sample_shingles(turns: Iterable[str], image: str) -> Hashes:
    """The shingles by which a sample is compared: `shingles`, but those of a short text are its image's own.

    "How many people are there? Two." is no repetition where it is about another image.

    >>> two = ["How many people are there?", "Two."]
    >>> jaccard(sample_shingles(two, "1.jpg"), sample_shingles(two, "1.jpg"))
    1.0
    >>> jaccard(sample_shingles(two, "1.jpg"), sample_shingles(two, "2.jpg"))
    0.0
    """
    made = shingles(turns)
    return made if len(made) >= MIN_ACROSS_IMAGES else np.unique(_scatter(made ^ np.uint64(_word_hash(image))))


def _scatter(values: Hashes) -> Hashes:
    return values ^ (values >> np.uint64(29))


def jaccard(one: Hashes, other: Hashes) -> float:
    """Shared shingles over all shingles of two samples; two without words are equal.

    >>> jaccard(shingles(["a b c d"]), shingles(["a b c e"]))
    0.3333333333333333
    """
    shared = len(np.intersect1d(one, other, assume_unique=True))
    union = len(one) + len(other) - shared
    return shared / union if union else 1.0


class Sketch(msgspec.Struct, frozen=True):
    """What is known of some samples without their texts; row i of each array is sample i.

    Attributes:
        content: (N,) hash of the whole set of shingles: equal sets have equal ones. Of ten million samples, two that
            differ share one with a probability of 3 in a million.
        buckets: (N, B) where each of the signature's bands falls; near duplicates share at least one.
        bits: (N, 16) bytes, one bit of each permutation: how much of them agrees tells how similar two samples are.
    """

    content: Hashes
    buckets: Hashes
    bits: npt.NDArray[np.uint8]


def sketch(samples: Sequence[Hashes], threshold: float) -> Sketch:
    """Sketch some samples, given by their shingles, for a threshold."""
    signatures = np.array([_signature(sample) for sample in samples], dtype=np.uint32).reshape(-1, PERMUTATIONS)
    content = [hashlib.blake2b(sample.tobytes(), digest_size=8).digest() for sample in samples]
    return Sketch(
        content=np.frombuffer(b"".join(content), dtype=np.uint64),
        buckets=_buckets(signatures, band_rows(threshold)),
        bits=np.packbits((signatures & 1).astype(np.uint8), axis=1),
    )


def _signature(sample: Hashes) -> npt.NDArray[np.uint32]:
    minhash = MinHash(PERMUTATIONS, permutations=_PERMUTATION_FACTORS, scheme="affine32", hashfunc=int)
    minhash.update_batch(sample >> np.uint64(32))
    values: npt.NDArray[np.uint32] = minhash.hashvalues
    return values


def band_rows(threshold: float) -> int:
    """How many permutations make a band: as many as still show all but one in a thousand pairs at the threshold.

    >>> band_rows(0.9), band_rows(0.5)
    (8, 2)
    """
    sizes = range(PERMUTATIONS, 0, -1)
    return next((rows for rows in sizes if (1 - threshold**rows) ** (PERMUTATIONS // rows) <= _MISSED), 1)


def _buckets(signatures: npt.NDArray[np.uint32], rows: int) -> Hashes:
    bands = PERMUTATIONS // rows
    cut = signatures[:, : bands * rows].reshape(len(signatures), bands, rows).astype(np.uint64)
    buckets = np.broadcast_to(np.arange(bands, dtype=np.uint64), cut.shape[:2]).copy()
    for i in range(rows):
        buckets = _scatter((buckets ^ cut[:, :, i]) * _MIX[0])
    return buckets


class Pairs(msgspec.Struct, frozen=True):
    """Pairs of sample numbers, the smaller first.

    Attributes:
        same: (N, 2) samples with the same shingles: the first such sample, and each later one.
        near: (M, 2) first samples of different shingles that may be near duplicates.
    """

    same: npt.NDArray[np.int64]
    near: npt.NDArray[np.int64]


def pairs_in_buckets(
    buckets: Hashes,
    content: Hashes,
    bits: npt.NDArray[np.uint8],
    samples: npt.NDArray[np.int64],
    threshold: float,
) -> Pairs:
    """Pairs that share a bucket, where all rows of each bucket are given, in any order.

    Samples with the same shingles share all buckets, so the first of them stands for all in `Pairs.near`.

    Args:
        buckets: (R,) of `Sketch.buckets`.
        content: (R,) that go with them, as the next two.
        bits: (R, 16)
        samples: (R,) numbers of the samples, in the order in which samples are kept.
        threshold: Of similarity.
    """
    order = np.lexsort((samples, content, buckets))
    buckets, content, bits, samples = buckets[order], content[order], bits[order], samples[order]
    is_first = np.ones(len(samples), dtype=np.bool_)
    is_first[1:] = (buckets[1:] != buckets[:-1]) | (content[1:] != content[:-1])
    first_of_same = np.maximum.accumulate(np.where(is_first, np.arange(len(samples)), 0))
    same = np.column_stack([samples[first_of_same], samples])[~is_first]
    near = _near(buckets[is_first], bits[is_first], samples[is_first], _min_agreement(threshold))
    return Pairs(_distinct(same), _distinct(near))


def _near(
    buckets: Hashes, bits: npt.NDArray[np.uint8], samples: npt.NDArray[np.int64], min_agreement: int
) -> npt.NDArray[np.int64]:
    """All pairs within the buckets (sorted) whose bits agree enough: first neighbours, then the next but one, ..."""
    found = [np.empty((0, 2), dtype=np.int64)]
    rows, lag = np.arange(len(buckets)), 0
    while len(rows):
        lag += 1
        rows = rows[rows + lag < len(buckets)]
        rows = rows[buckets[rows] == buckets[rows + lag]]
        differ = _ONES[bits[rows] ^ bits[rows + lag]].sum(axis=1, dtype=np.int64)
        close = rows[differ <= PERMUTATIONS - min_agreement]
        found.append(np.sort(np.column_stack([samples[close], samples[close + lag]]), axis=1))
    return np.concatenate(found)


def _min_agreement(threshold: float) -> int:
    """How many of the bits agree at the threshold, less four standard deviations: 3 pairs in 100,000 are below."""
    share = (1 + threshold) / 2  # permutations that differ agree in one bit half of the time
    return int(PERMUTATIONS * share - 4 * (PERMUTATIONS * share * (1 - share)) ** 0.5)


def _distinct(pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.unique(pairs, axis=0) if len(pairs) else pairs.reshape(0, 2)


def union(parts: Iterable[Pairs]) -> Pairs:
    """Pairs of several places, each once, in order."""
    parts = list(parts)
    none = np.empty((0, 2), dtype=np.int64)
    same = np.concatenate([none, *(part.same for part in parts)])
    near = np.concatenate([none, *(part.near for part in parts)])
    return Pairs(_distinct(same), _distinct(near))


class Match(msgspec.Struct, frozen=True):
    """The kept sample that another one duplicates, and how similar they are (0..1)."""

    kept: int
    similarity: float


def matches(pairs: Pairs, similarity: Callable[[int, int], float], threshold: float) -> Mapping[int, Match]:
    """Decide which samples are dropped: those that are near duplicates of an earlier sample that is kept.

    Args:
        pairs: Of the whole dataset.
        similarity: Of two samples of `Pairs.near`, by number.
        threshold: From which on they are near duplicates.

    Returns:
        For each dropped sample the first kept one that it duplicates.

    >>> pairs = Pairs(np.array([[2, 3]]), np.array([[1, 2], [2, 4]]))
    >>> sorted(matches(pairs, lambda one, other: 0.95, 0.9))  # 4 is near to 2 and 3 only, which are not kept
    [2, 3]
    """
    earlier: defaultdict[int, list[int]] = defaultdict(list)
    for one, other in pairs.near.tolist():
        earlier[other].append(one)
    dropped: dict[int, Match] = {}
    for sample in sorted(earlier):
        for candidate in sorted(earlier[sample]):
            if candidate not in dropped and (value := similarity(candidate, sample)) >= threshold:
                dropped[sample] = Match(candidate, value)
                break
    for first, copy in pairs.same.tolist():
        dropped[copy] = dropped.get(first) or Match(first, 1.0)
    return dropped
