"""The figures of the training benchmarks follow from what was measured as their docstrings say."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import train_packing
import train_steps


def test_ratios_are_taken_within_a_repeat() -> None:
    # The machine was twice as slow in the second repeat; the ratio does not show it.
    runs = {
        "bare": [{"step_s": 1.0, "cpu_s": 1.0}, {"step_s": 2.0, "cpu_s": 1.0}, {"step_s": 1.0, "cpu_s": 1.0}],
        "kpray": [{"step_s": 1.1, "cpu_s": 1.2}, {"step_s": 2.2, "cpu_s": 1.2}, {"step_s": 1.1, "cpu_s": 1.2}],
    }
    rows = {row["way"]: row for row in train_steps.summaries(runs)}
    assert rows["kpray"]["of_bare"] == pytest.approx(1.1)
    assert rows["kpray"]["cpu_of_bare"] == pytest.approx(1.2)
    assert rows["bare"]["of_bare"] == 1.0


def test_steps_side_by_side_are_compared_in_pairs(tmp_path: Path) -> None:
    def write(name: str, seconds: list[float], offset: float) -> None:
        marks = [
            mark for n, s in enumerate(seconds) for mark in ([10.0 * n + offset, 5.0 * n], [10.0 * n + offset + s])
        ]
        pairs = [[m[0], m[1] if len(m) > 1 else 5.0 * (i // 2) + 1.0] for i, m in enumerate(marks)]
        (tmp_path / f"{name}-0.json").write_text(json.dumps(pairs))

    write("ours", [9.0, 1.1, 2.2, 3.3], 0.0)
    write("bare", [1.0, 1.0, 2.0, 3.0], 5.0)
    figures = train_steps._pairs(tmp_path, warm_up=1)
    assert figures["of_bare"] == pytest.approx(1.1)
    assert figures["cpu_of_bare"] == pytest.approx(1.0)
    assert figures["step_s"] == pytest.approx(2.2)


def test_padding_is_counted_as_batches_are_collated() -> None:
    # 64 samples of 30 tokens and 64 of 90: padded batches are half padding but a third; grouped ones have none.
    tokens = np.array([30, 90] * 64)
    rows = train_packing.padding((tokens, tokens // 2), 0, Namespace(room=120))
    at_16 = next(row for row in rows if row["batch"] == 16)
    assert at_16["padded"] == pytest.approx(1 / 3, abs=0.01)
    assert at_16["grouped"] == pytest.approx(0.0)
    assert at_16["packed"] == pytest.approx(0.0)
    assert at_16["bound"] == pytest.approx(1.5, abs=0.02)


def test_packed_batches_hold_about_as_many_tokens_as_padded_ones() -> None:
    tokens = np.array([30, 90] * 64)
    plans = {way: train_packing.plan(tokens, tokens, way, batch=16, room=120) for way in train_packing.WAYS}
    assert plans["padded"].batch_size == 16
    assert plans["packed"].batch_size == 8  # times 120 tokens, as 16 times 60
    assert {plan.steps for plan in plans.values()} == {1}
