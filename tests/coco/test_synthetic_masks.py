from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from kpray.coco.synthetic.masks import box_of, outlines, run_lengths, top_shape_index
from kpray.coco.synthetic.shapes import Shape, hull, rectangle

# pycocotools 2.0 has not yet learnt numpy 2's copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_run_lengths_are_cocos(mask: np.ndarray) -> None:
    runs = {"counts": list(run_lengths(mask)), "size": list(mask.shape)}
    decoded = coco_mask.decode(coco_mask.frPyObjects(runs, *mask.shape))
    assert np.array_equal(decoded.astype(bool), mask)


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_every_true_pixel_is_inside_an_outline_when_specks_are_kept(mask: np.ndarray) -> None:
    polygons = outlines(mask, min_area_px=0.0)
    assert bool(polygons) == bool(mask.any())
    if polygons:
        xs, ys = [c for p in polygons for c in p[::2]], [c for p in polygons for c in p[1::2]]
        box = box_of(mask)
        assert box is not None
        assert min(xs) >= box[0]
        assert min(ys) >= box[1]
        assert max(xs) <= box[0] + box[2]
        assert max(ys) <= box[1] + box[3]


def test_an_outline_covers_its_mask() -> None:
    canvas = Image.new("1", (200, 160))
    ImageDraw.Draw(canvas).ellipse((30, 20, 150, 130), fill=1)
    ImageDraw.Draw(canvas).rectangle((140, 60, 190, 90), fill=1)
    mask = np.asarray(canvas)
    polygons = [list(p) for p in outlines(mask)]
    again = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, 160, 200))).astype(bool)
    assert len(polygons) == 1
    assert len(polygons[0]) < 120
    assert (again & mask).sum() / (again | mask).sum() > 0.97


def test_what_is_painted_last_is_on_top() -> None:
    shapes = [Shape(rectangle(0, 0, 9, 9), (0, 0, 0), 0), Shape(rectangle(4, 4, 9, 9), (0, 0, 0), 1)]
    top = top_shape_index(shapes, 20, 12)
    assert top.shape == (12, 20)
    assert (top[2, 2], top[6, 6], top[11, 19]) == (0, 1, -1)


def test_nothing_has_no_box() -> None:
    assert box_of(np.zeros((4, 5), dtype=bool)) is None
    assert outlines(np.zeros((4, 5), dtype=bool)) == ()


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=12))
def test_a_hull_has_all_points_on_one_side(points: list[tuple[float, float]]) -> None:
    polygon = hull(points)
    for (ax, ay), (bx, by) in zip(polygon, [*polygon[1:], *polygon[:1]], strict=True):
        assert all((bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0 for x, y in points) or len(polygon) < 3
