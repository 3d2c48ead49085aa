"""Faults that a machine really has: a checkpoint that cannot be written, memory that runs out, a node that is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("deepspeed")
pytest.importorskip("ray.train")

import elastic_run
import ray
from hand_fed import STEPS, HandFeed, HandStep, config_of, fit, losses, records

from kpray.training.checkpoints import complete_checkpoints
from kpray.training.stops import TrainingError

pytestmark = pytest.mark.ray

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers have no tests on their path

_SMALLER_THAN_A_CHECKPOINT = 100_000
_ROOM = 300 << 20
"""Bytes of memory that a worker may still take: enough for Ray, not for the step."""


class FaultyFeed(HandFeed):
    """From a step on, the last worker cannot write large files; or a step is too large for its memory."""

    def __init__(self, *, no_disk_from: int | None = None, no_memory_at: int | None = None) -> None:
        super().__init__()
        self._no_disk_from, self._no_memory_at = no_disk_from, no_memory_at

    def open(self, rank: int, world: int, from_step: int) -> Iterator[HandStep]:
        for step in super().open(rank, world, from_step):
            if rank == world - 1:
                step = self._with_fault(step)
            yield step

    def _with_fault(self, step: HandStep) -> HandStep:
        import resource

        if step.number == self._no_disk_from:
            resource.setrlimit(resource.RLIMIT_FSIZE, (_SMALLER_THAN_A_CHECKPOINT, resource.RLIM_INFINITY))
        if step.number != self._no_memory_at:
            return step
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + _ROOM, resource.RLIM_INFINITY))
        large: list[dict[str, Any]] = [{k: v.repeat_interleave(4_000, 0) for k, v in b.items()} for b in step[1]]
        return step._replace(micro_batches=large)


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")
def test_a_checkpoint_that_does_not_fit_and_memory_that_runs_out_leave_a_run_that_goes_on(two_workers: Path) -> None:
    out = two_workers.parent / "faults"
    with pytest.raises(TrainingError, match="cannot write the checkpoint of step 6") as no_room:
        fit(config_of(out, workers=2), FaultyFeed(no_disk_from=4))
    assert "File too large. The checkpoint of step 3 is complete. Make room" in str(no_room.value)
    assert [checkpoint.step for checkpoint in complete_checkpoints(str(out))] == [3]

    with pytest.raises(TrainingError, match=r"out of memory in step 8 .*Halve `optim.batch_size`"):
        fit(config_of(out, workers=2), FaultyFeed(no_memory_at=7))
    assert [checkpoint.step for checkpoint in complete_checkpoints(str(out))] == [3, 6]

    got, undisturbed = losses(out), losses(two_workers)
    assert list(got) == list(range(1, 8))
    assert list(got.values()) == pytest.approx([undisturbed[step] for step in got], abs=1e-5)
    assert {step: records(out)[step] for step in got} == {step: records(two_workers)[step] for step in got}


def test_a_group_goes_on_with_fewer_workers_while_a_node_is_away(two_workers: Path) -> None:
    out = two_workers.parent / "elastic"
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:  # sockets need a short path
        done = subprocess.run(
            [sys.executable, elastic_run.__file__, str(out)],
            env={**os.environ, "RAY_TMPDIR": folder, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert done.returncode == 0, done.stderr[-3_000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [2, 1, 2]
    got, undisturbed = losses(out), losses(two_workers)
    assert list(got) == list(range(1, STEPS + 1))
    assert list(got.values()) == pytest.approx(list(undisturbed.values()), abs=1e-5)
    assert records(out) == records(two_workers)
