from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest

from kpray.quality.duplicates import (
    Hashes,
    Pairs,
    band_rows,
    jaccard,
    matches,
    pairs_in_buckets,
    shingles,
    sketch,
    union,
)

WORDS = [f"word{i}" for i in range(300)]


def text(draw: random.Random, length: int = 80) -> list[str]:
    return draw.choices(WORDS, k=length)


def with_changes(words: list[str], places: list[int]) -> list[str]:
    changed = words.copy()
    for place in places:
        changed[place] = "changed"
    return changed


def found_pairs(samples: list[Hashes], threshold: float, numbers: list[int] | None = None) -> Pairs:
    made = sketch(samples, threshold)
    count, bands = made.buckets.shape
    numbered = np.array(numbers if numbers is not None else range(count), dtype=np.int64)
    order = np.random.default_rng(0).permutation(count * bands)  # rows may come in any order
    return pairs_in_buckets(
        made.buckets.ravel()[order],
        np.repeat(made.content, bands)[order],
        np.repeat(made.bits, bands, axis=0)[order],
        np.repeat(numbered, bands)[order],
        threshold,
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["What is he doing?", "He runs."], ["what is he doing", "HE RUNS!"]),
        (["<image>\nWho runs?", "A man."], ["Who runs?\n<image>", "A man."]),
        (["The STRASSE is empty."], ["The straße is empty."]),
        (["Yes."], ["yes"]),
        ([""], ["<image>"]),
    ],
)
def test_case_punctuation_and_the_image_token_do_not_count(one: list[str], other: list[str]) -> None:
    assert jaccard(shingles(one), shingles(other)) == 1.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["Yes."], ["No."]),
        (["His left arm is bent."], ["His right arm is bent."]),
        (["man bites dog"], ["dog bites man"]),
        (["two people"], ["people two"]),
        (["Is it raining?", "Yes, it is."], ["Is it raining?", "No, it is not."]),
    ],
)
def test_other_words_or_another_order_count(one: list[str], other: list[str]) -> None:
    assert jaccard(shingles(one), shingles(other)) < 0.9


def test_similarity_is_that_of_the_sets_of_word_triples() -> None:
    words, other = text(random.Random(1), 100), text(random.Random(2), 100)
    mixed = words[:60] + other[:40]
    triples = {tuple(t[i : i + 3]) for t in (words,) for i in range(98)}
    mixed_triples = {tuple(mixed[i : i + 3]) for i in range(98)}
    expected = len(triples & mixed_triples) / len(triples | mixed_triples)
    assert jaccard(shingles([" ".join(words)]), shingles([" ".join(mixed)])) == pytest.approx(expected)


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_hardly_a_pair_at_the_threshold_is_missed(threshold: float) -> None:
    """The pairs are as unlike as they may be: one more changed word would make them no duplicates."""
    draw = random.Random(3)
    found, pairs = 0, 400
    for _ in range(pairs):
        words = text(draw)
        samples = [shingles([" ".join(with_changes(words, list(range(1, 80, 4))[:n]))]) for n in range(20)]
        other = max(n for n in range(20) if jaccard(samples[0], samples[n]) >= threshold)
        assert other > 0
        found += len(found_pairs([samples[0], samples[other]], threshold).near)
    assert found >= pairs - 2


def test_unlike_texts_are_hardly_ever_compared() -> None:
    draw = random.Random(4)
    samples = [shingles([" ".join(text(draw))]) for _ in range(1_000)]
    assert len(found_pairs(samples, 0.9).near) == 0


def test_bands_are_as_selective_as_the_miss_rate_allows() -> None:
    for threshold in (0.3, 0.5, 0.8, 0.9, 0.99, 1.0):
        rows = band_rows(threshold)
        assert (1 - threshold**rows) ** (128 // rows) <= 1e-3
        assert rows == 128 or (1 - threshold ** (rows + 1)) ** (128 // (rows + 1)) > 1e-3


def test_equal_samples_are_stars_around_the_first_and_are_compared_once() -> None:
    words = text(random.Random(5))
    near = with_changes(words, [40])
    samples = [shingles([" ".join(t)]) for t in (words, near, words, near, words)]
    pairs = found_pairs(samples, 0.9, numbers=[50, 20, 30, 40, 10])
    assert pairs.same.tolist() == [[10, 30], [10, 50], [20, 40]]
    assert pairs.near.tolist() == [[10, 20]]


def test_pairs_of_several_places_add_up_without_repetition() -> None:
    empty = np.empty((0, 2), dtype=np.int64)
    one = Pairs(np.array([[1, 2]]), np.array([[3, 4], [1, 3]]))
    both = union([one, Pairs(empty, np.array([[1, 3]])), Pairs(empty, empty)])
    assert (both.same.tolist(), both.near.tolist()) == ([[1, 2]], [[1, 3], [3, 4]])
    assert union([]).near.shape == (0, 2)


def test_the_rule_keeps_the_first_and_names_it() -> None:
    """Against the rule as it is worded: dropped if and only if it is near to an earlier one that is kept."""
    draw = random.Random(6)
    for _ in range(50):
        count = 12
        near = {pair: draw.random() for pair in combinations(range(count), 2) if draw.random() < 0.3}
        expected: dict[int, int] = {}
        for sample in range(count):
            for earlier in range(sample):
                if earlier not in expected and near.get((earlier, sample), 0) >= 0.5:
                    expected[sample] = earlier
                    break
        pairs = Pairs(np.empty((0, 2), dtype=np.int64), np.array(draw.sample(sorted(near), len(near))))
        dropped = matches(pairs, lambda a, b, near=near: near[a, b], 0.5)
        assert {sample: match.kept for sample, match in dropped.items()} == expected
        assert all(match.similarity == near[match.kept, sample] for sample, match in dropped.items())


def test_copies_of_a_dropped_sample_go_with_it() -> None:
    pairs = Pairs(np.array([[2, 5], [2, 3]]), np.array([[1, 2]]))
    dropped = matches(pairs, lambda a, b: 0.95, 0.9)
    assert {sample: (m.kept, m.similarity) for sample, m in dropped.items()} == dict.fromkeys((2, 3, 5), (1, 0.95))
    alone = matches(pairs, lambda a, b: 0.85, 0.9)
    assert {sample: (m.kept, m.similarity) for sample, m in alone.items()} == dict.fromkeys((3, 5), (2, 1.0))
