"""Things that people hold, wear, sit on, lie on or ride, in the person's frame (metres).

Each function returns painted parts; their names are COCO's categories.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise

from kpray.coco.synthetic.low_poses import SEAT_HEIGHT
from kpray.coco.synthetic.poses import BED_HEIGHT_M
from kpray.coco.synthetic.shapes import (
    Part,
    Polygon,
    Rgb,
    Shape,
    circle,
    ellipse,
    hull,
    hull_of_circles,
    shade,
)
from kpray.coco.synthetic.skeleton import SIDES, SIGN, Figure, SideName, Vector, View, vector

WOOD: Rgb = (158, 112, 72)
BRIGHT: tuple[Rgb, ...] = ((205, 70, 64), (60, 110, 180), (240, 190, 70), (70, 150, 110), (140, 90, 160))


class Builder:
    """Knows the person, the view and whose shapes are being made."""

    def __init__(self, figure: Figure, view: View, owner: int, side: SideName, rng: random.Random) -> None:
        self.f, self.view, self.owner, self.side, self.rng = figure, view, owner, side, rng
        self.rgb = rng.choice(BRIGHT)

    def joint(self, name: str) -> Vector:
        """A joint of the person."""
        return self.f.joints[name]

    def part(self, anchor: Vector, polygons: list[tuple[Polygon, Rgb]], nearer: float = 0.0) -> Part:
        """Outlined polygons with the depth of a point."""
        shapes: list[Shape] = []
        for polygon, rgb in polygons:
            shapes += [
                Shape(_grown(polygon, 1.2), shade(rgb, 0.7), self.owner),
                Shape(polygon, rgb, self.owner),
            ]
        return Part(self.view.depth(anchor) + nearer, tuple(shapes))

    def rod(self, a: Vector, b: Vector, radius_m: float, rgb: Rgb, nearer: float = 0.0) -> Part:
        """A round bar."""
        r = max(radius_m * self.view.px_per_m, 0.8)
        polygon = hull_of_circles([(self.view.px(a), r), (self.view.px(b), r)])
        return self.part((a + b) / 2, [(polygon, rgb)], nearer)

    def box(self, center: Vector, half: tuple[float, float, float], rgb: Rgb, nearer: float = 0.0) -> Part:
        """A block along the person's axes; half sizes out, up and forward."""
        faces = []
        for axis in range(3):
            for sign in (1.0, -1.0):
                corners, normal = _face(center, half, axis, sign)
                if self.view.depth(center + normal) - self.view.depth(center) > 1e-6:
                    light = 1.12 if axis == 1 else (1.0 if axis == 2 else 0.85)
                    faces.append((tuple(self.view.px(c) for c in corners), shade(rgb, light)))
        return self.part(center, faces, nearer)


def _face(center: Vector, half: tuple[float, float, float], axis: int, sign: float) -> tuple[list[Vector], Vector]:
    u, v = (axis + 1) % 3, (axis + 2) % 3
    corners = []
    for du, dv in ((1, 1), (1, -1), (-1, -1), (-1, 1)):
        corner = center.copy()
        corner[axis] += sign * half[axis]
        corner[u] += du * half[u]
        corner[v] += dv * half[v]
        corners.append(corner)
    normal = vector(0, 0, 0)
    normal[axis] = sign
    return corners, normal


def _grown(polygon: Polygon, by_px: float) -> Polygon:
    n = len(polygon)
    cx, cy = sum(x for x, _ in polygon) / n, sum(y for _, y in polygon) / n
    size = max(max(abs(x - cx), abs(y - cy)) for x, y in polygon) or 1.0
    k = 1 + by_px / size
    return tuple((cx + (x - cx) * k, cy + (y - cy) * k) for x, y in polygon)


def _hand(b: Builder, side: SideName | None = None) -> Vector:
    return b.joint(f"{side or b.side}_hand")


def _backpack(b: Builder) -> list[Part]:
    neck, pelvis = b.joint("neck"), b.joint("pelvis")
    frame, h = b.f.torso_frame, b.f.body.height
    balls = []
    for out in (-0.062, 0.062):
        for share, deep in ((0.86, -0.1), (0.3, -0.12)):
            spot = pelvis * (1 - share) + neck * share + frame @ vector(out, 0, deep) * h
            balls.append((b.view.px(spot), 0.045 * h * b.view.px_per_m))
    center = (neck + pelvis) / 2 + frame @ vector(0, 0, -0.13) * h
    parts = [b.part(center, [(hull_of_circles(balls), b.rgb)], nearer=-0.02)]
    for side in SIDES:
        top = b.joint(f"{side}_shoulder") * 0.7 + neck * 0.3 + frame @ vector(0, 0.03, 0.03) * h
        low = pelvis * 0.5 + b.joint(f"{side}_shoulder") * 0.5 + frame @ vector(SIGN[side] * 0.02, 0, 0.055) * h
        parts.append(b.rod(top, low, 0.011 * h, shade(b.rgb, 0.8), nearer=0.045))
    return parts


def _handbag(b: Builder) -> list[Part]:
    hand = _hand(b)
    bag = hand + vector(0, -0.3, 0)
    handle = [hand + vector(0, 0, d) for d in (-0.05, 0.05)]
    straps = [b.rod(hand, bag + (h - hand) * 1.6 + vector(0, 0.1, 0), 0.008, shade(b.rgb, 0.6)) for h in handle]
    return [*straps, b.box(bag, (0.05, 0.11, 0.15), b.rgb)]


def _surfboard(b: Builder) -> list[Part]:
    h = b.f.body.height
    foot = vector(SIGN[b.side] * 0.32 * h, 0, -0.12)
    x, y = b.view.px(foot + vector(0, 0.56 * h, 0))
    s = b.view.px_per_m * h
    board = ellipse((x, y), 0.135 * s, 0.56 * s, corners=36)
    stripe = ellipse((x, y), 0.02 * s, 0.55 * s, corners=24)
    return [
        b.part(foot, [(board, b.rgb)]),
        Part(b.view.depth(foot) + 0.001, (Shape(stripe, (245, 240, 230), b.owner),)),
    ]


def _tennis_racket(b: Builder) -> list[Part]:
    hand = _hand(b)
    reach = hand - b.joint(f"{b.side}_elbow")
    along = reach / float((reach @ reach) ** 0.5) + vector(0, 0.5, 0)
    along = along / float((along @ along) ** 0.5)
    neck, center = hand + along * 0.26, hand + along * 0.42
    (x, y), (hx, hy) = b.view.px(center), b.view.px(hand)
    turn = _degrees(x - hx, y - hy)
    s = b.view.px_per_m
    rim = ellipse((x, y), 0.17 * s, 0.13 * s, turn_deg=turn, corners=28)
    net = ellipse((x, y), 0.148 * s, 0.108 * s, turn_deg=turn, corners=28)
    strings = [(0.1, 0.003, 0.0, dy) for dy in (-0.05, 0.0, 0.05)] + [(0.003, 0.09, dx, 0.0) for dx in (-0.07, 0, 0.07)]
    lines = [(_turned(x, y, dx * s, dy * s, rx * s, ry * s, turn), (190, 196, 200)) for rx, ry, dx, dy in strings]
    depth = b.view.depth(hand) - 0.03
    head = (Shape(rim, b.rgb, b.owner), Shape(net, (236, 238, 236), b.owner))
    return [
        b.rod(hand - along * 0.07, neck, 0.015, (60, 60, 64), nearer=-0.04),
        Part(depth, head + tuple(Shape(p, c, b.owner) for p, c in lines)),
    ]


def _degrees(dx: float, dy: float) -> float:
    return math.degrees(math.atan2(dy, dx))


def _turned(x: float, y: float, dx: float, dy: float, rx: float, ry: float, turn: float) -> Polygon:
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return ellipse((x + c * dx - s * dy, y + s * dx + c * dy), rx, ry, turn_deg=turn, corners=8)


def _umbrella(b: Builder) -> list[Part]:
    hand, h = _hand(b), b.f.body.height
    tip = hand + vector(-SIGN[b.side] * 0.03 * h, 0.5 * h, -0.02)
    x, y = b.view.px(tip)
    s = b.view.px_per_m * h
    wide, high = 0.34 * s, 0.17 * s
    arc = ellipse((x, y + high), wide, high, corners=40)
    dome = tuple(p for p in arc if p[1] <= y + high + 0.01)
    scallops = [
        ellipse((x + k * wide, y + high), 0.2 * wide, 0.09 * wide, corners=16) for k in (-0.8, -0.4, 0, 0.4, 0.8)
    ]
    middle = tuple(p for p in ellipse((x, y + high), wide * 0.36, high * 0.99, corners=30) if p[1] <= y + high + 0.01)
    canopy = [Shape(p, shade(b.rgb, 0.75), b.owner) for p in scallops]
    canopy += [Shape(hull(dome), b.rgb, b.owner), Shape(hull(middle), shade(b.rgb, 1.18), b.owner)]
    shaft = b.rod(hand - vector(0, 0.05 * h, 0), tip - vector(0, 0.02, 0), 0.008, (70, 66, 64), nearer=-0.2)
    return [shaft, Part(b.view.depth(hand) - 0.045, tuple(canopy))]


def _suitcase(b: Builder) -> list[Part]:
    """Held before the body with both hands."""
    left, right = _hand(b, "left"), _hand(b, "right")
    middle = (left + right) / 2 + vector(0, 0.01, 0.02)
    half = max(abs(float(left[0] - right[0])) / 2 - 0.015, 0.1)
    body = b.box(middle, (half, 0.15, 0.1), b.rgb, nearer=-0.05)
    lid = b.box(middle + vector(0, 0.02, 0), (half * 1.005, 0.012, 0.101), shade(b.rgb, 0.7), nearer=-0.045)
    handle = b.box(middle + vector(0, 0.17, 0), (0.06, 0.014, 0.015), (60, 56, 56), nearer=-0.06)
    return [handle, body, lid]


def _potted_plant(b: Builder) -> list[Part]:
    left, right = _hand(b, "left"), _hand(b, "right")
    middle = (left + right) / 2 + vector(0, 0.0, 0.02)
    s = b.view.px_per_m
    half = max(abs(float(left[0] - right[0])) / 2 - 0.02, 0.09)
    (x, y), rx = b.view.px(middle), half * s
    pot = (
        (x - rx, y - 0.1 * s),
        (x + rx, y - 0.1 * s),
        (x + 0.7 * rx, y + 0.13 * s),
        (x - 0.7 * rx, y + 0.13 * s),
    )
    greens = ((46, 120, 70), (66, 146, 84), (92, 170, 100))
    leaves = []
    for i, turn in enumerate((-150, -125, -100, -80, -55, -30)):
        leaf = _turned(x, y - 0.1 * s, 0.14 * s, 0, 0.15 * s, 0.042 * s, turn)
        leaves.append(Shape(leaf, greens[i % 3], b.owner))
    foliage = Part(b.view.depth(middle) - 0.06, tuple(leaves))
    return [foliage, b.part(middle, [(pot, (186, 104, 70))], nearer=-0.05)]


def _ball_parts(b: Builder, center: Vector, radius_m: float, nearer: float) -> list[Part]:
    (x, y), r = b.view.px(center), radius_m * b.view.px_per_m
    ball = circle((x, y), r, 28)
    spots = [circle((x + dx * r, y + dy * r), 0.24 * r, 6) for dx, dy in ((0, 0), (0.62, 0.4), (-0.6, 0.42), (0, -0.7))]
    parts = [b.part(center, [(ball, (240, 240, 236))], nearer)]
    return [*parts, Part(parts[0].depth + 1e-3, tuple(Shape(s, (64, 64, 70), b.owner) for s in spots))]


def _sports_ball(b: Builder) -> list[Part]:
    """At the foot of a kicking leg, in the hand otherwise."""
    ankle, other = b.joint(f"{b.side}_ankle"), b.joint("right_ankle" if b.side == "left" else "left_ankle")
    if float(ankle[1] - other[1]) > 0.12:
        return _ball_parts(b, b.joint(f"{b.side}_toe") + vector(0, 0.05, 0.17), 0.11, 0.02)
    elbow = b.joint(f"{b.side}_elbow")
    return _ball_parts(b, _hand(b) + (_hand(b) - elbow) * 0.28, 0.1, -0.05)


def _frisbee(b: Builder) -> list[Part]:
    elbow = b.joint(f"{b.side}_elbow")
    center = _hand(b) + (_hand(b) - elbow) * 0.3
    (x, y), s = b.view.px(center), b.view.px_per_m
    disc = ellipse((x, y), 0.14 * s, 0.055 * s, turn_deg=-18 * SIGN[b.side], corners=28)
    inner = ellipse((x, y - 0.006 * s), 0.09 * s, 0.03 * s, turn_deg=-18 * SIGN[b.side], corners=24)
    disc_part = b.part(_hand(b), [(disc, b.rgb)], nearer=-0.04)
    return [disc_part, Part(disc_part.depth + 1e-3, (Shape(inner, shade(b.rgb, 1.2), b.owner),))]


def _book(b: Builder) -> list[Part]:
    left, right = _hand(b, "left"), _hand(b, "right")
    middle = (left + right) / 2 + vector(0, 0.05, 0.0)
    wide, high = 0.17, 0.11
    spine = [middle + vector(0, dy, dy * 0.6) for dy in (-high, high)]
    pages: list[tuple[Polygon, Rgb]] = []
    for sign in (1, -1):
        edge = [middle + vector(sign * wide, dy, dy * 0.6 - 0.05) for dy in (high, -high)]
        corners = [spine[0], spine[1], *edge]
        pages.append((tuple(b.view.px(c) for c in corners), b.rgb if b.view.depth(middle) > 0 else (245, 240, 228)))
    return [b.part(middle, pages, nearer=-0.06)]


def _cup(b: Builder) -> list[Part]:
    hand = _hand(b)
    (x, y), s = b.view.px(hand + vector(0, 0.02, 0.035)), b.view.px_per_m
    r = 0.042 * s
    body = (
        (x - r, y - 0.055 * s),
        (x + r, y - 0.055 * s),
        (x + 0.8 * r, y + 0.055 * s),
        (x - 0.8 * r, y + 0.055 * s),
    )
    rim = ellipse((x, y - 0.055 * s), r, 0.3 * r, corners=16)
    return [b.part(hand, [(body, (246, 244, 238)), (rim, shade(b.rgb, 0.9))], nearer=0.02)]


def _bottle(b: Builder) -> list[Part]:
    hand = _hand(b)
    (x, y), s = b.view.px(hand + vector(0, 0.03, 0.03)), b.view.px_per_m
    body = hull_of_circles([((x, y + 0.07 * s), 0.034 * s), ((x, y - 0.04 * s), 0.034 * s)])
    neck = hull_of_circles([((x, y - 0.07 * s), 0.014 * s), ((x, y - 0.12 * s), 0.014 * s)])
    return [b.part(hand, [(neck, (70, 130, 90)), (body, (90, 160, 110))], nearer=0.02)]


def _cell_phone(b: Builder) -> list[Part]:
    hand = _hand(b)
    reach = hand - b.joint(f"{b.side}_wrist")
    up = reach / float((reach @ reach) ** 0.5)
    over_ear = b.view.depth(b.joint("skull")) + 0.13 - b.view.depth(hand)
    return [b.rod(hand - up * 0.045, hand + up * 0.05, 0.026, (44, 46, 54), nearer=over_ear)]


def _skateboard(b: Builder) -> list[Part]:
    along = b.joint("left_ankle") - b.joint("right_ankle")
    middle = (b.joint("left_ankle") + b.joint("right_ankle")) / 2
    middle = vector(float(middle[0]), 0.085, float(middle[2]) + 0.06)
    along = vector(float(along[0]), 0, float(along[2])) * 0.82
    deck = b.rod(middle - along, middle + along, 0.022, b.rgb, nearer=-0.6)
    wheels = []
    for end in (-0.7, 0.7):
        spot = b.view.px(vector(float(middle[0]), 0.035, float(middle[2])) + along * end)
        wheels.append(Shape(circle(spot, 0.035 * b.view.px_per_m, 14), (60, 60, 66), b.owner))
    return [Part(deck.depth - 0.01, tuple(wheels)), deck]


def _skis(b: Builder) -> list[Part]:
    parts = []
    for side in SIDES:
        foot = b.joint(f"{side}_ankle") * 0.5 + b.joint(f"{side}_toe") * 0.5
        base = vector(float(foot[0]), 0.012, float(foot[2]))
        bends = [vector(0, 0, -0.65), vector(0, 0, 0.75), vector(0, 0.02, 0.83), vector(0, 0.06, 0.88)]
        for start, end in pairwise(bends):
            parts.append(b.rod(base + start, base + end, 0.026, b.rgb, nearer=-0.7))
    return parts


def _chair(b: Builder) -> list[Part]:
    seat, legs = SEAT_HEIGHT * b.f.body.height, WOOD
    top = vector(0, seat - 0.03, 0.1)
    parts = [b.box(top, (0.24, 0.03, 0.24), shade(WOOD, 1.1), nearer=-0.05)]
    for x in (-0.2, 0.2):
        for z in (-0.11, 0.31):
            parts.append(b.rod(vector(x, 0, z), vector(x, seat - 0.05, z), 0.02, legs, nearer=-0.1))
        parts.append(b.rod(vector(x, seat, -0.15), vector(x, seat + 0.42, -0.2), 0.02, legs))
    for y in (0.2, 0.36):
        parts.append(b.box(vector(0, seat + y, -0.19), (0.21, 0.05, 0.015), WOOD))
    return parts


def _bench(b: Builder) -> list[Part]:
    seat = SEAT_HEIGHT * b.f.body.height
    iron: Rgb = (74, 78, 84)
    parts = []
    for z in (-0.06, 0.09, 0.24):
        parts.append(b.box(vector(0, seat - 0.025, z), (0.78, 0.025, 0.065), WOOD, nearer=-0.3))
    for y in (0.18, 0.34):
        parts.append(b.box(vector(0, seat + y, -0.2), (0.78, 0.055, 0.02), WOOD))
    for x in (-0.65, 0.65):
        for z in (-0.12, 0.24):
            parts.append(b.rod(vector(x, 0, z), vector(x, seat - 0.05, z), 0.025, iron, nearer=-0.4))
        parts.append(b.rod(vector(x, seat - 0.05, -0.15), vector(x, seat + 0.4, -0.21), 0.022, iron, nearer=-0.05))
    return parts


def _couch(b: Builder) -> list[Part]:
    seat = SEAT_HEIGHT * b.f.body.height
    rgb = shade(b.rgb, 0.85)
    base = b.box(vector(0, seat / 2 + 0.02, 0.08), (0.8, seat / 2 - 0.02, 0.27), rgb, nearer=-0.35)
    cushions = [
        b.box(vector(x, seat - 0.04, 0.1), (0.385, 0.04, 0.27), shade(rgb, 1.1), nearer=-0.32) for x in (-0.39, 0.39)
    ]
    back = b.box(vector(0, seat + 0.2, -0.26), (0.8, 0.24, 0.08), shade(rgb, 0.93), nearer=-0.02)
    arms = [
        b.box(vector(x, seat / 2 + 0.1, 0.06), (0.09, seat / 2 + 0.1, 0.3), shade(rgb, 0.9), nearer=-0.28)
        for x in (-0.87, 0.87)
    ]
    return [base, *cushions, back, *arms]


def _bed(b: Builder) -> list[Part]:
    """Lies along the body, whichever way that is; the pillow is at the head."""
    head, feet = b.joint("skull"), (b.joint("left_ankle") + b.joint("right_ankle")) / 2
    middle = (head + feet) / 2
    lengthwise = abs(float(head[0] - feet[0])) > abs(float(head[2] - feet[2]))
    long_half = 1.05 if b.f.body.height > 1.4 else 0.9
    half = (long_half, 0.12, 0.45) if lengthwise else (0.45, 0.12, long_half)
    center = vector(float(middle[0]), BED_HEIGHT_M - 0.12, float(middle[2]))
    to_head = (head - feet) * (1 / max(float(((head - feet) @ (head - feet)) ** 0.5), 1e-6))
    to_head = vector(float(to_head[0]), 0, float(to_head[2]))
    low = b.box(center - vector(0, 0.22, 0), (half[0], 0.1, half[2]), WOOD, nearer=-3.0)
    mattress = b.box(center, half, (226, 232, 240), nearer=-2.9)
    blanket = b.box(
        center - to_head * long_half * 0.55 + vector(0, 0.002, 0),
        (half[0] * (0.45 if lengthwise else 1.01), 0.121, half[2] * (1.01 if lengthwise else 0.45)),
        shade(b.rgb, 1.15),
        nearer=-2.8,
    )
    board_half = (0.03, 0.42, 0.46) if lengthwise else (0.46, 0.42, 0.03)
    board = b.box(center + to_head * (long_half + 0.03), board_half, WOOD, nearer=-3.2)
    pillow_at = center + to_head * (long_half - 0.2) + vector(0, 0.15, 0)
    pillow = b.box(pillow_at, (0.16, 0.045, 0.3) if lengthwise else (0.3, 0.045, 0.16), (248, 248, 250), nearer=-2.7)
    return [board, low, mattress, blanket, pillow]


PROPS: dict[str, Callable[[Builder], list[Part]]] = {
    "backpack": _backpack,
    "handbag": _handbag,
    "surfboard": _surfboard,
    "tennis racket": _tennis_racket,
    "umbrella": _umbrella,
    "suitcase": _suitcase,
    "potted plant": _potted_plant,
    "sports ball": _sports_ball,
    "frisbee": _frisbee,
    "book": _book,
    "cup": _cup,
    "bottle": _bottle,
    "cell phone": _cell_phone,
    "skateboard": _skateboard,
    "skis": _skis,
    "chair": _chair,
    "bench": _bench,
    "couch": _couch,
    "bed": _bed,
}
