from __future__ import annotations

import numpy as np
import pytest
from pose_figures import SIDE_ON, STANDING, Pose, box_around, keypoints

from kpray.pose.bodies import Bodies


def bodies(pose: Pose = STANDING, **moved: tuple[float, float] | None) -> Bodies:
    points = keypoints(pose, **moved)
    return Bodies(points, box_around(points))


def test_stature_of_a_person_of_known_height():
    assert bodies().stature[0] == pytest.approx(970, rel=0.03)


def test_stature_is_found_from_any_segment():
    only_an_arm = {
        name: xy if name.startswith("left_") and name[5:] in ("elbow", "wrist") else None
        for name, xy in STANDING.items()
    }
    assert bodies(only_an_arm).stature[0] == pytest.approx(970, rel=0.03)
    assert bodies(only_an_arm).stature_keypoints == [(7, 9)]


def test_no_segment_no_stature():
    assert np.isnan(bodies({name: xy if name == "nose" else None for name, xy in STANDING.items()}).stature[0])


def test_breadth_tells_front_from_side():
    assert bodies().breadth[0] == pytest.approx(0.225, abs=0.01)
    assert abs(bodies(SIDE_ON).breadth[0]) < 0.02


def test_the_axis_falls_back_on_the_face():
    whole, cut = bodies(), bodies(left_hip=None)
    assert whole.axis_keypoints == [(5, 6, 11, 12)]
    assert cut.axis_keypoints == [(0, 1, 2, 3, 4, 5, 6)]
    assert cut.axis[0] == pytest.approx(whole.axis[0], abs=0.01)


def test_noise_grows_with_the_person_and_for_hidden_points():
    small, large = keypoints(), keypoints() * np.array([2, 2, 1.0])
    small[0, 5, 2] = 1
    noise_small, noise_large = (Bodies(k, box_around(k)).noise[:, 0] for k in (small, large))
    assert noise_small[5] > noise_small[6]
    assert noise_large[6] == pytest.approx(2 * noise_small[6], rel=0.1)
