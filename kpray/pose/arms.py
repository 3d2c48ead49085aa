"""Codes about arms and hands."""

from __future__ import annotations

from typing import Final

import numpy as np

from kpray.pose.angles import angle_deg, angle_noise_deg, angle_range_deg, elevation_range_deg
from kpray.pose.bodies import ELBOWS, HIPS, KNEES, SHOULDERS, WRISTS, Bodies
from kpray.pose.margins import all_of, below, beyond, either, only_where
from kpray.pose.readings import Reading
from kpray.pose.rules import RULES

HEAD_TOP: Final = 0.08
"""Top of the head above the mean of the face's points, in statures (Winter: 1 - 0.936 for the eyes)."""


def arm_readings(bodies: Bodies) -> list[Reading]:
    """Everything about arms and hands."""
    return [
        _elbow(bodies),
        _arm(bodies),
        _wrist_height(bodies),
        _forearm(bodies),
        _hand_on_hip(bodies),
        _hand_near_face(bodies),
        _hands(bodies),
        _arms_crossed(bodies),
    ]


def _elbow(bodies: Bodies) -> Reading:
    upper, upper_noise = bodies.vector(ELBOWS, SHOULDERS)
    fore, fore_noise = bodies.vector(ELBOWS, WRISTS)
    low, high = angle_range_deg(upper, fore, bodies.full("upper_arm"), bodies.full("forearm"))
    noise = angle_noise_deg(upper, fore, upper_noise, fore_noise)
    return Reading(RULES["elbow"], (5, 7, 9), angle_deg(upper, fore), noise, low, high)


def _arm(bodies: Bodies) -> Reading:
    """Upper arm against straight down the torso; out to the side only when seen from front or back."""
    upper, upper_noise = bodies.vector(SHOULDERS, ELBOWS)
    low, high = angle_range_deg(upper, bodies.torso, bodies.full("upper_arm"), bodies.full("torso"))
    seen = angle_deg(upper, bodies.torso)
    down_or_up = (high < RULES["arm"].thresholds[0]) | (low > RULES["arm"].thresholds[-1])
    return Reading(
        RULES["arm"],
        (5, 6, 7, 11, 12),
        seen,
        angle_noise_deg(upper, bodies.torso, upper_noise, bodies.torso_noise),
        low,
        high,
        where=either(only_where(down_or_up), np.broadcast_to(bodies.frontal, seen.shape)),
        also=("stature", "axis"),
    )


def _wrist_height(bodies: Bodies) -> Reading:
    """Image height of the wrist on a scale with hip 0, shoulder 1, top of head 2."""
    wrist, shoulder, hip = (bodies.points[j].imag for j in (WRISTS, SHOULDERS, HIPS))
    head_top = bodies.face.imag - HEAD_TOP * bodies.stature
    trunk, head = np.abs(hip - shoulder), np.abs(shoulder - head_top)
    over_shoulder = wrist < shoulder
    scale = np.where(over_shoulder, head, trunk)
    measure = 1 + (shoulder - wrist) / scale
    noise = np.sqrt(bodies.noise[WRISTS] ** 2 + bodies.noise[SHOULDERS] ** 2) / scale
    return Reading(
        RULES["wrist_height"],
        (5, 9, 11),
        measure,
        noise,
        where=bodies.upright,
        also=("face", "stature", "axis"),
    )


def _forearm(bodies: Bodies) -> Reading:
    fore, fore_noise = bodies.vector(ELBOWS, WRISTS)
    low, high = elevation_range_deg(fore, bodies.full("forearm"))
    noise = np.degrees(fore_noise / np.abs(fore))
    return Reading(RULES["forearm"], (7, 9), high, noise, low, high)


def _hand_on_hip(bodies: Bodies) -> Reading:
    """Wrist at the waist or hip, elbow bent and well out to the side; akimbo as seen from front or back."""
    upper, _ = bodies.vector(ELBOWS, SHOULDERS)
    fore, _ = bodies.vector(ELBOWS, WRISTS)
    size = bodies.stature
    outward = bodies.outward
    to_wrist = bodies.points[WRISTS] - bodies.points[HIPS]
    to_elbow = bodies.points[ELBOWS] - np.where(np.isnan(to_wrist), np.nan, bodies.points[WRISTS])
    above_hip = -bodies.along(to_wrist) / size
    beside_hip = outward * bodies.across(to_wrist) / size
    elbow_out = outward * bodies.across(to_elbow) / size
    bend = angle_deg(upper, fore)
    drop = bodies.vector(HIPS, KNEES)[0].imag / size  # on a lap or an armrest, a seated person's hand looks alike
    noise = np.hypot(bodies.noise[WRISTS], bodies.noise[HIPS]) / size
    where = all_of(
        np.broadcast_to(all_of(bodies.frontal, bodies.upright), bend.shape),
        beyond(above_hip, -0.04, 0.01, noise / 3),
        below(above_hip, 0.16, 0.01, noise / 3),
        beyond(beside_hip, -0.02, 0.01, noise / 3),
        below(beside_hip, 0.12, 0.02, noise / 3),
        beyond(elbow_out, 0.05, 0.01),
        beyond(drop, 0.1, 0.02),
        beyond(bend, 50.0, 5.0),
        below(bend, 130.0, 5.0),
    )
    return Reading(RULES["hand_on_hip"], (5, 6, 7, 9, 11, 12, 13), bend, 0.0, where=where, also=("stature", "axis"))


def _hand_near_face(bodies: Bodies) -> Reading:
    """Wrist within a hand's length (0.108 statures, Winter) of the face, the forearm not foreshortened."""
    distance = np.abs(bodies.points[WRISTS] - bodies.face) / bodies.stature
    fore, _ = bodies.vector(ELBOWS, WRISTS)
    noise = bodies.noise[WRISTS] / bodies.stature
    where = all_of(
        below(distance, 0.12, 0.015, noise),
        beyond(np.abs(fore) / bodies.full("forearm"), 0.6, 0.05),
    )
    return Reading(RULES["hand_near_face"], (7, 9), distance, 0.0, where=where, also=("stature", "face"))


def _hands(bodies: Bodies) -> Reading:
    """Distance of the wrists; together only from front or back, where neither hand hides the other."""
    distance = np.abs(bodies.points[9] - bodies.points[10]) / bodies.stature
    noise = np.hypot(bodies.noise[9], bodies.noise[10]) / bodies.stature
    apart = distance > RULES["hands"].thresholds[-1]
    both_seen = only_where(bodies.visible[WRISTS].all(axis=0))
    where = either(only_where(apart), all_of(bodies.frontal, both_seen))
    return Reading(RULES["hands"], (5, 6, 9, 10), distance, noise, where=where, also=("stature", "axis"))


def _arms_crossed(bodies: Bodies) -> Reading:
    """Each wrist on the other arm's side of the chest, near the other elbow, forearms level."""
    size = bodies.stature
    outward = bodies.outward
    middle = bodies.middle(SHOULDERS)
    wrist_out = outward * bodies.across(bodies.points[WRISTS] - middle) / size
    elbow_out = outward * bodies.across(bodies.points[ELBOWS] - middle) / size
    wrist_down = bodies.along(bodies.points[WRISTS] - middle) / size
    other_elbow = np.abs(bodies.points[WRISTS] - bodies.points[ELBOWS][::-1]) / size
    each = all_of(
        below(wrist_out, -0.02, 0.01),
        beyond(elbow_out, 0.03, 0.01),
        below(other_elbow, 0.13, 0.01),
        beyond(wrist_down, 0.05, 0.01),
        below(wrist_down, 0.30, 0.01),
    )
    where = all_of(bodies.frontal, bodies.upright, each[0], each[1])
    return Reading(
        RULES["arms_crossed"],
        (5, 6, 7, 8, 9, 10),
        other_elbow.max(axis=0),
        0.0,
        where=where,
        also=("stature", "axis"),
    )
