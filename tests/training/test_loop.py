"""The loop under Ray Train: two gloo workers, partitioned weights, and losses that do not depend on the workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("deepspeed")
pytest.importorskip("ray.train")

from hand_fed import STEPS, HandFeed, config_of, fit, losses, records

from kpray.training.checkpoints import complete_checkpoints
from kpray.training.stops import TrainingError

pytestmark = pytest.mark.ray


def shares(run: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((run / "log").glob("worker-*.json"))]


def test_zero_3_leaves_each_worker_a_part_of_the_weights(two_workers: Path) -> None:
    first, second = shares(two_workers)
    assert first["partitioned"] == second["partitioned"] > 20
    whole = first["weights"]
    assert whole == second["weights"] > 50_000
    # Norms and biases stay whole, and odd sizes are filled up: a little more than half.
    assert 0.5 * whole <= first["held"] <= 0.55 * whole
    assert first["learning"] < whole  # the vision tower is frozen


def test_one_worker_alone_takes_the_same_steps(two_workers: Path, one_worker: Path) -> None:
    two, one = losses(two_workers), losses(one_worker)
    assert list(two) == list(one) == list(range(1, STEPS + 1))
    assert [two[step] for step in two] == pytest.approx([one[step] for step in one], abs=1e-5)
    assert two[STEPS] != pytest.approx(two[1], abs=1e-3)
    assert shares(one_worker)[0]["partitioned"] == 0


def test_every_step_is_told_with_rates_by_part_and_its_records(two_workers: Path) -> None:
    lines = [json.loads(line) for line in (two_workers / "log" / "metrics.jsonl").read_text().splitlines()]
    peak = lines[1]
    assert lines[0]["lr"] == dict.fromkeys(peak["lr"], 0.0)
    assert peak["lr"]["language"] == pytest.approx(1e-3)
    assert peak["lr"]["projector"] == pytest.approx(5e-4)
    assert lines[-1]["lr"]["language"] < 1e-4
    assert all(line["grad_norm"] > 0 and line["tokens_per_s"] > 0 and line["memory_gb"] > 0 for line in lines)
    assert records(two_workers)[4] == [f"3-{row}" for row in range(4)]
    assert list((two_workers / "log" / "tensorboard").iterdir())


def test_the_newest_checkpoints_are_kept_and_hold_a_part_of_each_worker(two_workers: Path) -> None:
    kept = complete_checkpoints(str(two_workers))
    assert [checkpoint.step for checkpoint in kept] == [9, 10]
    assert {checkpoint.world for checkpoint in kept} == {2}


def test_a_loss_that_is_no_number_stops_the_run_and_names_its_records(ray_local: None, hand_folder: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss of step 6 is not a finite number.*5-0.*Lower `optim.lr`"):
        fit(config_of(hand_folder / "poisoned", workers=2, dtype="bfloat16"), HandFeed(poisoned=5))
    assert [c.step for c in complete_checkpoints(str(hand_folder / "poisoned"))] == [3]
    assert list(losses(hand_folder / "poisoned")) == [1, 2, 3, 4, 5]
