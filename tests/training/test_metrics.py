"""Logs that can be cut, and trackers that must not cost a run."""

from __future__ import annotations

import io
import sys
import types
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kpray import storage
from kpray.errors import ConfigError
from kpray.training.metrics import (
    LineLog,
    StepMetrics,
    StepRecords,
    cut_logs,
    metrics_path,
    numbers,
    open_sinks,
    read_metrics,
    records_path,
    require_trackers,
    tell,
)
from kpray.training.progress import PreparingLine, ProgressLine


def metrics(step: int, **values: Any) -> StepMetrics:
    return StepMetrics(
        step, 2.0, {"projector": 1e-3, "language": 2e-5}, 0.5, 4, 100, 60, 2.0, 0.1, 50.0, 2.0, 1.0, **values
    )


def write(path: str, *lines: StepMetrics | StepRecords) -> None:
    with closing(LineLog(path)) as log:
        for line in lines:
            log.write(line)


def test_a_resumed_log_tells_of_each_step_once(tmp_path: Path) -> None:
    write(metrics_path(str(tmp_path)), *map(metrics, (1, 2, 3)))
    with Path(metrics_path(str(tmp_path))).open("ab") as file:
        file.write(b'{"step":4,"lo')  # killed in the middle of a line
    write(records_path(str(tmp_path), 1), StepRecords(3, ("a",)))
    cut_logs(str(tmp_path), 2)
    write(metrics_path(str(tmp_path)), metrics(3, mfu=0.4))
    assert [(one.step, one.mfu) for one in read_metrics(str(tmp_path))] == [(1, None), (2, None), (3, 0.4)]
    assert Path(records_path(str(tmp_path), 1)).read_bytes() == b""


def test_a_process_that_is_still_writing_cannot_reach_a_log_that_was_cut(tmp_path: Path) -> None:
    with closing(LineLog(metrics_path(str(tmp_path)))) as orphan:
        orphan.write(metrics(1))
        orphan.write(metrics(2))
        cut_logs(str(tmp_path), 1)
        orphan.write(metrics(3))
    assert [one.step for one in read_metrics(str(tmp_path))] == [1]


def test_on_an_object_store_a_log_is_there_after_each_flush(s3_url: str) -> None:
    out = storage.join(s3_url, "logged")
    log = LineLog(metrics_path(out))
    log.write(metrics(1))
    log.flush()
    write(metrics_path(out), metrics(2))
    assert [one.step for one in read_metrics(out)] == [1, 2]


def test_wandb_goes_on_with_the_run_of_the_folders_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began: dict[str, Any] = {}
    logged: list[tuple[int, dict[str, float]]] = []

    def init(**settings: Any) -> Any:
        began.update(settings)
        return types.SimpleNamespace(log=lambda figures, step: logged.append((step, figures)))

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    sinks = open_sinks(str(tmp_path / "night-3"), ["wandb"], {"lr": 1e-3})
    tell(sinks, 7, numbers(metrics(7, mfu=0.4)))
    assert (began["id"], began["resume"], began["config"]) == ("night-3", "allow", {"lr": 1e-3})
    assert logged[0][0] == 7
    assert logged[0][1]["lr/language"] == 2e-5
    assert logged[0][1]["mfu"] == 0.4


def test_mlflow_gets_the_settings_and_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    fake = types.SimpleNamespace(
        set_experiment=lambda name: calls.append(("experiment", name)),
        start_run=lambda run_name: calls.append(("run", run_name)),
        log_dict=lambda settings, name: calls.append(("settings", settings, name)),
        log_metrics=lambda figures, step: calls.append(("step", step, figures["loss"])),
    )
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    tell(open_sinks(str(tmp_path / "night-3"), ["mlflow"], {"lr": 1e-3}), 7, numbers(metrics(7)))
    assert calls == [
        ("experiment", "kpray"),
        ("run", "night-3"),
        ("settings", {"lr": 1e-3}, "config.json"),
        ("step", 7, 2.0),
    ]


def test_a_tracker_that_fails_is_told_no_more_and_the_others_are(caplog: pytest.LogCaptureFixture) -> None:
    steps: list[int] = []

    def broken(step: int, figures: Any) -> None:
        raise ConnectionError("the tracker's server is gone")

    def sound(step: int, figures: Any) -> None:
        steps.append(step)

    left = tell([broken, sound], 1, {})
    tell(left, 2, {})
    assert steps == [1, 2]
    assert [record.message.split(" and ")[0] for record in caplog.records] == ["a tracker failed in step 1"]


def test_a_tracker_that_is_not_installed_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`report_to: wandb` needs the package wandb: pip install wandb"):
        require_trackers(["wandb"])


def test_a_log_gets_the_first_and_the_last_line_of_many() -> None:
    stream = io.StringIO()
    progress = ProgressLine(50, stream)
    for step in range(1, 51):
        progress.show(metrics(step))
    PreparingLine(stream).show(2, 2)
    lines = stream.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step 1/50", "step 50/50", "prepared 2/2 parts of the data"]
