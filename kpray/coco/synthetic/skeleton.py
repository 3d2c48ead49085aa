"""An articulated body in three dimensions and how a camera sees it.

The person's frame, in metres: x to the person's own left, y up, z forward; the ground is y = 0. The camera
looks along -z of the world, so a person with yaw 0 faces it and has the own left at image-right; yaw +90 faces
image-right, -90 image-left, 180 away.

Proportions are those of an average adult as fractions of stature (D. Winter, Biomechanics and Motor Control
of Human Movement, 4th ed. 2009, fig. 4.1), with hips and shoulders at the width where COCO's annotators put
them, and vary by a few per cent from person to person.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from kpray.coco.synthetic.shapes import Point

Vector = npt.NDArray[np.float64]  # (3,) in metres
Matrix = npt.NDArray[np.float64]  # (3, 3)
SideName = Literal["left", "right"]
SIDES: tuple[SideName, SideName] = ("left", "right")
OTHER: dict[SideName, SideName] = {"left": "right", "right": "left"}
SIGN: dict[SideName, float] = {"left": 1.0, "right": -1.0}


def vector(x: float, y: float, z: float) -> Vector:
    """A (3,) vector."""
    return np.array([x, y, z], dtype=np.float64)


def turn_x(deg: float) -> Matrix:
    """Pitch: a positive angle tips up towards forward."""
    c, s = math.cos(math.radians(deg)), math.sin(math.radians(deg))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]], dtype=np.float64)


def turn_y(deg: float) -> Matrix:
    """Yaw: a positive angle turns forward towards the own left."""
    c, s = math.cos(math.radians(deg)), math.sin(math.radians(deg))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=np.float64)


def turn_z(deg: float) -> Matrix:
    """Roll: a positive angle tips up towards the own right."""
    c, s = math.cos(math.radians(deg)), math.sin(math.radians(deg))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=np.float64)


@dataclass(frozen=True)
class Body:
    """Segment lengths of one person, in metres."""

    height: float
    shoulder_half: float
    hip_half: float
    torso: float
    neck: float
    upper_arm: float
    forearm: float
    thigh: float
    shin: float
    ankle_height: float
    foot: float
    head_radius: float
    girth: float

    @property
    def leg(self) -> float:
        """Hip to ankle."""
        return self.thigh + self.shin

    @property
    def arm(self) -> float:
        """Shoulder to wrist."""
        return self.upper_arm + self.forearm


def sample_body(rng: random.Random, *, height_m: float, child: bool, shoulders: float = 1.0) -> Body:
    """A body of a given stature with proportions of its own."""

    def part(fraction: float, spread: float = 0.04) -> float:
        return height_m * fraction * rng.uniform(1 - spread, 1 + spread)

    legs = 0.94 if child else 1.0
    return Body(
        height=height_m,
        shoulder_half=part(0.112, 0.06) * shoulders,
        hip_half=part(0.068, 0.08),
        torso=part(0.29),
        neck=part(0.052, 0.1),
        upper_arm=part(0.172),
        forearm=part(0.152),
        thigh=part(0.245) * legs,
        shin=part(0.24) * legs,
        ankle_height=0.042 * height_m,
        foot=part(0.105),
        head_radius=height_m * (0.078 if child else 0.066),
        girth=rng.uniform(0.88, 1.2),
    )


def _unit(v: Vector) -> Vector:
    return v / math.sqrt(float(v @ v))


def _two_bones(start: Vector, target: Vector, first: float, second: float, pole: Vector) -> tuple[Vector, Vector]:
    """Middle and end of a two-bone limb that reaches for a target and bends towards the pole."""
    reach = target - start
    length = math.sqrt(float(reach @ reach))
    distance = min(max(length, abs(first - second) * 1.02), (first + second) * 0.998)
    axis = reach / length
    along = (first**2 - second**2 + distance**2) / (2 * distance)
    bend = _unit(pole - axis * float(pole @ axis))
    middle = start + axis * along + bend * math.sqrt(max(first**2 - along**2, 0.0))
    return middle, start + axis * distance


@dataclass
class Figure:
    """A body being posed. Call `trunk` first, then the limbs, then `settle`.

    Directions are ``(out, up, forward)``: out is away from the body's middle on that side, so one tuple serves
    both sides. Directions of arms are in the torso's frame, those of legs and all targets in the pelvis' frame.
    The hips' midpoint is the origin until `settle` puts the figure on the ground.
    """

    body: Body
    rng: random.Random
    joints: dict[str, Vector] = field(default_factory=dict)
    torso_frame: Matrix = field(default_factory=lambda: np.eye(3))
    head_frame: Matrix = field(default_factory=lambda: np.eye(3))

    def trunk(
        self,
        *,
        pitch: float = 0.0,
        roll: float = 0.0,
        twist: float = 0.0,
        nod: float = 0.0,
        look: float = 0.0,
        tilt: float = 0.0,
    ) -> None:
        """Bend the torso (pitch forward, roll to the own right, twist to the own left), then the head on it."""
        b = self.body
        pitch, roll = pitch + self.rng.gauss(0, 1.5), roll + self.rng.gauss(0, 1.2)
        self.torso_frame = turn_y(twist) @ turn_z(roll) @ turn_x(pitch)
        self.head_frame = turn_y(twist + look + self.rng.gauss(0, 5)) @ turn_z(roll * 0.6 + tilt) @ turn_x(nod)
        self.joints["pelvis"] = vector(0, 0, 0)
        self.joints["neck"] = self.torso_frame @ vector(0, b.torso, 0)
        self.joints["waist"] = self.torso_frame @ vector(0, b.torso * 0.42, 0)
        for side in SIDES:
            self.joints[f"{side}_hip"] = vector(SIGN[side] * b.hip_half, 0, 0)
            self.joints[f"{side}_shoulder"] = self.torso_frame @ vector(SIGN[side] * b.shoulder_half, b.torso, 0)
        self._head()

    def _head(self) -> None:
        r = self.body.head_radius
        base = self.joints["neck"] + self.torso_frame @ vector(0, self.body.neck * 0.5, 0)
        skull = base + self.head_frame @ vector(0, self.body.neck * 0.5 + r * 0.95, r * 0.15)
        self.joints["skull"] = skull
        self.joints["nose"] = skull + self.head_frame @ vector(0, -0.28 * r, 1.08 * r)
        for side in SIDES:
            self.joints[f"{side}_eye"] = skull + self.head_frame @ vector(SIGN[side] * 0.42 * r, 0.02 * r, 0.9 * r)
            self.joints[f"{side}_ear"] = skull + self.head_frame @ vector(SIGN[side] * 0.94 * r, -0.12 * r, 0.0)

    def _direction(self, side: SideName, out_up_forward: tuple[float, float, float], frame: Matrix) -> Vector:
        out, up, forward = (c + self.rng.gauss(0, 0.03) for c in out_up_forward)
        return _unit(frame @ vector(SIGN[side] * out, up, forward))

    def arm(self, side: SideName, upper: tuple[float, float, float], fore: tuple[float, float, float]) -> None:
        """Point the upper arm and the forearm."""
        elbow = self.joints[f"{side}_shoulder"] + self.body.upper_arm * self._direction(side, upper, self.torso_frame)
        wrist = elbow + self.body.forearm * self._direction(side, fore, self.torso_frame)
        self.joints[f"{side}_elbow"], self.joints[f"{side}_wrist"] = elbow, wrist

    def hang_arm(self, side: SideName) -> None:
        """Let an arm hang loosely."""
        self.arm(side, (0.14, -1, -0.02), (0.06, -1, 0.16))

    def reach(self, side: SideName, target: Vector, pole: tuple[float, float, float]) -> None:
        """Bring the wrist to a target (or towards it), with the elbow on the pole's side."""
        elbow, wrist = _two_bones(
            self.joints[f"{side}_shoulder"],
            target,
            self.body.upper_arm,
            self.body.forearm,
            vector(SIGN[side] * pole[0], pole[1], pole[2]),
        )
        self.joints[f"{side}_elbow"], self.joints[f"{side}_wrist"] = elbow, wrist

    def leg(
        self,
        side: SideName,
        thigh: tuple[float, float, float],
        shin: tuple[float, float, float],
        toe: tuple[float, float, float] = (0.15, -0.12, 1.0),
    ) -> None:
        """Point the thigh, the shin and the foot."""
        knee = self.joints[f"{side}_hip"] + self.body.thigh * self._direction(side, thigh, np.eye(3))
        ankle = knee + self.body.shin * self._direction(side, shin, np.eye(3))
        self.joints[f"{side}_knee"], self.joints[f"{side}_ankle"] = knee, ankle
        self._foot(side, toe)

    def step(
        self,
        side: SideName,
        *,
        out: float,
        down: float,
        forward: float = 0.0,
        pole: tuple[float, float, float] = (0.12, 0.0, 1.0),
        toe: tuple[float, float, float] = (0.2, -0.2, 1.0),
    ) -> None:
        """Put the ankle at a place: metres out from the middle, down from the hips, forward."""
        knee, ankle = _two_bones(
            self.joints[f"{side}_hip"],
            vector(SIGN[side] * out, -down, forward),
            self.body.thigh,
            self.body.shin,
            vector(SIGN[side] * pole[0], pole[1], pole[2]),
        )
        self.joints[f"{side}_knee"], self.joints[f"{side}_ankle"] = knee, ankle
        self._foot(side, toe)

    def _foot(self, side: SideName, toe: tuple[float, float, float]) -> None:
        direction = _unit(vector(SIGN[side] * toe[0], toe[1], toe[2]))
        self.joints[f"{side}_toe"] = self.joints[f"{side}_ankle"] + self.body.foot * direction

    def settle(self, *, root: Matrix | None = None, lift_m: float = 0.0) -> None:
        """Turn the whole body, put its lowest point on the ground and lift it from there."""
        turn = np.eye(3) if root is None else root
        self.joints = {name: turn @ p for name, p in self.joints.items()}
        self.torso_frame, self.head_frame = turn @ self.torso_frame, turn @ self.head_frame
        lowest = min(float(p[1]) - self._clearance(name) for name, p in self.joints.items())
        up = vector(0, lift_m - lowest, 0)
        self.joints = {name: p + up for name, p in self.joints.items()}

    def _clearance(self, name: str) -> float:
        """How far flesh (or a sole) reaches below a joint, in metres."""
        h = self.body.height
        by_name = {"ankle": self.body.ankle_height, "toe": 0.016 * h, "pelvis": 0.06 * h, "waist": 0.06 * h}
        by_name |= {"skull": 0.066 * h, "knee": 0.03 * h, "hip": 0.055 * h, "shoulder": 0.04 * h}
        return by_name.get(name.rsplit("_", 1)[-1], 0.015 * h)

    def angle_deg(self, a: str, b: str, c: str) -> float:
        """The true angle at joint b, in degrees."""
        u, v = _unit(self.joints[a] - self.joints[b]), _unit(self.joints[c] - self.joints[b])
        return math.degrees(math.acos(max(-1.0, min(1.0, float(u @ v)))))


@dataclass(frozen=True)
class View:
    """Where a figure stands in the picture and from where it is seen (orthographic).

    Attributes:
        yaw_deg: Turn about the vertical; see the module's docstring.
        elevation_deg: How far the camera looks down.
        px_per_m: Scale.
        ground_x: Picture place of the figure's origin on the ground, px.
        ground_y: The same, downwards.
    """

    yaw_deg: float
    elevation_deg: float
    px_per_m: float
    ground_x: float = 0.0
    ground_y: float = 0.0

    def camera(self, p: Vector) -> tuple[float, float, float]:
        """A point of the person's frame as metres image-right, metres up the picture and depth (near is large)."""
        yaw, e = math.radians(self.yaw_deg), math.radians(self.elevation_deg)
        x, y, z = float(p[0]), float(p[1]), float(p[2])
        right = x * math.cos(yaw) + z * math.sin(yaw)
        near = z * math.cos(yaw) - x * math.sin(yaw)
        return right, y * math.cos(e) - near * math.sin(e), near * math.cos(e) + y * math.sin(e)

    def px(self, p: Vector) -> Point:
        """A point of the person's frame in pixels."""
        right, up, _ = self.camera(p)
        return self.ground_x + right * self.px_per_m, self.ground_y - up * self.px_per_m

    def depth(self, p: Vector) -> float:
        """Depth in metres; larger is nearer."""
        return self.camera(p)[2]
