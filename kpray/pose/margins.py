"""Conditions that say by how much they hold.

A margin is a distance to a threshold in units of the tolerance. A condition counts from a margin of 1; one
that could not be measured is NaN and counts as not holding.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kpray.pose.angles import Floats

NOISE_FACTOR: Final = 1.0
"""Standard deviations of keypoint noise that a measure must keep from a threshold."""


def beyond(measure: Floats, threshold: float, tolerance: float, noise: Floats | None = None) -> Floats:
    """Margin by which ``measure > threshold`` holds; negative where it does not.

    >>> float(beyond(np.array(7.0), 5.0, 1.0)), float(beyond(np.array(7.0), 5.0, 1.0, np.array(4.0)))
    (2.0, 0.5)
    """
    return (measure - threshold) / (tolerance if noise is None else np.maximum(tolerance, NOISE_FACTOR * noise))


def below(measure: Floats, threshold: float, tolerance: float, noise: Floats | None = None) -> Floats:
    """Margin by which ``measure < threshold`` holds; negative where it does not."""
    return (threshold - measure) / (tolerance if noise is None else np.maximum(tolerance, NOISE_FACTOR * noise))


def all_of(*margins: Floats) -> Floats:
    """Margin by which all conditions hold: the smallest; NaN where one could not be measured."""
    smallest = margins[0]
    for margin in margins[1:]:
        smallest = np.minimum(smallest, margin)
    return smallest


def either(*margins: Floats) -> Floats:
    """Margin by which at least one condition holds: the largest that could be measured."""
    largest = margins[0]
    for margin in margins[1:]:
        largest = np.fmax(largest, margin)
    return largest


def only_where(condition: npt.NDArray[np.bool_]) -> Floats:
    """A margin that lets everything or nothing through."""
    return np.where(condition, np.inf, -np.inf)
