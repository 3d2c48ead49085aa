"""Runs that are killed go on with the losses of one that was not, also with another number of workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

pytest.importorskip("deepspeed")
pytest.importorskip("ray.train")

import hand_fed
from hand_fed import STEPS, config_of, fit, fit_all, losses, records

from kpray.training.checkpoints import complete_checkpoints, newest_checkpoint
from kpray.training.config import LoraConfig
from kpray.training.weights import read_weights

pytestmark = pytest.mark.ray

ADAPTERS = {
    "lora": LoraConfig(rank=4, alpha=8, dropout=0.0),
    "dropout": LoraConfig(rank=4, alpha=8, dropout=0.5),
}


@contextmanager
def driver(out: Path, workers: int) -> Iterator[subprocess.Popen[bytes]]:
    """The run as a process of its own, with a Ray of its own; killed at the end, as is its Ray."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (out.parent / f"{out.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, hand_fed.__file__, str(out), str(workers)], env=environment, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.kill()
            process.wait()
            gone_or_kill(below)


def gone_or_kill(processes: list[psutil.Process]) -> None:
    for one in psutil.wait_procs(processes, timeout=20)[1]:
        one.kill()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], timeout_s: float = 900) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, "the run ended before that"
        assert time.monotonic() < deadline, "the run stands still"
        time.sleep(0.02)


def checkpointed(out: Path, step: int) -> bool:
    newest = newest_checkpoint(str(out))
    return newest is not None and newest.step >= step


def kill_a_worker(process: subprocess.Popen[bytes]) -> None:
    below = psutil.Process(process.pid).children(recursive=True)
    workers = [p for p in below if "RayTrainWorker" in " ".join(p.cmdline())]
    workers[-1].send_signal(signal.SIGKILL)


def same_steps(run: Path, other: Path) -> None:
    mine, theirs = losses(run), losses(other)
    assert list(mine) == list(theirs) == list(range(1, STEPS + 1))
    assert list(mine.values()) == pytest.approx(list(theirs.values()), abs=1e-5)
    assert records(run) == records(other)


def without_its_last_checkpoint(run: Path, copy: Path) -> Path:
    """A run's copy as it was before its last checkpoint was complete."""
    shutil.copytree(run, copy)
    last = complete_checkpoints(str(copy))[-1]
    (Path(last.path) / "part-00000.json").unlink()
    assert [checkpoint.step for checkpoint in complete_checkpoints(str(copy))] == [9]
    return copy


def test_a_killed_worker_and_a_killed_driver_change_no_step(two_workers: Path) -> None:
    out = two_workers.parent / "killed"
    with driver(out, workers=2) as process:
        wait_for(lambda: checkpointed(out, 3), process)
        kill_a_worker(process)
        wait_for(lambda: checkpointed(out, 6), process)
    # The driver is gone, in the middle of the run; one worker alone ends what two began.
    assert not checkpointed(out, STEPS)
    assert fit(config_of(out, workers=1)) == STEPS
    same_steps(out, two_workers)


@pytest.fixture(scope="module")
def other_runs(two_workers: Path) -> Path:
    """Runs of two workers with ZeRO stages 0 to 2, and with adapters, one of them with dropout."""
    folder = two_workers.parent
    stages = [config_of(folder / f"stage-{stage}", workers=2, stage=stage) for stage in (0, 1, 2)]
    fit_all([*stages, *(config_of(folder / name, workers=2, lora=lora) for name, lora in ADAPTERS.items())])
    return folder


@pytest.fixture(scope="module")
def resumed_by_one(other_runs: Path) -> Path:
    """Copies whose last step one worker took."""
    folder = other_runs
    for name in ("stage-0", "stage-1", "stage-2", "lora"):
        without_its_last_checkpoint(folder / name, folder / f"{name}-by-one")
    stages = [config_of(folder / f"stage-{stage}-by-one", workers=1, stage=stage) for stage in (0, 1, 2)]
    fit_all([*stages, config_of(folder / "lora-by-one", workers=1, lora=ADAPTERS["lora"])])
    return folder


@pytest.fixture(scope="module")
def resumed_by_two(one_worker: Path, other_runs: Path) -> Path:
    """Copies whose last step two workers took, of a run of one and of one with dropout."""
    folder = other_runs
    without_its_last_checkpoint(one_worker, folder / "one-by-two")
    without_its_last_checkpoint(folder / "dropout", folder / "dropout-by-two")
    dropout = config_of(folder / "dropout-by-two", workers=2, lora=ADAPTERS["dropout"])
    fit_all([config_of(folder / "one-by-two", workers=2), dropout])
    return folder


def test_two_workers_go_on_where_one_was_and_not_from_a_half_written_checkpoint(resumed_by_two: Path) -> None:
    same_steps(resumed_by_two / "one-by-two", resumed_by_two / "two")
    assert [c.step for c in complete_checkpoints(str(resumed_by_two / "one-by-two"))] == [9, STEPS]
    assert len(list((resumed_by_two / "one-by-two" / "checkpoints").iterdir())) == 2, "the half one is deleted"


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_other_stages_take_the_same_steps_and_go_on_with_one_worker(stage: int, resumed_by_one: Path) -> None:
    same_steps(resumed_by_one / f"stage-{stage}", resumed_by_one / "two")
    same_steps(resumed_by_one / f"stage-{stage}-by-one", resumed_by_one / "two")


def test_adapters_learn_under_zero_3_with_checkpointed_activations(other_runs: Path) -> None:
    newest = newest_checkpoint(str(other_runs / "lora"))
    assert newest is not None
    weights = read_weights(Path(newest.path))
    second = {name: get() for name, get in weights.items() if ".lora_B." in name}  # all zero at first
    assert len(second) == 2 * 7, "every linear layer of the language model, and none else"
    assert all(float(weight.abs().max()) > 0 for weight in second.values())


def test_adapters_are_found_again_by_another_number_of_workers(resumed_by_one: Path) -> None:
    same_steps(resumed_by_one / "lora-by-one", resumed_by_one / "lora")


def test_a_resumed_run_draws_what_it_would_have_drawn(resumed_by_two: Path) -> None:
    same_steps(resumed_by_two / "dropout-by-two", resumed_by_two / "dropout")
    drawn, without = losses(resumed_by_two / "dropout"), losses(resumed_by_two / "lora")
    assert drawn[STEPS] != pytest.approx(without[STEPS], abs=1e-4)
