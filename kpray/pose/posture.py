"""Whole-body postures; each is a conjunction of conditions, written to abstain rather than to guess."""

from __future__ import annotations

import numpy as np

from kpray.pose.angles import Floats, angle_deg
from kpray.pose.bodies import ANKLES, HIPS, KNEES, Bodies
from kpray.pose.legs import knee_range_deg
from kpray.pose.margins import all_of, below, beyond, either
from kpray.pose.readings import Reading
from kpray.pose.rules import RULES
from kpray.pose.trunk import signed_lean_deg, torso_tilt_range_deg

ALL_LEGS = (5, 6, 11, 12, 13, 14, 15, 16)


def posture_readings(bodies: Bodies) -> list[Reading]:
    """Standing, sitting, crouching, kneeling, lying: at most one holds for a person."""
    margins = {
        "standing": _standing(bodies),
        "sitting": _sitting(bodies),
        "crouching": _crouching(bodies),
        "kneeling": _kneeling(bodies),
        "lying": _lying(bodies),
    }
    tilt = bodies.trunk_tilt_deg
    return [
        Reading(RULES[name], ALL_LEGS, tilt, 0.0, where=margin, also=("stature",)) for name, margin in margins.items()
    ]


def _drops(bodies: Bodies) -> tuple[Floats, Floats, Floats, Floats]:
    """(2, P) drop hip to knee and knee to ankle in statures, and their noise."""
    thigh, thigh_noise = bodies.vector(HIPS, KNEES)
    shank, shank_noise = bodies.vector(KNEES, ANKLES)
    size = bodies.stature
    return thigh.imag / size, shank.imag / size, thigh_noise / size, shank_noise / size


def _standing(bodies: Bodies) -> Floats:
    """Trunk up; both legs drop through knee to ankle; both ankles about level."""
    thigh, shank, thigh_noise, shank_noise = _drops(bodies)
    knee_seen = angle_deg(bodies.vector(KNEES, HIPS)[0], bodies.vector(KNEES, ANKLES)[0])
    ankles = bodies.points[ANKLES]
    legs = all_of(
        beyond(thigh, 0.16, 0.02, thigh_noise),
        beyond(shank, 0.15, 0.02, shank_noise),
        beyond(knee_seen, 140.0, 5.0),
    ).min(axis=0)
    return all_of(
        legs,
        below(torso_tilt_range_deg(bodies)[0], 35.0, 5.0),
        below(np.abs((ankles[0] - ankles[1]).imag) / bodies.stature, 0.12, 0.01),
    )


def _sitting(bodies: Bodies) -> Floats:
    """Trunk up, thighs about level or foreshortened, shins down; feet in front, or well below the hips."""
    thigh, shank, thigh_noise, shank_noise = _drops(bodies)
    to_ankle = ((bodies.points[ANKLES] - bodies.points[HIPS]) / bodies.stature).mean(axis=0)
    to_knee = ((bodies.points[KNEES] - bodies.points[HIPS]) / bodies.stature).mean(axis=0)
    tilt_low, tilt_high = torso_tilt_range_deg(bodies)
    level_thighs = all_of(
        below(thigh.mean(axis=0), 0.10, 0.02, thigh_noise.mean(axis=0) / 2),
        beyond(thigh.min(axis=0), -0.12, 0.02),
        below(thigh.max(axis=0), 0.14, 0.02),
    )
    shins_down = beyond(shank.min(axis=0), 0.11, 0.02, shank_noise.mean(axis=0) / 2)
    # A squat has the same heights; it leans forward and has its feet under the hips.
    from_side = all_of(
        beyond(np.abs(to_ankle.real), 0.08, 0.02),
        beyond(np.abs(to_knee.real), 0.10, 0.02),
        below(signed_lean_deg(bodies) * np.sign(to_knee.real), 15.0, 5.0),
    )
    from_front = all_of(bodies.frontal, beyond(to_ankle.imag, 0.20, 0.02), below(tilt_high, 40.0, 5.0))
    trunk_up = all_of(below(tilt_low, 30.0, 5.0), below(tilt_high, 60.0, 5.0))
    return all_of(level_thighs, shins_down, trunk_up, either(from_side, from_front))


def _crouching(bodies: Bodies) -> Floats:
    """Hips low above the ankles, knees sharply bent and at hip level or higher, feet under the body."""
    thigh, _, _, _ = _drops(bodies)
    size = bodies.stature
    hip_to_ankle = (bodies.points[ANKLES] - bodies.points[HIPS]) / size
    _, knee_high = knee_range_deg(bodies)
    legs = all_of(
        below(thigh, 0.02, 0.01),
        beyond(hip_to_ankle.imag, 0.07, 0.01),
        below(hip_to_ankle.imag, 0.2, 0.01),
        below(knee_high, 85.0, 5.0),
        below(np.abs(hip_to_ankle.real), 0.14, 0.01),
    ).min(axis=0)
    from_side = below(np.abs(bodies.breadth), 0.12, 0.02)  # from the front, a low seat looks the same
    return all_of(legs, from_side, below(bodies.trunk_tilt_deg, 70.0, 5.0))


def _kneeling(bodies: Bodies) -> Floats:
    """A knee at ground level under the hip with its ankle no lower, the other foot or knee level with it."""
    thigh, shank, thigh_noise, shank_noise = _drops(bodies)
    size = bodies.stature
    on_knee = all_of(beyond(thigh, 0.14, 0.02, thigh_noise), below(shank, 0.05, 0.01, shank_noise / 2))
    lowest_other = np.fmax(bodies.points[KNEES][::-1].imag, bodies.points[ANKLES][::-1].imag)
    level = below((lowest_other - bodies.points[KNEES].imag) / size, 0.06, 0.01)
    either_knee = np.fmax.reduce(all_of(on_knee, level), axis=0)
    return all_of(either_knee, below(torso_tilt_range_deg(bodies)[1], 40.0, 5.0))


def _lying(bodies: Bodies) -> Floats:
    """Trunk, thighs and shanks all near the horizontal in one line."""
    body = bodies.middle(ANKLES) - bodies.middle(slice(5, 7))
    legs = bodies.middle(KNEES) - bodies.middle(HIPS)
    from_level = [np.degrees(np.arctan2(np.abs(v.imag), np.abs(v.real))) for v in (bodies.torso, legs, body)]
    reach = np.abs(body.real) / bodies.stature
    return all_of(
        below(from_level[0], 25.0, 5.0),
        below(from_level[1], 35.0, 5.0),
        below(from_level[2], 20.0, 5.0),
        beyond(reach, 0.55, 0.05),
    )
