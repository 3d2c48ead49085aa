"""From measured arrays to pose codes: binning with a tolerance, and abstaining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from kpray.pose.angles import Floats
from kpray.pose.bodies import Bodies
from kpray.pose.margins import NOISE_FACTOR
from kpray.pose.rules import Rule
from kpray.pose.vocabulary import PoseCode, Side

Also = Literal["stature", "face", "axis"]

MAX_MARGIN: Final = 99.0
"""Margins are cut here: a conjunction without thresholds of its own may have no limit."""

_SIDES: Final[tuple[Side, ...]] = ("left", "right")
_NO_SIDE: Final[tuple[Side, ...]] = ("",)


@dataclass(slots=True)
class Reading:
    """One rule measured on everybody.

    Arrays are (P,) for a fact about the person, or (2, P) for one about each side, the person's left first.

    Attributes:
        rule: Names, thresholds and tolerance.
        keypoints: Used on the left side, or by the only row.
        measure: In the rule's unit; NaN abstains.
        noise: Standard deviation of the measure.
        low: Smallest true value that the picture allows, if not the measure.
        high: The largest.
        where: Margin of further conditions; the code is given only where it is >= 1.
        also: Points used in addition that differ from person to person.
    """

    rule: Rule
    keypoints: tuple[int, ...]
    measure: Floats
    noise: Floats | float
    low: Floats | None = None
    high: Floats | None = None
    where: Floats | None = None
    also: tuple[Also, ...] = ()


def mirrored(keypoints: tuple[int, ...]) -> tuple[int, ...]:
    """The same joints of the other side.

    >>> mirrored((0, 5, 12))
    (0, 6, 11)
    """
    return tuple(k if k == 0 else k + 1 if k % 2 else k - 1 for k in keypoints)


def to_codes(bodies: Bodies, readings: Sequence[Reading], numbers: Sequence[int]) -> list[list[PoseCode]]:
    """Bin all readings at once and keep what is clear of every threshold.

    Args:
        bodies: The people.
        readings: Measured on all of them.
        numbers: (P,) each person's index in its scene, for ``PoseCode.person``.

    Returns:
        For each person its codes, in the order of the readings.
    """
    rows = _Rows(readings, bodies.count)
    bins, margin = _binned(rows)
    codes: list[list[PoseCode]] = [[] for _ in numbers]
    for row, column in np.argwhere(margin >= 1.0).tolist():
        reading, side = rows.names[row]
        value = reading.rule.values[bins[row, column]]
        if value is not None:
            codes[column].append(
                PoseCode(
                    name=reading.rule.name,
                    value=value,
                    person=numbers[column],
                    side=side,
                    other=None,
                    object=None,
                    keypoints=_keypoints(bodies, reading, side, column),
                    measure=round(float(rows.measure[row, column]), 3),
                    margin=round(min(float(margin[row, column]), MAX_MARGIN), 2),
                )
            )
    return codes


def _binned(rows: _Rows) -> tuple[npt.NDArray[np.int64], Floats]:
    """Bin and margin of every measure; the margin is -inf where low and high fall into different bins."""
    thresholds, tolerances = _tables(tuple(reading.rule for reading, _ in rows.names))
    low, high = rows.low[:, :, None], rows.high[:, :, None]
    bins = (low > thresholds).sum(axis=2)
    same = bins == (high > thresholds).sum(axis=2)
    gap = np.minimum(np.abs(low - thresholds), np.abs(high - thresholds)).min(axis=2)
    margin = np.minimum(gap / np.maximum(tolerances, NOISE_FACTOR * rows.noise), rows.where)
    return bins, np.where(same & ~np.isnan(rows.measure), margin, -np.inf)


class _Rows:
    """All readings as rows of (R, P) arrays, one row for each side."""

    def __init__(self, readings: Sequence[Reading], people: int) -> None:
        self.names: list[tuple[Reading, Side]] = [
            (r, side) for r in readings for side in (_SIDES if r.measure.ndim == 2 else _NO_SIDE)
        ]
        shape = (len(self.names), people)
        self.measure, self.noise, self.low, self.high, self.where = (np.empty(shape) for _ in range(5))
        start = 0
        for reading in readings:
            stop = start + reading.measure.ndim
            self.measure[start:stop] = reading.measure
            self.noise[start:stop] = reading.noise
            self.low[start:stop] = reading.measure if reading.low is None else reading.low
            self.high[start:stop] = reading.measure if reading.high is None else reading.high
            self.where[start:stop] = np.inf if reading.where is None else reading.where
            start = stop


@lru_cache(maxsize=8)
def _tables(rules: tuple[Rule, ...]) -> tuple[Floats, Floats]:
    """Thresholds (R, 1, T), filled up with infinity, and tolerances (R, 1)."""
    thresholds = np.full((len(rules), 1, max(len(rule.thresholds) for rule in rules)), np.inf)
    for row, rule in enumerate(rules):
        thresholds[row, 0, : len(rule.thresholds)] = rule.thresholds
    return thresholds, np.array([[rule.tolerance] for rule in rules])


def _keypoints(bodies: Bodies, reading: Reading, side: Side, column: int) -> tuple[int, ...]:
    used = set(mirrored(reading.keypoints) if side == "right" else reading.keypoints)
    for group in reading.also:
        used.update(getattr(bodies, f"{group}_keypoints")[column])
    labelled = bodies.labelled[:, column]
    return tuple(k for k in sorted(used) if labelled[k])
