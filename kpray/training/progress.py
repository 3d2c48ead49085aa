"""What a person sees of a run while it goes on: a line on stderr."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from kpray.training.metrics import StepMetrics

_EVERY_S = 10
"""Between two lines in a log; on a terminal the line changes at once."""


class Line:
    """A line that changes on a terminal, and is written anew now and then in a log."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shown_at = 0.0

    def show(self, text: str, *, last: bool) -> None:
        """Show a newer text; the last one always."""
        terminal = self._stream.isatty()
        if not (terminal or last) and time.monotonic() - self._shown_at < _EVERY_S:
            return
        self._shown_at = time.monotonic()
        self._stream.write(f"\r\x1b[K{text}" + ("\n" if last else "") if terminal else f"{text}\n")
        self._stream.flush()


class PreparingLine:
    """Shows how much of the data is prepared."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._line = Line(stream)

    def show(self, done: int, parts: int) -> None:
        """Show how many parts are done, and of how many."""
        self._line.show(f"prepared {done:,}/{parts:,} parts of the data", last=done >= parts)


class ProgressLine:
    """Shows the newest step."""

    def __init__(self, steps: int, stream: TextIO | None = None) -> None:
        """Show progress towards a number of steps."""
        self._steps = steps
        self._line = Line(stream)
        self._recent_s: list[float] = []

    def show(self, metrics: StepMetrics) -> None:
        """Show a step."""
        self._recent_s = [*self._recent_s[-19:], metrics.step_s]
        step_s = sum(self._recent_s) / len(self._recent_s)
        self._line.show(describe(metrics, steps=self._steps, step_s=step_s), last=metrics.step >= self._steps)


def describe(metrics: StepMetrics, *, steps: int, step_s: float) -> str:
    """One line: how far, what the loss is, how fast, how long still.

    >>> step = StepMetrics(30, 2.5, {"all": 1e-3}, 0.5, 4, 5000, 60, 2.0, 0.1, 2500.0, 2.0, 1.5, mfu=0.41)
    >>> describe(step, steps=40, step_s=2.0)
    'step 30/40, loss 2.5000, lr 1.0e-03, grad 0.500, 2,500 tokens/s, 2.0 samples/s, 1.5 GB, MFU 41 %, 0:20 left'
    """
    left_s = round((steps - metrics.step) * step_s)
    parts = [
        f"step {metrics.step:,}/{steps:,}",
        f"loss {metrics.loss:.4f}",
        f"lr {max(metrics.lr.values()):.1e}",
        *([f"grad {metrics.grad_norm:.3f}"] if metrics.grad_norm is not None else []),
        f"{metrics.tokens_per_s:,.0f} tokens/s",
        f"{metrics.samples_per_s:,.1f} samples/s",
        f"{metrics.memory_gb:.1f} GB",
        *([f"MFU {metrics.mfu:.0%}".replace("%", " %")] if metrics.mfu is not None else []),
    ]
    if left_s > 0:
        hours, rest = divmod(left_s, 3600)
        clock = f"{rest // 60}:{rest % 60:02d}" if not hours else f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
        parts.append(f"{clock} left")
    return ", ".join(parts)
