"""Plane shapes in pixels: everything that is drawn is a filled polygon.

One kind of shape keeps painting, masks and visibility the same thing: the picture and the annotations are
made from one list.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

Point = tuple[float, float]
Polygon = tuple[Point, ...]
Rgb = tuple[int, int, int]

BACKGROUND = -1
CROWD = -2


class Shape(NamedTuple):
    """A filled polygon.

    Attributes:
        polygon: Corners in px.
        rgb: Fill colour.
        owner: Index of the thing it is part of, `BACKGROUND` or `CROWD`.
        part: ``head``, ``torso``, ``left_arm`` and so on for people; else empty.
    """

    polygon: Polygon
    rgb: Rgb
    owner: int = BACKGROUND
    part: str = ""


class Part(NamedTuple):
    """Shapes that are painted together, with their common depth (larger is nearer to the camera)."""

    depth: float
    shapes: tuple[Shape, ...]


def circle(center: Point, radius: float, corners: int = 16) -> Polygon:
    """A regular polygon that passes for a circle."""
    return tuple((center[0] + radius * x, center[1] + radius * y) for x, y in _unit_circle(corners))


def ellipse(center: Point, rx: float, ry: float, *, turn_deg: float = 0.0, corners: int = 20) -> Polygon:
    """An ellipse; ``turn_deg`` turns it clockwise as seen on the screen."""
    c, s = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    rim = [(rx * x, ry * y) for x, y in _unit_circle(corners)]
    return tuple((center[0] + c * x - s * y, center[1] + s * x + c * y) for x, y in rim)


@cache
def _unit_circle(corners: int) -> Polygon:
    angles = (2 * math.pi * i / corners for i in range(corners))
    return tuple((math.cos(a), math.sin(a)) for a in angles)


def hull(points: Iterable[Point]) -> Polygon:
    """Convex hull (Andrew's monotone chain).

    >>> hull([(0, 0), (2, 0), (1, 1), (2, 2), (0, 2)])
    ((0, 0), (2, 0), (2, 2), (0, 2))
    """
    ordered = sorted(set(points))
    if len(ordered) < 3:
        return tuple(ordered)
    return tuple(_chain(ordered) + _chain(ordered[::-1]))


def _chain(points: Sequence[Point]) -> list[Point]:
    """The lower (or, backwards, the upper) border; written out flat because it is the hottest loop here."""
    chain: list[Point] = []
    for x, y in points:
        while len(chain) > 1:
            (ax, ay), (bx, by) = chain[-2], chain[-1]
            if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                break
            chain.pop()
        chain.append((x, y))
    return chain[:-1]


def hull_of_circles(circles: Iterable[tuple[Point, float]]) -> Polygon:
    """The rubber band around some circles, each ``(center, radius)``: a rounded limb or a torso."""
    return hull(p for center, radius in circles for p in circle(center, radius, 10 if radius < 5 else 16))


def rectangle(left: float, top: float, right: float, bottom: float) -> Polygon:
    """An upright rectangle."""
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def shade(rgb: Rgb, factor: float) -> Rgb:
    """Darker (factor < 1) or lighter (factor > 1) by mixing with black or white.

    >>> shade((100, 100, 100), 0.5)
    (50, 50, 50)
    """
    if factor <= 1:
        r, g, b = (round(c * factor) for c in rgb)
    else:
        r, g, b = (round(c + (255 - c) * min(factor - 1, 1.0)) for c in rgb)
    return r, g, b


def mix(a: Rgb, b: Rgb, share_of_b: float) -> Rgb:
    """The colour between two others."""
    r, g, bl = (round(x + (y - x) * share_of_b) for x, y in zip(a, b, strict=True))
    return r, g, bl
