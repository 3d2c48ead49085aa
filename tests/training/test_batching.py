from __future__ import annotations

from itertools import chain, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray.errors import ConfigError
from kpray.training.batching import StepPlan, pack, plan_steps
from kpray.training.config import DataConfig, OptimConfig

MAX_LENGTH = 64
LENGTHS = st.lists(st.integers(1, MAX_LENGTH), min_size=1, max_size=120)
BATCHING = st.sampled_from(["packed", "grouped", "padded"])


def plan(lengths: list[int], batching: Any = "packed", *, seed: int = 0, world: int = 2, **optim: Any) -> StepPlan:
    tokens = np.array(lengths, dtype=np.int32)
    supervised = np.maximum(tokens // 2, 1)
    config = OptimConfig(**({"batch_size": 2, "accumulation": 2} | optim))
    data = DataConfig(path="x", max_length=MAX_LENGTH, batching=batching)
    return plan_steps(tokens, supervised, config, data, seed=seed, world=world)


def seen(plan: StepPlan, steps: range | None = None) -> list[int]:
    return [number for step in steps or range(plan.steps) for row in plan.rows(step) for number in row]


@given(LENGTHS, BATCHING, st.integers(1, 3), st.integers(0, 5))
def test_every_record_is_seen_exactly_once_in_each_epoch(lengths: list[int], batching: Any, epochs: int, seed: int):
    planned = plan(lengths, batching, epochs=epochs, seed=seed)
    bounds = planned.epoch_starts.tolist()
    assert len(bounds) == epochs + 1
    for first, last in pairwise(bounds):
        assert sorted(seen(planned, range(first, last))) == list(range(len(lengths)))
        assert {planned.epoch(step) for step in range(first, last)} == {bounds.index(first)}


@given(LENGTHS)
def test_no_packed_row_is_longer_than_the_limit_and_few_are_nearly_empty(lengths: list[int]):
    planned = plan(lengths)
    sums = [sum(lengths[n] for n in row) for step in range(planned.steps) for row in planned.rows(step)]
    assert max(sums) <= MAX_LENGTH
    assert sum(s <= MAX_LENGTH // 2 for s in sums) <= 1, "two such rows would fit into one"
    assert planned.fill == pytest.approx(sum(sums) / (len(sums) * MAX_LENGTH), abs=1e-4)


@given(LENGTHS, BATCHING, st.integers(1, 5))
def test_the_workers_micro_batches_are_the_step_for_any_number_of_workers(
    lengths: list[int], batching: Any, world: int
):
    planned = plan(lengths, batching, world=2)
    count = planned.accumulation(world)
    for step in range(planned.steps):
        shares = [planned.micro_batches(step, rank, world) for rank in range(world)]
        assert all(len(share) == count for share in shares)
        assert max(len(batch) for share in shares for batch in share) <= planned.batch_size
        together = [row for batch in range(count) for share in shares for row in share[batch]]
        assert together == planned.rows(step)


def test_a_short_last_step_is_shared_evenly_and_some_micro_batches_are_empty():
    planned = plan([10] * 11, "padded", world=2)  # 8 rows a step
    assert [len(planned.rows(step)) for step in range(planned.steps)] == [8, 3]
    sizes = [[len(batch) for batch in planned.micro_batches(1, rank, 2)] for rank in range(2)]
    assert sorted(chain(*sizes)) == [0, 1, 1, 1]


@given(LENGTHS, BATCHING)
def test_supervised_tokens_are_those_of_the_global_batch(lengths: list[int], batching: Any):
    planned = plan(lengths, batching, epochs=2)
    for step in range(planned.steps):
        assert planned.supervised(step) == sum(max(lengths[n] // 2, 1) for row in planned.rows(step) for n in row)


@pytest.mark.parametrize("batching", ["packed", "grouped", "padded"])
def test_the_order_follows_from_seed_and_epoch(batching: str):
    lengths = np.random.default_rng(0).integers(1, MAX_LENGTH, 200).tolist()
    once = plan(lengths, batching, epochs=2)
    assert seen(once) == seen(plan(lengths, batching, epochs=2))
    assert seen(once) != seen(plan(lengths, batching, epochs=2, seed=1))
    second = int(once.epoch_starts[1])
    assert seen(once, range(second)) != seen(once, range(second, once.steps))


def test_grouping_leaves_less_padding_than_taking_samples_as_they_come():
    lengths = np.random.default_rng(0).integers(1, MAX_LENGTH, 1000).tolist()

    def padding(batching: str) -> int:
        planned = plan(lengths, batching, batch_size=4)
        batches = (b for step in range(planned.steps) for rank in (0, 1) for b in planned.micro_batches(step, rank, 2))
        sizes = ([lengths[row[0]] for row in batch] for batch in batches if batch)
        return sum(len(batch) * max(batch) - sum(batch) for batch in sizes)

    assert padding("grouped") < padding("padded") / 3


@settings(deadline=None)
@given(st.integers(1, 30), BATCHING)
def test_max_steps_ends_the_plan_and_changes_nothing_before(steps: int, batching: Any):
    lengths = [7 + i % 40 for i in range(60)]
    whole, cut = plan(lengths, batching, epochs=3), plan(lengths, batching, epochs=3, max_steps=steps)
    assert cut.steps == min(steps, whole.steps)
    assert seen(cut) == seen(whole, range(cut.steps))
    assert cut.epoch_starts[-1] == cut.steps


def test_the_global_batch_may_be_given_and_then_does_not_depend_on_the_workers():
    one, two = (plan([5] * 40, "padded", world=world, global_batch=6) for world in (1, 2))
    assert seen(one) == seen(two)
    assert (one.accumulation(1), one.accumulation(2), one.accumulation(4)) == (3, 2, 1)


def test_packing_fills_rows_on_lengths_like_real_ones():
    lengths = np.clip(np.random.default_rng(0).lognormal(2.2, 0.6, 20_000), 1, MAX_LENGTH).astype(int).tolist()
    assert plan(lengths).fill > 0.97


def test_pack_begins_with_the_longest_and_fills_the_gap_with_the_best_pair():
    # Into the 10 left beside 20, 9 alone fits closest; 6 and 4 fill it.
    numbers, sizes = pack(np.array([10, 11, 12, 13]), np.array([4, 6, 9, 20]), 30)
    assert (numbers.tolist(), sizes.tolist()) == ([13, 11, 10, 12], [3, 1])


def test_packing_fills_rows_of_three_that_images_have_made_long():
    lengths = 576 + np.clip(np.random.default_rng(0).lognormal(4.5, 0.5, 2048), 30, 300).astype(int)
    _, sizes = pack(np.arange(2048), lengths, 2048)
    fewest = max(-(-2048 // 3), -(-int(lengths.sum()) // 2048))  # four never fit
    assert len(sizes) < 1.05 * fewest


def test_nothing_to_plan_and_records_over_the_limit_are_refused():
    with pytest.raises(ConfigError, match="no records to train on"):
        plan([])
    with pytest.raises(ConfigError, match=r"65 tokens.*max_length. 64"):
        plan([65])
