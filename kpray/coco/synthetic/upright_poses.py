"""Poses on the feet: standing, moving, holding something."""

from __future__ import annotations

from collections.abc import Callable

from kpray.coco.synthetic.skeleton import OTHER, SIDES, SIGN, Figure, SideName, vector


def _stand(f: Figure, *, half_width: float = 0.075, bend: float = 0.004) -> None:
    b = f.body
    for side in SIDES:
        f.step(
            side,
            out=half_width * b.height * f.rng.uniform(0.85, 1.2),
            down=b.leg * (1 - bend),
            forward=f.rng.gauss(0, 0.015),
            toe=(0.35, -0.2, 1),
        )


def _hand_on_hip(f: Figure, side: SideName) -> None:
    hip = f.joints[f"{side}_hip"]
    target = hip + vector(SIGN[side] * 0.028, 0.05, 0.015) * f.body.height
    f.reach(side, target, (1.0, 0.0, -0.45))


def _standing(f: Figure, side: SideName) -> None:
    f.trunk(pitch=1, look=f.rng.uniform(-12, 12))
    for each in SIDES:
        f.hang_arm(each)
    _stand(f)
    f.settle()


def _arms_raised(f: Figure, side: SideName) -> None:
    f.trunk(pitch=-2, nod=-6)
    for each in SIDES:
        f.arm(each, (0.5, 0.9, 0.08), (0.22, 1, 0.05))
    _stand(f, half_width=0.1)
    f.settle()


def _arms_out(f: Figure, side: SideName) -> None:
    f.trunk()
    for each in SIDES:
        f.arm(each, (1, 0.02, 0.0), (1, 0.05, 0.06))
    _stand(f, half_width=0.1)
    f.settle()


def _pointing(f: Figure, side: SideName) -> None:
    f.trunk(look=SIGN[side] * 35)
    f.arm(side, (1, 0.1, 0.3), (1, 0.13, 0.22))
    if f.rng.random() < 0.4:
        _hand_on_hip(f, OTHER[side])
    else:
        f.hang_arm(OTHER[side])
    _stand(f)
    f.settle()


def _hands_on_hips(f: Figure, side: SideName) -> None:
    f.trunk(pitch=-1)
    for each in SIDES:
        _hand_on_hip(f, each)
    _stand(f, half_width=0.095)
    f.settle()


def _arms_crossed(f: Figure, side: SideName) -> None:
    f.trunk(pitch=-2)
    b = f.body
    for each, up in ((side, 0.62), (OTHER[side], 0.69)):
        target = vector(-SIGN[each] * b.shoulder_half * 0.62, b.torso * up, 0.088 * b.height)
        f.reach(each, target, (0.8, -1.0, 0.1))
    _stand(f, half_width=0.08)
    f.settle()


def _waving(f: Figure, side: SideName) -> None:
    f.trunk(roll=SIGN[side] * 2)
    f.arm(side, (0.9, 0.28, 0.12), (0.22 + f.rng.uniform(-0.15, 0.25), 1, 0.12))
    f.hang_arm(OTHER[side])
    _stand(f)
    f.settle()


def _walking(f: Figure, side: SideName) -> None:
    b, stride = f.body, f.rng.uniform(0.15, 0.2) * f.body.height
    f.trunk(pitch=4)
    f.arm(OTHER[side], (0.1, -1, 0.38), (0.05, -0.85, 0.65))
    f.arm(side, (0.12, -1, -0.34), (0.08, -1, 0.02))
    f.step(side, out=0.055 * b.height, down=b.leg * 0.935, forward=stride, toe=(0.1, 0.12, 1))
    f.step(OTHER[side], out=0.05 * b.height, down=b.leg * 0.925, forward=-stride * 1.12, toe=(0.1, -0.62, 1))
    f.settle()


def _running(f: Figure, side: SideName) -> None:
    f.trunk(pitch=12, nod=4)
    f.arm(OTHER[side], (0.15, -0.75, 0.7), (-0.15, 0.55, 0.9))
    f.arm(side, (0.25, -0.7, -0.75), (0.02, -0.75, 0.75))
    f.leg(side, (0.06, -0.68, 0.8), (0.0, -1, -0.12), toe=(0.05, 0.05, 1))
    f.leg(OTHER[side], (0.05, -1, -0.28), (0.0, -0.5, -0.9), toe=(0.05, -1, -0.25))
    f.settle(lift_m=0.05)


def _lunging(f: Figure, side: SideName) -> None:
    b = f.body
    f.trunk(pitch=3)
    if f.rng.random() < 0.5:
        for each in SIDES:
            _hand_on_hip(f, each)
    else:
        for each in SIDES:
            f.arm(each, (0.15, -1, 0.1), (0.1, -1, 0.2))
    down = b.leg * 0.64
    f.step(side, out=0.06 * b.height, down=down, forward=0.27 * b.height, toe=(0.05, -0.2, 1))
    f.step(OTHER[side], out=0.06 * b.height, down=down - 0.02, forward=-0.37 * b.height, toe=(0.05, -0.75, 0.9))
    f.settle()


def _bending_forward(f: Figure, side: SideName) -> None:
    f.trunk(pitch=f.rng.uniform(72, 92), nod=62)
    for each in SIDES:
        hang = vector(0, -f.body.arm * 0.98, 0.06)
        f.reach(each, f.joints[f"{each}_shoulder"] + hang, (0.3, 0.0, 0.6))
    _stand(f, half_width=0.07, bend=0.012)
    f.settle()


def _carrying(f: Figure, side: SideName) -> None:
    f.trunk(pitch=-5)
    b = f.body
    for each in SIDES:
        target = vector(SIGN[each] * 0.1, b.torso * 0.36 / b.height, 0.17) * b.height
        f.reach(each, target, (0.6, -1, -0.3))
    _stand(f)
    f.settle()


def _jumping(f: Figure, side: SideName) -> None:
    f.trunk(pitch=4, nod=-6)
    for each in SIDES:
        f.arm(each, (0.62, 0.85, 0.1), (0.4, 1, 0.05))
        f.leg(each, (0.32, -1, 0.35), (0.1, -0.85, -0.75), toe=(0.1, -1, 0.1))
    f.settle(lift_m=f.rng.uniform(0.2, 0.35))


def _throwing(f: Figure, side: SideName) -> None:
    b = f.body
    f.trunk(pitch=-4, roll=SIGN[side] * 6, twist=-SIGN[side] * 12)
    f.arm(side, (0.9, 0.3, -0.25), (0.3, 0.95, -0.3))
    f.arm(OTHER[side], (0.75, 0.05, 0.65), (0.6, 0.1, 0.8))
    f.step(OTHER[side], out=0.1 * b.height, down=b.leg * 0.94, forward=0.17 * b.height)
    f.step(side, out=0.1 * b.height, down=b.leg * 0.94, forward=-0.17 * b.height, toe=(0.5, -0.4, 0.9))
    f.settle()


def _kicking(f: Figure, side: SideName) -> None:
    b = f.body
    f.trunk(pitch=-9)
    f.arm(OTHER[side], (0.75, -0.35, 0.55), (0.6, -0.1, 0.75))
    f.arm(side, (0.75, -0.5, -0.45), (0.7, -0.5, -0.1))
    f.leg(side, (0.06, -0.78, 0.7), (0.0, -0.6, 0.85), toe=(0.05, -0.1, 1))
    f.step(OTHER[side], out=0.045 * b.height, down=b.leg * 0.985, forward=-0.04 * b.height)
    f.settle()


def _swinging(f: Figure, side: SideName) -> None:
    b = f.body
    f.trunk(pitch=8, roll=-SIGN[side] * 3, twist=-SIGN[side] * 10)
    f.arm(side, (0.95, -0.05, 0.25), (0.85, 0.3, 0.5))
    f.arm(OTHER[side], (0.5, -0.6, 0.45), (0.2, 0.15, 0.9))
    f.step(OTHER[side], out=0.14 * b.height, down=b.leg * 0.9, forward=0.1 * b.height)
    f.step(side, out=0.14 * b.height, down=b.leg * 0.9, forward=-0.12 * b.height, toe=(0.6, -0.25, 0.8))
    f.settle()


def _stretching(f: Figure, side: SideName) -> None:
    f.trunk(roll=-SIGN[side] * -24)
    f.arm(side, (0.1, -1, 0.05), (0.05, -1, 0.12))
    _hand_on_hip(f, side)
    f.arm(OTHER[side], (0.3, 1, 0.06), (-0.42, 1, 0.06))
    _stand(f, half_width=0.12)
    f.settle()


def _balancing(f: Figure, side: SideName) -> None:
    """On one leg, the other foot against the knee, palms together overhead."""
    b = f.body
    f.trunk()
    f.step(OTHER[side], out=0.012 * b.height, down=b.leg * 0.995, toe=(0.15, -0.2, 1))
    inner = 0.03 * b.height
    f.step(side, out=inner, down=b.leg * 0.52, forward=0.02, pole=(1, 0, 0.12), toe=(-0.15, -1, 0.2))
    for each in SIDES:
        top = f.joints["skull"] + vector(SIGN[each] * 0.012, 0.165, 0.0) * b.height
        f.reach(each, top, (1, 0.25, -0.1))
    f.settle()


def _skateboarding(f: Figure, side: SideName) -> None:
    f.trunk(pitch=16, nod=-4, look=SIGN[side] * 40)
    f.arm(side, (1, -0.12, 0.2), (0.95, 0.08, 0.3))
    f.arm(OTHER[side], (0.95, -0.35, 0.15), (0.8, 0.15, 0.45))
    b = f.body
    for each in SIDES:
        f.step(each, out=0.15 * b.height, down=b.leg * 0.84, forward=0.03, pole=(0.4, 0, 1), toe=(0.25, -0.2, 1))
    f.settle(lift_m=0.12)


def _skiing(f: Figure, side: SideName) -> None:
    f.trunk(pitch=24, nod=-4)
    b = f.body
    for each in SIDES:
        f.arm(each, (0.45, -0.7, 0.5), (0.1, -0.1, 1))
        f.step(each, out=0.075 * b.height, down=b.leg * 0.86, forward=-0.02, pole=(0.1, 0, 1), toe=(0, -0.2, 1))
    f.settle(lift_m=0.03)


def _holding_up(f: Figure, side: SideName) -> None:
    """One hand before the shoulder, as with an umbrella."""
    f.trunk()
    f.arm(side, (0.22, -1, 0.12), (-0.05, 0.9, 0.55))
    f.hang_arm(OTHER[side])
    _stand(f)
    f.settle()


def _drinking(f: Figure, side: SideName) -> None:
    f.trunk(nod=-4)
    mouth = f.joints["nose"] + f.head_frame @ vector(SIGN[side] * 0.02, -0.05, 0.075)
    f.reach(side, mouth, (0.75, -0.8, 0.1))
    f.hang_arm(OTHER[side])
    _stand(f)
    f.settle()


def _telephoning(f: Figure, side: SideName) -> None:
    f.trunk(tilt=-SIGN[side] * -6)
    ear = f.joints[f"{side}_ear"] + vector(SIGN[side] * 0.055, -0.09, 0.03)
    f.reach(side, ear, (0.35, -1.0, 0.4))
    if f.rng.random() < 0.5:
        _hand_on_hip(f, OTHER[side])
    else:
        f.hang_arm(OTHER[side])
    _stand(f)
    f.settle()


UPRIGHT_POSES: dict[str, Callable[[Figure, SideName], None]] = {
    "standing": _standing,
    "arms_raised": _arms_raised,
    "arms_out": _arms_out,
    "pointing": _pointing,
    "hands_on_hips": _hands_on_hips,
    "arms_crossed": _arms_crossed,
    "waving": _waving,
    "walking": _walking,
    "running": _running,
    "lunging": _lunging,
    "bending_forward": _bending_forward,
    "carrying": _carrying,
    "jumping": _jumping,
    "throwing": _throwing,
    "kicking": _kicking,
    "swinging": _swinging,
    "stretching": _stretching,
    "balancing": _balancing,
    "skateboarding": _skateboarding,
    "skiing": _skiing,
    "holding_up": _holding_up,
    "drinking": _drinking,
    "telephoning": _telephoning,
}
"""How each kind of pose is built; the side is the one that leads (waves, points, kicks)."""
