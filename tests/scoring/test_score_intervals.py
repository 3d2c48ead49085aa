from __future__ import annotations

import numpy as np
import pytest

from kpray.scoring.statistics.differences import detectable_difference
from kpray.scoring.statistics.intervals import Totals, resample, totals_by_image

WORLDS = ["even", "near_the_top", "two_kinds_of_images", "rare_failures"]


def ratings(world: str, random: np.random.Generator, images: int, questions: int = 3) -> np.ndarray:
    """Whole ratings from 1 to 10, correlated within an image."""
    image, question = (images, 1), (images, questions)
    if world == "even":
        drawn = 6 + 1.2 * random.normal(size=image) + 1.5 * random.normal(size=question)
    elif world == "near_the_top":
        drawn = 9.2 - random.exponential(1, image) - random.exponential(1, question)
    else:
        share, lower = (0.4, 4) if world == "two_kinds_of_images" else (0.1, 2)
        drawn = np.where(random.random(image) < share, lower, 8) + random.normal(size=question)
    return np.clip(np.rint(drawn), 1, 10)


@pytest.mark.parametrize("world", WORLDS)
def test_the_interval_covers_the_truth_in_95_of_100_benchmarks(world: str) -> None:
    truth = 10 * ratings(world, np.random.default_rng(1), 200_000).mean()
    random = np.random.default_rng(2)
    covered, naive = 0, 0
    for _ in range(1000):
        seen = ratings(world, random, 30)
        estimate = resample(Totals(seen.sum(axis=1), np.full(30, 3.0)), resamples=999).interval(scale=10)
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= truth <= estimate.high
        naive += abs(10 * seen.mean() - truth) <= 1.96 * 10 * seen.std() / 90**0.5
    assert 920 <= covered <= 970
    assert naive < covered  # questions taken as independent: too sure


def test_the_relative_score_is_covered_too() -> None:
    random = np.random.default_rng(3)
    truth, covered = 7 / 8, 0
    for _ in range(1000):
        shared = random.normal(size=(30, 1))
        model, other = (mean + shared + random.normal(size=(30, 3)) for mean in (7, 8))
        estimate = resample(Totals(model.sum(axis=1), other.sum(axis=1)), resamples=999).interval()
        covered += estimate.low <= truth <= estimate.high  # type: ignore[operator]
    assert 920 <= covered <= 970


def test_few_images_take_students_t() -> None:
    # Means 8, 6, 4: standard deviation 2, standard error 2 / sqrt(3), t of two degrees of freedom 4.30265.
    seen = resample(totals_by_image(["a", "a", "b", "b", "c", "c"], [9, 7, 6, 6, 5, 3]))
    assert seen.standard_error == pytest.approx(2 / 3**0.5)
    estimate = seen.interval(scale=10)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((60, 10.317, 109.683), abs=1e-3)
    assert seen.p_value() == pytest.approx(0.03510, abs=1e-4)  # t = 6 / 1.1547 = 5.196


def test_an_image_with_more_questions_weighs_more() -> None:
    seen = resample(totals_by_image(["a", "a", "a", "b"], [9, 9, 9, 1]))
    assert seen.value == 7
    # Residuals 27 - 3 * 7 and 1 - 7; the root of 2 / 1 * (36 + 36), by 4.
    assert seen.standard_error == pytest.approx(3.0)


def test_a_relative_score_is_a_ratio_of_sums() -> None:
    assert resample(totals_by_image(["a", "b"], [6, 8], [8, 8])).value == pytest.approx(14 / 16)


def test_without_spread_or_with_one_image_there_is_no_interval() -> None:
    for images, values in ([["a"] * 3, [7, 8, 9]], [[str(i) for i in range(30)], [7.1] * 30]):
        seen = resample(totals_by_image(images, values))
        assert seen.interval().low is None
        assert seen.p_value() is None


def test_rare_spread_falls_back_to_students_t() -> None:
    values = [8.0] * 29 + [2.0]  # a third of the resamples hold only eights
    seen = resample(totals_by_image([str(i) for i in range(30)], values))
    estimate = seen.interval()
    assert len(seen.t) == 0
    assert estimate.high == pytest.approx(7.8 + 2.04523 * 0.2, abs=1e-4)


def test_an_interval_stays_on_the_scale() -> None:
    estimate = resample(totals_by_image(["a", "b", "c"], [10, 10, 8])).interval(scale=10, within=(10, 100))
    assert estimate.low is not None
    assert 10 < estimate.low < 100 * 28 / 30
    assert estimate.high == 100.0


def test_the_same_seed_gives_the_same_interval() -> None:
    totals = Totals(ratings("even", np.random.default_rng(4), 30).sum(axis=1), np.full(30, 3.0))
    assert resample(totals).interval() == resample(totals).interval()
    assert resample(totals).interval() != resample(totals, seed=1).interval()


@pytest.mark.parametrize("images", [8, 30])
def test_p_is_below_5_percent_where_the_interval_does_not_reach_0(images: int) -> None:
    random = np.random.default_rng(5)
    for _ in range(200):
        seen = resample(Totals(random.normal(0.5, 1.2, images), np.ones(images)), resamples=999)
        estimate, p = seen.interval(), seen.p_value()
        assert estimate.low is not None
        assert p is not None
        assert (p < 0.05) == (estimate.low > 0 or estimate.high < 0) or abs(p - 0.05) < 0.003  # type: ignore[operator]


def test_no_difference_is_found_in_5_of_100_benchmarks_and_a_detectable_one_in_80() -> None:
    random = np.random.default_rng(6)
    error = (0.8**2 / 30 + 1.5**2 / 90) ** 0.5
    detectable = detectable_difference(error, 30)
    found = {0.0: 0, detectable: 0}
    for gap in found:
        for _ in range(1000):
            gaps = gap + 0.8 * random.normal(size=(30, 1)) + 1.5 * random.normal(size=(30, 3))
            p = resample(Totals(gaps.sum(axis=1), np.full(30, 3.0)), resamples=999).p_value()
            found[gap] += p is not None and p < 0.05
    assert 30 <= found[0.0] <= 75
    assert 760 <= found[detectable] <= 840


def test_many_images_are_resampled_in_little_memory() -> None:
    random = np.random.default_rng(7)
    seen = resample(Totals(random.integers(1, 11, 5000).astype(float), np.ones(5000)), resamples=999)
    estimate = seen.interval()
    assert estimate.low is not None
    half = 1.96 * seen.standard_error
    assert estimate.low == pytest.approx(seen.value - half, abs=0.1 * half)
