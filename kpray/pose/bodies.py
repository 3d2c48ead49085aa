"""What all pose codes start from: labelled points, their noise, and each person's size and axes.

Arrays are keypoint-major, ``(17, P)``, so that a joint of both sides is one slice: ``points[ELBOWS]`` is
``(2, P)`` with the person's own left in row 0 and right in row 1.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from kpray.pose.angles import Floats, Points, cross, dot
from kpray.pose.margins import below, beyond

NOSE: Final = 0
EYES: Final = slice(1, 3)
EARS: Final = slice(3, 5)
FACE: Final = slice(0, 5)
SHOULDERS: Final = slice(5, 7)
ELBOWS: Final = slice(7, 9)
WRISTS: Final = slice(9, 11)
HIPS: Final = slice(11, 13)
KNEES: Final = slice(13, 15)
ANKLES: Final = slice(15, 17)

_NOSE_SIGMA: Final = 0.026
_PAIR_SIGMAS: Final = (0.025, 0.035, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089)  # eyes down to ankles
OKS_SIGMAS: Final = np.array([_NOSE_SIGMA, *np.repeat(_PAIR_SIGMAS, 2)])
"""Annotators' deviation per keypoint over the root of the person's area (cocodataset.org/#keypoints-eval)."""

MASK_SHARE_OF_BOX: Final = 0.45
"""Area of a person's mask over that of the box; val2017's people vary from 0.3 to 0.65."""

HIDDEN_FACTOR: Final = 1.5
"""How much more the guessed place of a hidden keypoint (v = 1) deviates; ours."""

FRONTAL_BREADTH: Final = 0.12
"""Shoulder separation in statures from which chest or back are towards the camera (0.225 is square on)."""

UPRIGHT_DEG: Final = 35.0
"""Largest tilt of the trunk at which image heights are heights on the body."""

CLICK_NOISE_PX: Final = 1.0
"""What a click is off by however small the person is; keypoints are whole pixels. Ours."""

SHARE_OF_STATURE: Final = {
    "torso": 0.32,
    "shoulders": 0.225,
    "upper_arm": 0.175,
    "forearm": 0.15,
    "thigh": 0.25,
    "shank": 0.235,
}
"""Length between keypoints over standing height.

Near the 70th percentile of the 67 people of val2017 who stand upright facing along the camera's axis, with
all keypoints and a box above 150 px (the anatomical figures of Winter, Biomechanics and Motor Control of
Human Movement, differ by up to a tenth because annotators click the joint's middle in a clothed body).
"""

_SEGMENTS: Final = (
    (5, 11, "torso"),
    (6, 12, "torso"),
    (5, 6, "shoulders"),
    (5, 7, "upper_arm"),
    (6, 8, "upper_arm"),
    (7, 9, "forearm"),
    (8, 10, "forearm"),
    (11, 13, "thigh"),
    (12, 14, "thigh"),
    (13, 15, "shank"),
    (14, 16, "shank"),
)
_STARTS: Final = np.array([s[0] for s in _SEGMENTS])
_ENDS: Final = np.array([s[1] for s in _SEGMENTS])
_SHARES: Final = np.array([[SHARE_OF_STATURE[s[2]]] for s in _SEGMENTS])


class Bodies:
    """Several people's keypoints, ready to be measured.

    Attributes:
        points: (17, P) complex, px; NaN where not labelled.
        labelled: (17, P) bool, v > 0.
        visible: (17, P) bool, v == 2.
        noise: (17, P) standard deviation per axis of each keypoint, px.
    """

    def __init__(self, keypoints_xyv_px: Floats, boxes_px: Floats) -> None:
        """Take (P, 17, 3) keypoints and (P, 4) boxes (x1, y1, x2, y2), both in pixels."""
        xyv = np.ascontiguousarray(keypoints_xyv_px.transpose(2, 1, 0))
        self.labelled = xyv[2] > 0
        self.visible = xyv[2] == 2
        self.points: Points = np.where(self.labelled, xyv[0] + 1j * xyv[1], complex(np.nan, np.nan))
        width, height = boxes_px[:, 2] - boxes_px[:, 0], boxes_px[:, 3] - boxes_px[:, 1]
        self.mask_size: Floats = np.sqrt(MASK_SHARE_OF_BOX * width * height)
        spread = OKS_SIGMAS[:, None] * self.mask_size / np.sqrt(2)
        self.noise: Floats = np.sqrt(spread**2 + CLICK_NOISE_PX**2) * np.where(self.visible, 1.0, HIDDEN_FACTOR)

    @property
    def count(self) -> int:
        """How many people."""
        return len(self.mask_size)

    @cached_property
    def _stature_guesses(self) -> Floats:
        guesses: Floats = np.abs(self.points[_STARTS] - self.points[_ENDS]) / _SHARES
        return guesses

    @cached_property
    def stature(self) -> Floats:
        """(P,) standing height in px that the longest-looking segment implies; NaN without any segment.

        Every projected length is a lower bound of the true one, so the largest guess is the best.
        """
        largest: Floats = np.fmax.reduce(self._stature_guesses, axis=0)
        return largest

    @cached_property
    def stature_keypoints(self) -> list[tuple[int, ...]]:
        """The two keypoints that decided each person's stature."""
        guesses = np.where(np.isnan(self._stature_guesses), -1.0, self._stature_guesses)
        longest = np.argmax(guesses, axis=0)
        return [_SEGMENTS[i][:2] for i in longest.tolist()]

    def full(self, segment: str) -> Floats:
        """(P,) expected true length of a segment, px."""
        return SHARE_OF_STATURE[segment] * self.stature

    def vector(self, start: slice, end: slice) -> tuple[Points, Floats]:
        """(2, P) vectors between the joints of both sides, and their noise per axis, px."""
        return self.points[end] - self.points[start], np.hypot(self.noise[start], self.noise[end])

    def middle(self, pair: slice) -> Points:
        """(P,) midpoint of a joint of both sides; NaN unless both are labelled."""
        middle: Points = (self.points[pair.start] + self.points[pair.start + 1]) / 2
        return middle

    @cached_property
    def torso(self) -> Points:
        """(P,) from mid-shoulder to mid-hip, px."""
        return self.middle(HIPS) - self.middle(SHOULDERS)

    @cached_property
    def torso_noise(self) -> Floats:
        """(P,) noise per axis of `torso`, px."""
        noise: Floats = np.hypot(self.noise[5:7].max(axis=0), self.noise[11:13].max(axis=0)) / np.sqrt(2)
        return noise

    @cached_property
    def face(self) -> Points:
        """(P,) mean of the labelled points of the face, px."""
        seen = self.labelled[FACE]
        total: Points = np.where(seen, self.points[FACE], 0).sum(axis=0)
        return np.where(seen.any(axis=0), total / seen.sum(axis=0), complex(np.nan, np.nan))

    @cached_property
    def face_keypoints(self) -> list[tuple[int, ...]]:
        """The labelled points of each face."""
        return [tuple(np.flatnonzero(column).tolist()) for column in self.labelled[FACE].T]

    @cached_property
    def axis_is_torso(self) -> npt.NDArray[np.bool_]:
        """(P,) whether `axis` comes from the hips; else it comes from the face."""
        return ~np.isnan(self.torso.real)

    @cached_property
    def axis(self) -> Points:
        """(P,) unit vector down the trunk: along `torso`, or from face to mid-shoulder without hips."""
        trunk: Points = np.where(self.axis_is_torso, self.torso, self.middle(SHOULDERS) - self.face)
        return trunk / np.abs(trunk)

    @cached_property
    def axis_keypoints(self) -> list[tuple[int, ...]]:
        """What `axis` was made of."""
        from_hips = self.axis_is_torso.tolist()
        return [(5, 6, 11, 12) if h else (*face, 5, 6) for h, face in zip(from_hips, self.face_keypoints, strict=True)]

    @cached_property
    def breadth(self) -> Floats:
        """(P,) shoulder separation across the trunk in statures; positive when the chest faces the camera."""
        across = self.points[5] - self.points[6]
        return -cross(self.axis, across) / self.stature

    @cached_property
    def breadth_noise(self) -> Floats:
        """(P,) standard deviation of `breadth`."""
        noise: Floats = np.hypot(self.noise[5], self.noise[6]) / self.stature
        return noise

    @cached_property
    def trunk_tilt_deg(self) -> Floats:
        """(P,) angle of `axis` against straight down in the picture, 0..180 degrees."""
        tilt: Floats = np.degrees(np.abs(np.arctan2(self.axis.real, self.axis.imag)))
        return tilt

    @cached_property
    def frontal(self) -> Floats:
        """(P,) margin by which chest or back are turned to the camera, so that sideways is sideways."""
        return beyond(np.abs(self.breadth), FRONTAL_BREADTH, 0.02, self.breadth_noise)

    @cached_property
    def upright(self) -> Floats:
        """(P,) margin by which the trunk is roughly vertical with the head up."""
        return below(self.trunk_tilt_deg, UPRIGHT_DEG, 5.0)

    @cached_property
    def outward(self) -> Floats:
        """(2, P) sign that makes `across` positive away from the body's midline, for left and right."""
        facing = np.sign(self.breadth)
        return np.stack([facing, -facing])

    def across(self, v: Points) -> Floats:
        """Component of vectors across the trunk, px; positive towards image-right for an upright person."""
        return -cross(self.axis, v)

    def along(self, v: Points) -> Floats:
        """Component of vectors down the trunk, px."""
        return dot(self.axis, v)
