"""Flags of a scene: doubts that can be seen in its numbers alone, and that a crowd was left out.

A doubt does not say which number is wrong. It says that the box and the keypoints cannot both be right, so a
text that is grounded in both would be wrong somewhere.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

KEYPOINTS_OUTSIDE_BOX: Final = "keypoints_outside_box"
"""A keypoint lies outside its person's box by more than `VISIBLE_TOLERANCE` or `HIDDEN_TOLERANCE`."""

HULL_MISFITS_BOX: Final = "hull_misfits_box"
"""A fully labelled body spans less than `MIN_HULL_SHARE` of its box in width and in height."""

IMAGE_SIZE_MISSING: Final = "image_size_missing"
"""No file gives a width and height above zero. Nothing can be normalised, so the scene is always dropped."""

DOUBTS: Final = (KEYPOINTS_OUTSIDE_BOX, HULL_MISFITS_BOX, IMAGE_SIZE_MISSING)
"""The flags that ``reject_flagged`` drops a scene for."""

CROWD: Final = "crowd"
"""A crowd of people was left out, so the people of the scene cannot be counted exactly. This is no doubt."""

VISIBLE_TOLERANCE: Final = 0.05
"""For keypoints with v = 2, in longer sides of the box. Boxes are drawn around what is visible: not one person
of COCO val2017 or train2017 has a visible keypoint that far outside."""

HIDDEN_TOLERANCE: Final = 0.5
"""For keypoints with v = 1, likewise. What is hidden may lie outside a box of what is visible; in COCO 9 % of
the people have a hidden keypoint outside by more than 0.1, fewer than 1 in 10,000 by more than 0.5."""

MIN_HULL_SHARE: Final = 0.4
"""In sides of the box. A body whose shoulders, hips, knees and ankles are labelled reaches from end to end of
its box, but for hair, hands and feet: fewer than 1 in 10,000 such people of COCO are below. In the example of
the keypoint instruction tuning paper (its Figure 1) the shares are 0.18 of the width and 0.12 of the height."""

_FULL_BODY: Final = ((5, 6), (11, 12), (13, 14), (15, 16))
"""Shoulders, hips, knees, ankles: of each pair at least one must be labelled to judge the extent."""

Mask = npt.NDArray[np.bool_]


def keypoints_outside_box(xyv: npt.NDArray[np.float64], box_xyxy: npt.NDArray[np.float64]) -> Mask:
    """Which people have a labelled keypoint clearly outside their box.

    Args:
        xyv: (P, 17, 3) keypoints, x and y in the unit of the boxes.
        box_xyxy: (P, 4) boxes.

    Returns:
        (P,) mask.

    >>> xyv = np.zeros((1, 17, 3))
    >>> xyv[0, 0] = (12, 5, 2)
    >>> keypoints_outside_box(xyv, np.array([[0.0, 0, 10, 10]])).tolist()
    [True]
    >>> keypoints_outside_box(xyv, np.array([[0.0, 0, 10, 50]])).tolist()
    [False]
    """
    x, y, v = np.moveaxis(xyv, 2, 0)
    x1, y1, x2, y2 = box_xyxy.T[:, :, None]
    excess = np.maximum(np.maximum(x1 - x, x - x2), np.maximum(y1 - y, y - y2))
    longer_side = np.maximum(x2 - x1, y2 - y1)
    outside = (v == 2) & (excess > VISIBLE_TOLERANCE * longer_side)
    outside |= (v == 1) & (excess > HIDDEN_TOLERANCE * longer_side)
    result: Mask = outside.any(axis=1)
    return result


def hull_misfits_box(xyv: npt.NDArray[np.float64], box_xyxy: npt.NDArray[np.float64]) -> Mask:
    """Which people are labelled from shoulders to ankles and yet fill only a corner of their box.

    Someone whose few labelled keypoints cover little of the box is not judged: that is common and right.

    Args:
        xyv: (P, 17, 3) keypoints, x and y in the unit of the boxes.
        box_xyxy: (P, 4) boxes.

    Returns:
        (P,) mask.
    """
    x, y, v = np.moveaxis(xyv, 2, 0)
    x1, y1, x2, y2 = box_xyxy.T
    labelled = v > 0
    result: Mask = np.all([labelled[:, one] | labelled[:, other] for one, other in _FULL_BODY], axis=0)
    judged = np.flatnonzero(result)
    narrow = _spans(x[judged], labelled[judged]) < MIN_HULL_SHARE * (x2 - x1)[judged]
    flat = _spans(y[judged], labelled[judged]) < MIN_HULL_SHARE * (y2 - y1)[judged]
    result[judged] = narrow & flat
    return result


def _spans(values: npt.NDArray[np.float64], labelled: Mask) -> npt.NDArray[np.float64]:
    """From the smallest to the largest labelled value of each person."""
    largest, smallest = np.where(labelled, values, -np.inf).max(axis=1), np.where(labelled, values, np.inf).min(axis=1)
    spans: npt.NDArray[np.float64] = largest - smallest
    return spans
