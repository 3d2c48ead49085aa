"""Codes about trunk and head: torso, lean, facing, head."""

from __future__ import annotations

import numpy as np

from kpray.pose.angles import IN_PLANE, Floats
from kpray.pose.bodies import EARS, EYES, NOSE, Bodies
from kpray.pose.margins import all_of, below, beyond, only_where
from kpray.pose.readings import Reading
from kpray.pose.rules import RULES

TORSO_KEYPOINTS = (5, 6, 11, 12)


def trunk_readings(bodies: Bodies) -> list[Reading]:
    """Everything about trunk and head."""
    return [
        _torso(bodies),
        _lean(bodies),
        _lean_direction(bodies),
        _facing(bodies),
        _profile(bodies),
        _head_turned(bodies),
        _head_tilted(bodies),
    ]


def torso_tilt_range_deg(bodies: Bodies) -> tuple[Floats, Floats]:
    """(P,) torso against straight down: as seen, and if it is shortened by leaning towards the camera."""
    torso = bodies.torso
    length = np.maximum(np.abs(torso), IN_PLANE * bodies.full("torso"))
    seen = np.degrees(np.abs(np.arctan2(torso.real, torso.imag)))
    shortened = np.degrees(np.arccos(np.clip(torso.imag / length, -1.0, 1.0)))
    return np.minimum(seen, shortened), np.maximum(seen, shortened)


def _torso_noise_deg(bodies: Bodies) -> Floats:
    return np.degrees(bodies.torso_noise / np.abs(bodies.torso))


def _torso(bodies: Bodies) -> Reading:
    low, high = torso_tilt_range_deg(bodies)
    seen = np.degrees(np.abs(np.arctan2(bodies.torso.real, bodies.torso.imag)))
    return Reading(RULES["torso"], TORSO_KEYPOINTS, seen, _torso_noise_deg(bodies), low, high)


def signed_lean_deg(bodies: Bodies) -> Floats:
    """(P,) tilt of the trunk's upper end, positive towards image-right, NaN without shoulders and hips."""
    return np.degrees(np.arctan2(-bodies.torso.real, bodies.torso.imag))


def _lean(bodies: Bodies) -> Reading:
    return Reading(RULES["lean"], TORSO_KEYPOINTS, signed_lean_deg(bodies), _torso_noise_deg(bodies))


def _lean_direction(bodies: Bodies) -> Reading:
    """Lean towards where the nose points, for people seen from the side."""
    where, sign = _profile_evidence(bodies)
    return Reading(
        RULES["lean_direction"],
        (0, 3, 4, *TORSO_KEYPOINTS),
        signed_lean_deg(bodies) * sign,
        _torso_noise_deg(bodies),
        where=where,
        also=("stature",),
    )


def _facing(bodies: Bodies) -> Reading:
    """Order of the shoulders across the trunk, hips and face agreeing."""
    hips = bodies.points[11] - bodies.points[12]
    hip_order = bodies.across(hips) / bodies.stature
    hips_agree = np.isnan(hip_order) | (hip_order * np.sign(bodies.breadth) > 0)
    nose, eyes = bodies.visible[NOSE], bodies.visible[EYES]
    face_agrees = np.where(bodies.breadth > 0, nose | eyes.any(axis=0), ~nose & ~eyes.all(axis=0))
    return Reading(
        RULES["facing"],
        (0, 1, 2, 5, 6, 11, 12),
        bodies.breadth,
        bodies.breadth_noise,
        where=only_where(hips_agree & face_agrees),
        also=("stature", "axis"),
    )


def _nose_from_ears(bodies: Bodies) -> tuple[Floats, Floats]:
    """Nose against the only labelled ear, across the picture, in statures; and its noise."""
    ears = bodies.points[EARS]
    one_ear = np.isnan(ears.real).sum(axis=0) == 1
    ear = np.where(np.isnan(ears[0].real), ears[1], ears[0])
    offset = np.where(one_ear, (bodies.points[NOSE] - ear).real, np.nan) / bodies.stature
    return offset, np.hypot(bodies.noise[0], bodies.noise[EARS].max(axis=0)) / bodies.stature


def _profile_evidence(bodies: Bodies) -> tuple[Floats, Floats]:
    """Margin for being seen from the side, and -1 or 1 for looking to image-left or image-right."""
    offset, noise = _nose_from_ears(bodies)
    upright_head = (bodies.middle(slice(5, 7)) - bodies.face).imag / bodies.stature
    where = all_of(
        below(np.abs(bodies.breadth), 0.08, 0.01, bodies.breadth_noise),
        beyond(np.abs(offset), 0.02, 0.01, noise),
        beyond(upright_head, 0.03, 0.01),
        below(bodies.trunk_tilt_deg, 75.0, 5.0),
    )
    return where, np.sign(offset)


def _profile(bodies: Bodies) -> Reading:
    where, sign = _profile_evidence(bodies)
    return Reading(RULES["profile"], (0, 3, 4, 5, 6), sign, 0.0, where=where, also=("stature", "axis"))


def _head_turned(bodies: Bodies) -> Reading:
    """Nose between the ears, from -0.5 (the image-left ear) to 0.5; only with the chest to the camera."""
    ears = bodies.points[EARS]
    width = np.abs(ears[0] - ears[1])
    across = (ears[0] - ears[1]) / width
    offset = ((bodies.points[NOSE] - (ears[0] + ears[1]) / 2) * np.conj(across)).real / width
    noise = np.hypot(bodies.noise[0], bodies.noise[EARS].max(axis=0)) / width
    where = all_of(
        beyond(bodies.breadth, 0.1, 0.02, bodies.breadth_noise),
        below(bodies.trunk_tilt_deg, 45.0, 5.0),
        only_where((across.real > 0.8) & bodies.visible[NOSE]),
    )
    return Reading(RULES["turned"], (0, 3, 4, 5, 6), offset, noise, where=where, also=("stature", "axis"))


def _head_tilted(bodies: Bodies) -> Reading:
    """Roll of the line through both eyes, for faces that look at the camera; the trunk is upright."""
    eyes = bodies.points[1] - bodies.points[2]
    roll = np.degrees(np.arctan2(eyes.imag, eyes.real))
    noise = np.degrees(np.hypot(bodies.noise[1], bodies.noise[2]) / np.abs(eyes))
    where = all_of(
        beyond(np.abs(eyes) / bodies.stature, 0.025, 0.003),
        below(bodies.trunk_tilt_deg, 30.0, 5.0),
        beyond(bodies.breadth, 0.1, 0.02, bodies.breadth_noise),
    )
    return Reading(RULES["tilted"], (1, 2, 5, 6), roll, noise, where=where, also=("stature", "axis"))
