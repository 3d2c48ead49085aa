from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from kpray.coco import validate

# Figure 1 of the keypoint instruction tuning paper, normalised: a skier whose keypoints and box disagree.
FIGURE_1_BOX = np.array([[0.419, 0.023, 0.842, 0.987]])
FIGURE_1_XY = (
    (0.479, 0.391), (0.483, 0.388), (0.475, 0.388), (0.487, 0.389), (0.471, 0.389), (0.498, 0.403),
    (0.464, 0.403), (0.517, 0.417), (0.448, 0.42), (0.521, 0.408), (0.446, 0.412), (0.498, 0.453),
    (0.475, 0.455), (0.5, 0.478), (0.477, 0.48), (0.504, 0.502), (0.477, 0.503),
)  # fmt: skip


def keypoints(xy: object, v: int = 2) -> npt.NDArray[np.float64]:
    return np.column_stack([np.array(xy, dtype=np.float64), np.full(17, v)])[None]


def test_the_papers_figure_1_does_not_fit_its_box() -> None:
    assert validate.hull_misfits_box(keypoints(FIGURE_1_XY), FIGURE_1_BOX).tolist() == [True]


def test_the_same_body_in_a_box_of_its_size_fits() -> None:
    box = np.array([[0.43, 0.37, 0.54, 0.53]])
    assert validate.hull_misfits_box(keypoints(FIGURE_1_XY), box).tolist() == [False]


def test_few_labelled_keypoints_are_not_judged() -> None:
    face_only = keypoints(FIGURE_1_XY)
    face_only[:, 5:] = 0
    assert validate.hull_misfits_box(face_only, FIGURE_1_BOX).tolist() == [False]
    without_ankles = keypoints(FIGURE_1_XY)
    without_ankles[:, 15:] = 0
    assert validate.hull_misfits_box(without_ankles, FIGURE_1_BOX).tolist() == [False]


@pytest.mark.parametrize(
    ("x", "v", "outside"), [(104, 2, False), (106, 2, True), (149, 1, False), (151, 1, True), (-6, 2, True)]
)
def test_hidden_keypoints_may_lie_further_outside_than_visible_ones(x: float, v: int, outside: bool) -> None:
    xyv = np.zeros((1, 17, 3))
    xyv[0, 9] = (x, 50, v)
    assert validate.keypoints_outside_box(xyv, np.array([[0.0, 0, 100, 100]])).tolist() == [outside]


def test_nobody() -> None:
    nobody = np.zeros((0, 17, 3)), np.zeros((0, 4))
    assert validate.keypoints_outside_box(*nobody).shape == (0,)
    assert validate.hull_misfits_box(*nobody).shape == (0,)
