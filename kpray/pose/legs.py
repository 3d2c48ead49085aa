"""Codes about legs and feet."""

from __future__ import annotations

from typing import Final

import numpy as np

from kpray.pose.angles import Floats, Points, angle_deg, angle_noise_deg, angle_range_deg, cross
from kpray.pose.bodies import ANKLES, HIPS, KNEES, Bodies
from kpray.pose.margins import all_of, below, beyond, either, only_where
from kpray.pose.readings import Reading
from kpray.pose.rules import RULES

MAX_RISE: Final = 0.2
"""Largest difference in height, in statures, at which two feet or knees are apart rather than one lifted."""


def leg_readings(bodies: Bodies) -> list[Reading]:
    """Everything about legs and feet."""
    return [
        _knee(bodies),
        _hip(bodies),
        _knee_height(bodies),
        *_ankle_height(bodies),
        _knees(bodies),
        _feet(bodies),
        _legs_crossed(bodies),
    ]


def knee_range_deg(bodies: Bodies) -> tuple[Floats, Floats]:
    """(2, P) smallest and largest true knee angle."""
    thigh, shank = bodies.vector(KNEES, HIPS)[0], bodies.vector(KNEES, ANKLES)[0]
    return angle_range_deg(thigh, shank, bodies.full("thigh"), bodies.full("shank"))


def _knee(bodies: Bodies) -> Reading:
    thigh, thigh_noise = bodies.vector(KNEES, HIPS)
    shank, shank_noise = bodies.vector(KNEES, ANKLES)
    low, high = knee_range_deg(bodies)
    noise = angle_noise_deg(thigh, shank, thigh_noise, shank_noise)
    return Reading(RULES["knee"], (11, 13, 15), angle_deg(thigh, shank), noise, low, high)


def _hip(bodies: Bodies) -> Reading:
    """Torso against thigh; a mild angle seen from front or back may be a spread leg, so it abstains."""
    thigh, thigh_noise = bodies.vector(HIPS, KNEES)
    low, high = angle_range_deg(-bodies.torso, thigh, bodies.full("torso"), bodies.full("thigh"))
    seen = angle_deg(-bodies.torso, thigh)
    from_side = below(np.abs(bodies.breadth), 0.08, 0.02, bodies.breadth_noise)
    clear = (low > RULES["hip"].thresholds[-1]) | (high < 105)
    return Reading(
        RULES["hip"],
        (5, 6, 11, 12, 13),
        seen,
        angle_noise_deg(bodies.torso, thigh, bodies.torso_noise, thigh_noise),
        low,
        high,
        where=either(only_where(clear), np.broadcast_to(from_side, seen.shape)),
    )


def _knee_height(bodies: Bodies) -> Reading:
    thigh, noise = bodies.vector(HIPS, KNEES)
    size = bodies.stature
    return Reading(
        RULES["knee_height"],
        (11, 13),
        thigh.imag / size,
        noise / size,
        where=bodies.upright,
        also=("stature", "axis"),
    )


def _ankle_height(bodies: Bodies) -> list[Reading]:
    """A lifted foot: its ankle is well above the other one, while the other leg stands."""
    size = bodies.stature
    ankle, knee, hip = (bodies.points[j] for j in (ANKLES, KNEES, HIPS))
    other_ankle, other_knee, other_hip = ankle[::-1], knee[::-1], hip[::-1]
    over_ankle = (other_ankle - ankle).imag / size
    over_knee = (other_knee - ankle).imag / size
    noise = np.hypot(bodies.noise[15], bodies.noise[16]) / size
    support = all_of(
        np.broadcast_to(bodies.upright, over_knee.shape),
        beyond((other_knee - other_hip).imag / size, 0.12, 0.02),
        beyond((other_ankle - other_knee).imag / size, 0.12, 0.02),
    )
    above_knee = all_of(support, beyond(over_knee, 0.0, 0.02, noise))
    above_ankle = all_of(support, beyond(over_ankle, 0.1, 0.02, noise), below(over_knee, 0.0, 0.02, noise))
    used = (11, 12, 13, 14, 15, 16)
    return [
        Reading(RULES["ankle_above_knee"], used, over_knee, 0.0, where=above_knee, also=("stature", "axis")),
        Reading(RULES["ankle_above_ankle"], used, over_ankle, 0.0, where=above_ankle, also=("stature", "axis")),
    ]


def _apart(bodies: Bodies, key: str, joint: slice) -> Reading:
    """Distance of a joint's two sides; all words but the widest need a view from front or back.

    The widest needs both at a like height: a foot swung up behind is lifted rather than set wide.
    """
    left, right = bodies.points[joint]
    distance = np.abs(left - right) / bodies.stature
    noise = np.hypot(bodies.noise[joint][0], bodies.noise[joint][1]) / bodies.stature
    rise = np.abs((left - right).imag) / bodies.stature
    widest = only_where(distance > RULES[key].thresholds[-1])
    level = below(rise, 0.06, 0.01)
    both_seen = only_where(bodies.visible[joint].all(axis=0))
    far = all_of(widest, below(rise, MAX_RISE, 0.02, noise))
    where = either(far, all_of(bodies.frontal, bodies.upright, level, both_seen))
    used = (5, 6, joint.start, joint.start + 1)
    return Reading(RULES[key], used, distance, noise, where=where, also=("stature", "axis"))


def _knees(bodies: Bodies) -> Reading:
    return _apart(bodies, "knees", KNEES)


def _feet(bodies: Bodies) -> Reading:
    return _apart(bodies, "feet", ANKLES)


def _intersect(a: Points, b: Points, c: Points, d: Points) -> Floats:
    """1 where segments a-b and c-d cross, else 0."""
    one = cross(b - a, c - a) * cross(b - a, d - a) < 0
    two = cross(d - c, a - c) * cross(d - c, b - c) < 0
    return (one & two).astype(np.float64)


def _legs_crossed(bodies: Bodies) -> Reading:
    """Shanks (or thigh and thigh) that cross in the picture, ankles in the other order than the hips."""
    size = bodies.stature
    hips, knees, ankles = (bodies.points[j] for j in (HIPS, KNEES, ANKLES))
    facing = np.sign(bodies.breadth)
    hip_order = facing * bodies.across(hips[0] - hips[1]) / size
    ankle_order = facing * bodies.across(ankles[0] - ankles[1]) / size
    noise = np.hypot(bodies.noise[15], bodies.noise[16]) / size
    meets = np.maximum(
        _intersect(knees[0], ankles[0], knees[1], ankles[1]), _intersect(hips[0], knees[0], hips[1], knees[1])
    )
    where = all_of(
        bodies.frontal,
        bodies.upright,
        beyond(hip_order, 0.06, 0.02),
        below(ankle_order, -0.06, 0.02, noise),
        only_where(meets > 0),
    )
    return Reading(
        RULES["legs_crossed"],
        (11, 12, 13, 14, 15, 16),
        ankle_order,
        0.0,
        where=where,
        also=("stature", "axis"),
    )
