"""Plane geometry in pixels; a point or vector is one complex number ``x + iy`` with y downwards.

Complex numbers keep the arrays one axis smaller and make mirroring and turning one operation. An unlabelled
point is NaN, and every function here passes NaN on.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Points = npt.NDArray[np.complex128]

IN_PLANE: Final = 0.85
"""A limb seen at this share of its expected length or more counts as lying in the picture's plane."""


def dot(u: Points, v: Points) -> Floats:
    """Scalar product.

    >>> float(dot(np.array(3 + 4j), np.array(1 + 1j)))
    7.0
    """
    return u.real * v.real + u.imag * v.imag


def cross(u: Points, v: Points) -> Floats:
    """Product ``ux vy - uy vx``; positive if v is clockwise of u in the picture (y points down).

    >>> float(cross(np.array(1 + 0j), np.array(0 + 1j)))
    1.0
    """
    return u.real * v.imag - u.imag * v.real


def angle_deg(u: Points, v: Points) -> Floats:
    """Unsigned angle between two vectors, 0..180 degrees.

    >>> float(angle_deg(np.array(2j), np.array(5 + 0j)))
    90.0
    """
    return np.degrees(np.abs(np.arctan2(cross(u, v), dot(u, v))))


def angle_range_deg(u: Points, v: Points, full_u: Floats, full_v: Floats) -> tuple[Floats, Floats]:
    """Smallest and largest true angle that may be behind an angle seen in the picture.

    A limb that looks shorter than it is points partly towards the camera or away from it; which of the two,
    a picture does not tell. Under orthographic projection the two limbs' depths therefore leave two true
    angles, and the seen one is a third candidate because expected lengths are only averages.

    Args:
        u: First vector, px.
        v: Second vector, px.
        full_u: Expected true length of the first, px.
        full_v: Expected true length of the second, px.

    Returns:
        Low and high, in degrees; equal to the seen angle when both limbs have their full length.

    >>> low, high = angle_range_deg(np.array(-10j), np.array(10j), np.array(10.0), np.array(10.0))
    >>> float(low), float(high)
    (180.0, 180.0)
    >>> low, high = angle_range_deg(np.array(-10j), np.array(4j), np.array(10.0), np.array(10.0))
    >>> round(float(low))  # the second limb points well out of the picture
    118
    """
    seen = angle_deg(u, v)
    len_u, len_v = np.abs(u), np.abs(v)
    true_u, true_v = np.maximum(len_u, IN_PLANE * full_u), np.maximum(len_v, IN_PLANE * full_v)
    depths = np.sqrt((true_u**2 - len_u**2) * (true_v**2 - len_v**2))
    flat, lengths = dot(u, v), true_u * true_v
    one = np.degrees(np.arccos(np.clip((flat + depths) / lengths, -1.0, 1.0)))
    two = np.degrees(np.arccos(np.clip((flat - depths) / lengths, -1.0, 1.0)))
    return np.minimum(seen, np.minimum(one, two)), np.maximum(seen, np.maximum(one, two))


def elevation_range_deg(u: Points, full: Floats) -> tuple[Floats, Floats]:
    """Elevation of a limb over the horizontal, -90 (down) to 90 (up): if it is shortened, and as seen.

    Args:
        u: The limb, px.
        full: Its expected true length, px.

    Returns:
        Low and high, in degrees.

    >>> low, high = elevation_range_deg(np.array(0 - 5j), np.array(10.0))
    >>> round(float(low)), round(float(high))  # straight up in the picture, but it may come forward
    (36, 90)
    """
    seen = np.degrees(np.arctan2(-u.imag, np.abs(u.real)))
    length = np.maximum(np.abs(u), IN_PLANE * full)
    shortened = np.degrees(np.arcsin(np.clip(-u.imag / length, -1.0, 1.0)))
    return np.minimum(seen, shortened), np.maximum(seen, shortened)


def angle_noise_deg(u: Points, v: Points, noise_u: Floats, noise_v: Floats) -> Floats:
    """Standard deviation of the angle between two vectors.

    Args:
        u: First vector, px.
        v: Second vector, px.
        noise_u: Standard deviation per axis of the first vector, px.
        noise_v: The same of the second.

    Returns:
        Degrees, to first order: noise over length for each, added in squares.
    """
    return np.degrees(np.sqrt((noise_u / np.abs(u)) ** 2 + (noise_v / np.abs(v)) ** 2))
