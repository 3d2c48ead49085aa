"""Which thing is on top at each pixel, and outlines and run lengths of what one sees of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from kpray.coco.synthetic.shapes import Shape

Mask = npt.NDArray[np.bool_]  # (H, W)


def top_shape_index(shapes: Sequence[Shape], width: int, height: int) -> npt.NDArray[np.int32]:
    """(H, W) index of the shape that is painted last at each pixel; -1 where there is none."""
    canvas = Image.new("I", (width, height), -1)
    draw = ImageDraw.Draw(canvas)
    for index, shape in enumerate(shapes):
        draw.polygon(shape.polygon, fill=index)
    return np.asarray(canvas, dtype=np.int32)


def box_of(mask: Mask) -> tuple[int, int, int, int] | None:
    """Smallest x, y, width, height around the true pixels; None if there are none."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def run_lengths(mask: Mask) -> tuple[int, ...]:
    """COCO's uncompressed RLE: lengths of runs of 0 and 1 in turn, columns first, starting with 0.

    >>> run_lengths(np.array([[0, 1], [1, 1]], dtype=bool))
    (1, 3)
    """
    flat = mask.flatten(order="F").astype(np.int8)
    starts = np.flatnonzero(np.diff(flat, prepend=0)).tolist()
    edges = [0, *starts, len(flat)]
    return tuple(b - a for a, b in pairwise(edges))


def outlines(mask: Mask, *, min_area_px: float = 12.0) -> tuple[tuple[float, ...], ...]:
    """Outer outlines of a mask as COCO polygons, corners at pixel borders; holes are filled.

    Specks below the smallest area are left out, unless nothing else is there.
    """
    loops = [_without_straight(loop) for loop in _loops(_border_edges(mask))]
    outer = [loop for loop in loops if _area(loop) > 0]
    kept = [loop for loop in outer if _area(loop) >= min_area_px] or outer[:1]
    return tuple(tuple(float(c) for corner in _simplified(loop) for c in corner) for loop in kept)


Corner = tuple[int, int]


def _border_edges(mask: Mask) -> dict[Corner, list[Corner]]:
    """Unit edges between true and false pixels, with the true pixel on the right hand (y downwards)."""
    padded = np.pad(mask, 1).astype(np.int8)
    edges: dict[Corner, list[Corner]] = {}
    down = np.diff(padded, axis=0)[:, 1:-1]
    for y, x in np.argwhere(down).tolist():
        a, b = ((x, y), (x + 1, y)) if down[y, x] > 0 else ((x + 1, y), (x, y))
        edges.setdefault(a, []).append(b)
    across = np.diff(padded, axis=1)[1:-1, :]
    for y, x in np.argwhere(across).tolist():
        a, b = ((x, y + 1), (x, y)) if across[y, x] > 0 else ((x, y), (x, y + 1))
        edges.setdefault(a, []).append(b)
    return edges


def _loops(edges: dict[Corner, list[Corner]]) -> list[list[Corner]]:
    loops = []
    while edges:
        start = next(iter(edges))
        loop, here = [start], _take(edges, start)
        while here != start:
            loop.append(here)
            here = _take(edges, here)
        loops.append(loop)
    return loops


def _take(edges: dict[Corner, list[Corner]], corner: Corner) -> Corner:
    ends = edges[corner]
    end = ends.pop()
    if not ends:
        del edges[corner]
    return end


def _area(loop: list[Corner]) -> float:
    """Signed: positive for outer borders as `_border_edges` walks them."""
    following = [*loop[1:], loop[0]]
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(loop, following, strict=True)) / 2


def _without_straight(loop: list[Corner]) -> list[Corner]:
    """Drop the corners where nothing turns."""
    n = len(loop)
    return [
        b
        for i, b in enumerate(loop)
        if (b[0] - loop[i - 1][0]) * (loop[(i + 1) % n][1] - b[1])
        != (b[1] - loop[i - 1][1]) * (loop[(i + 1) % n][0] - b[0])
    ]


def _simplified(loop: list[Corner]) -> list[Corner]:
    """Replace staircases by slanted lines (Douglas and Peucker 1973, tolerance one pixel)."""
    if len(loop) < 8:
        return loop
    points = np.array(loop, dtype=np.float64)
    far = int(np.argmax(np.abs(points - points[0]).sum(axis=1)))
    closed = np.vstack([points, points[:1]])
    keep = sorted({0, far} | _corners_between(closed, 0, far) | _corners_between(closed, far, len(loop)))
    return [loop[i] for i in keep if i < len(loop)]


def _corners_between(points: npt.NDArray[np.float64], first: int, last: int) -> set[int]:
    kept: set[int] = set()
    spans = [(first, last)]
    while spans:
        a, b = spans.pop()
        if b - a < 2:
            continue
        chord = points[b] - points[a]
        offset = points[a + 1 : b] - points[a]
        length = float(np.hypot(*chord)) or 1.0
        distance = np.abs(chord[0] * offset[:, 1] - chord[1] * offset[:, 0]) / length
        worst = int(np.argmax(distance))
        if distance[worst] > 1.0:
            middle = a + 1 + worst
            kept.add(middle)
            spans += [(a, middle), (middle, b)]
    return kept
