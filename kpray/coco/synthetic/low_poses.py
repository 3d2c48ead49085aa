"""Poses near the ground or on a seat: crouching, kneeling, sitting, lying."""

from __future__ import annotations

from collections.abc import Callable

from kpray.coco.synthetic.skeleton import OTHER, SIDES, SIGN, Figure, SideName, turn_x, turn_z, vector

SEAT_HEIGHT = 0.275  # of stature


def _crouching(f: Figure, side: SideName) -> None:
    b = f.body
    f.trunk(pitch=32, nod=8)
    for each in SIDES:
        f.step(
            each,
            out=0.1 * b.height,
            down=0.2 * b.height,
            forward=0.05 * b.height,
            pole=(0.45, 0.25, 1),
            toe=(0.5, -0.2, 1),
        )
    for each in SIDES:
        f.reach(each, f.joints[f"{each}_knee"] + vector(0, 0.02, 0.06), (0.8, -0.4, 0.2))
    f.settle()


def _squatting(f: Figure, side: SideName) -> None:
    b = f.body
    f.trunk(pitch=35, nod=6)
    for each in SIDES:
        f.arm(each, (0.08, -0.1, 1), (0.02, 0.1, 1))
        f.step(
            each,
            out=0.12 * b.height,
            down=b.leg * 0.6,
            forward=0.13 * b.height,
            pole=(0.35, 0, 1),
            toe=(0.4, -0.2, 1),
        )
    f.settle()


def _kneeling(f: Figure, side: SideName) -> None:
    f.trunk(pitch=3)
    for each in SIDES:
        f.leg(each, (0.12, -1, 0.05), (0.02, -0.06, -1), toe=(0.05, -0.15, -1))
        f.arm(each, (0.15, -1, 0.12), (-0.1, -0.8, 0.5))
    f.settle()


def _kneeling_on_one_knee(f: Figure, side: SideName) -> None:
    b = f.body
    f.trunk(pitch=6)
    f.leg(OTHER[side], (0.1, -1, -0.04), (0.02, -0.06, -1), toe=(0.05, -0.75, -0.6))
    f.step(
        side,
        out=0.1 * b.height,
        down=b.thigh - 0.012 * b.height,
        forward=0.23 * b.height,
        pole=(0.2, 1.0, 1),
        toe=(0.15, -0.2, 1),
    )
    f.reach(side, f.joints[f"{side}_knee"] + vector(0, 0.05, 0.02), (0.8, -0.5, -0.3))
    f.hang_arm(OTHER[side])
    f.settle()


def _seated_legs(f: Figure) -> None:
    b = f.body
    for each in SIDES:
        f.step(
            each,
            out=0.085 * b.height * f.rng.uniform(0.8, 1.4),
            down=(SEAT_HEIGHT + 0.055 - 0.042) * b.height,
            forward=0.25 * b.height * f.rng.uniform(0.94, 1.12),
            pole=(0.15, 1, 0.6),
            toe=(0.2, -0.2, 1),
        )


def _sitting(f: Figure, side: SideName) -> None:
    f.trunk(pitch=f.rng.uniform(-8, 6), nod=3)
    _seated_legs(f)
    for each in SIDES:
        f.reach(each, f.joints[f"{each}_knee"] * 0.78 + vector(0, 0.065, 0), (0.6, -0.8, -0.5))
    f.settle()


def _reading(f: Figure, side: SideName) -> None:
    f.trunk(pitch=4, nod=24)
    _seated_legs(f)
    b = f.body
    for each in SIDES:
        f.reach(each, vector(SIGN[each] * 0.055, b.torso * 0.5 / b.height, 0.19) * b.height, (0.7, -1, 0))
    f.settle()


def _sitting_on_ground(f: Figure, side: SideName) -> None:
    b = f.body
    f.trunk(pitch=-12, nod=6)
    for each in SIDES:
        f.step(each, out=0.07 * b.height, down=0.015 * b.height, forward=0.34 * b.height, pole=(0.15, 1, 0))
        f.reach(each, vector(SIGN[each] * 0.14, -0.03, -0.13) * b.height, (0.4, 0.2, -1))
    f.settle()


def _sitting_cross_legged(f: Figure, side: SideName) -> None:
    f.trunk(pitch=4)
    for each, forward in ((side, 0.12), (OTHER[side], 0.34)):
        f.leg(each, (0.82, 0.08, 0.62), (-0.95, -0.12, forward), toe=(-0.8, -0.15, 0.5))
        f.reach(each, f.joints[f"{each}_knee"] * 0.85 + vector(0, 0.06, 0), (0.6, -0.6, -0.4))
    f.settle()


def _lying_on_back(f: Figure, side: SideName) -> None:
    f.trunk(nod=-8)
    f.leg(OTHER[side], (0.08, -1, 0.03), (0.03, -1, 0.0), toe=(0.3, -0.25, 1))
    if f.rng.random() < 0.6:
        f.step(side, out=0.07 * f.body.height, down=f.body.leg * 0.62, forward=-0.02, toe=(0.1, -1, 0.15))
    else:
        f.leg(side, (0.1, -1, 0.03), (0.04, -1, 0.0), toe=(0.3, -0.25, 1))
    f.hang_arm(OTHER[side])
    f.reach(side, vector(SIGN[side] * 0.02, 0.12, 0.075) * f.body.height, (1, -0.3, 0.2))
    f.settle(root=turn_x(-90))


def _lying_on_side(f: Figure, side: SideName) -> None:
    """On the own side that is given, with that arm under the head."""
    f.trunk()
    # The elbow goes forward: downwards there is the ground.
    under_head = f.joints["skull"] + vector(SIGN[side] * 0.06, 0.02, 0.1)
    f.reach(side, under_head, (-0.2, 0.3, 1.0))
    f.arm(OTHER[side], (0.04, -0.9, 0.4), (-0.1, -0.9, 0.35))
    f.leg(side, (-0.03, -1, 0.3), (0.02, -1, -0.3), toe=(0, -0.5, 1))
    f.leg(OTHER[side], (-0.2, -1, 0.5), (-0.1, -1, -0.35), toe=(0, -0.5, 1))
    f.settle(root=turn_z(-88 * SIGN[side]))


LOW_POSES: dict[str, Callable[[Figure, SideName], None]] = {
    "crouching": _crouching,
    "squatting": _squatting,
    "kneeling": _kneeling,
    "kneeling_on_one_knee": _kneeling_on_one_knee,
    "sitting": _sitting,
    "reading": _reading,
    "sitting_on_ground": _sitting_on_ground,
    "sitting_cross_legged": _sitting_cross_legged,
    "lying_on_back": _lying_on_back,
    "lying_on_side": _lying_on_side,
}
"""How each kind of pose is built; the side is the one that leads (waves, points, kicks)."""
