"""The places where scenes happen: everything behind the people, as polygons."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from kpray.coco.synthetic.shapes import (
    CROWD,
    Rgb,
    Shape,
    circle,
    ellipse,
    hull_of_circles,
    mix,
    rectangle,
    shade,
)


@dataclass(frozen=True)
class Stage:
    """Size of the picture and where the ground is in it, in px."""

    width: int
    height: int
    horizon: float
    px_per_m: float  # at the people


@dataclass(frozen=True)
class Backdrop:
    """A vertical gradient and the shapes on it."""

    top_rgb: Rgb
    bottom_rgb: Rgb
    shapes: tuple[Shape, ...]


def _band(s: Stage, top: float, bottom: float, rgb: Rgb) -> Shape:
    return Shape(rectangle(-2, top, s.width + 2, bottom), rgb)


def _clouds(s: Stage, rng: random.Random) -> list[Shape]:
    shapes = []
    for _ in range(rng.randint(1, 4)):
        x, y = rng.uniform(0, s.width), rng.uniform(0.05, 0.6) * max(s.horizon, 40)
        r = rng.uniform(0.02, 0.045) * s.width
        for dx, dy, k in ((-1.3, 0.15, 0.75), (0, -0.2, 1.1), (1.2, 0.1, 0.85)):
            shapes.append(Shape(ellipse((x + dx * r, y + dy * r), 1.2 * r * k, 0.7 * r * k), (248, 251, 254)))
    return shapes


def _hills(s: Stage, rng: random.Random, rgb: Rgb, high: float) -> list[Shape]:
    hills = []
    for i in range(4):
        x = s.width * (i + rng.uniform(-0.3, 0.3)) / 3
        size = rng.uniform(0.25, 0.4) * s.width
        hills.append(Shape(ellipse((x, s.horizon + 4), size, rng.uniform(0.5, 1) * high, corners=48), rgb))
    return hills


def _tree(s: Stage, rng: random.Random, x: float, base: float, high: float) -> list[Shape]:
    green = mix((70, 140, 82), (104, 164, 84), rng.random())
    crown = []
    for dx, dy, k in ((-0.2, 0.62, 0.21), (0.2, 0.6, 0.2), (0, 0.8, 0.24), (-0.05, 0.66, 0.24)):
        crown.append(Shape(circle((x + dx * high, base - dy * high), k * high, 24), shade(green, 0.9 + 0.4 * k)))
    trunk = rectangle(x - 0.03 * high, base - 0.5 * high, x + 0.03 * high, base)
    return [Shape(trunk, (118, 86, 62)), *crown]


def _park(s: Stage, rng: random.Random) -> Backdrop:
    shapes = [*_clouds(s, rng), *_hills(s, rng, (150, 190, 140), 0.12 * s.height)]
    shapes.append(_band(s, s.horizon, s.height, (136, 190, 104)))
    path_at, wide = rng.uniform(0.2, 0.8) * s.width, 0.1 * s.width
    path = (
        (path_at, s.horizon),
        (path_at + 0.3 * wide, s.horizon),
        (path_at + 3 * wide, s.height),
        (path_at - 1.5 * wide, s.height),
    )
    shapes.append(Shape(path, (222, 206, 170)))
    for _ in range(rng.randint(2, 5)):
        shapes += _tree(
            s,
            rng,
            rng.uniform(0, s.width),
            s.horizon + rng.uniform(2, 14),
            rng.uniform(0.18, 0.36) * s.height,
        )
    for _ in range(40):
        x, y = rng.uniform(0, s.width), rng.uniform(s.horizon + 8, s.height)
        tuft = ((x, y), (x + 2, y - 7), (x + 4, y))
        shapes.append(Shape(tuft, (112, 168, 84)))
    return Backdrop((150, 206, 240), (226, 242, 250), tuple(shapes))


def _beach(s: Stage, rng: random.Random) -> Backdrop:
    shore = s.horizon + 0.2 * (s.height - s.horizon)
    shapes = [*_clouds(s, rng), _band(s, s.horizon, shore + 30, (64, 152, 190))]
    for _ in range(14):
        x, y = rng.uniform(0, s.width), rng.uniform(s.horizon + 3, shore)
        shapes.append(Shape(ellipse((x, y), rng.uniform(10, 34), 1.3, corners=12), (128, 196, 218)))
    for i in range(9):
        x = s.width * i / 8
        shapes.append(Shape(ellipse((x, shore + 6), s.width / 9, rng.uniform(7, 12)), (236, 246, 246)))
    for i in range(9):
        x = s.width * (i + 0.3) / 8
        shapes.append(Shape(ellipse((x, shore + 14), s.width / 8, rng.uniform(7, 12)), (226, 204, 152)))
    shapes.append(_band(s, shore + 14, s.height, (240, 220, 168)))
    for _ in range(50):
        x, y = rng.uniform(0, s.width), rng.uniform(shore + 20, s.height)
        shapes.append(Shape(ellipse((x, y), rng.uniform(2, 7), 1.2, corners=8), (228, 204, 150)))
    return Backdrop((128, 200, 240), (232, 244, 248), tuple(shapes))


def _snow(s: Stage, rng: random.Random) -> Backdrop:
    shapes: list[Shape] = []
    for i in range(4):
        x, wide = s.width * (i + rng.uniform(0, 0.6)) / 3.4, rng.uniform(0.2, 0.32) * s.width
        high = rng.uniform(0.16, 0.3) * s.height
        top = s.horizon - high
        shapes.append(Shape(((x - wide, s.horizon + 2), (x, top), (x + wide, s.horizon + 2)), (132, 152, 178)))
        k = 0.36
        cap = (
            (x - wide * k, top + high * k),
            (x, top),
            (x + wide * k, top + high * k),
            (x + 0.1 * wide, top + 0.26 * high),
        )
        shapes.append(Shape(cap, (244, 248, 252)))
    shapes.append(_band(s, s.horizon, s.height, (238, 244, 250)))
    for i in range(3):
        x, y = rng.uniform(0, s.width), s.horizon + (i + 0.6) / 3.4 * (s.height - s.horizon)
        shapes.append(Shape(ellipse((x, y), 0.5 * s.width, 0.03 * s.height, corners=40), (226, 235, 245)))
    for _ in range(rng.randint(3, 7)):
        shapes += _fir(rng.uniform(0, s.width), s.horizon + rng.uniform(4, 16), rng.uniform(0.14, 0.26) * s.height)
    return Backdrop((146, 192, 230), (232, 240, 248), tuple(shapes))


def _fir(x: float, base: float, high: float) -> list[Shape]:
    tiers = []
    for k in (0.0, 0.26, 0.52):
        wide = (0.26 - 0.2 * k) * high
        low, top = base - (k + 0.1) * high, base - (k + 0.52) * high
        tiers.append(Shape(((x - wide, low), (x, top), (x + wide, low)), (62, 108, 92)))
        tiers.append(
            Shape(
                ((x - 0.4 * wide, low - 0.25 * high), (x, top), (x + 0.4 * wide, low - 0.25 * high)),
                (232, 240, 246),
            )
        )
    return [
        Shape(rectangle(x - 0.02 * high, base - 0.12 * high, x + 0.02 * high, base), (100, 76, 60)),
        *tiers,
    ]


def _street(s: Stage, rng: random.Random) -> Backdrop:
    shapes = _clouds(s, rng)
    x = -0.05 * s.width
    while x < s.width:
        wide = rng.uniform(0.12, 0.24) * s.width
        shapes += _building(s, rng, x, wide)
        x += wide
    curb = s.horizon + 0.2 * (s.height - s.horizon)
    shapes.append(_band(s, s.horizon, curb, (112, 116, 124)))
    for i in range(8):
        left = s.width * i / 7
        middle = (s.horizon + curb) / 2
        shapes.append(Shape(rectangle(left, middle - 1.5, left + 0.07 * s.width, middle + 1.5), (232, 226, 200)))
    shapes.append(_band(s, curb, curb + 6, (176, 178, 180)))
    shapes.append(_band(s, curb + 6, s.height, (204, 202, 198)))
    for i in range(-4, 12):
        at = s.width * i / 7
        slant = (at - s.width / 2) * 1.1
        seam = ((at, curb + 6), (at + 1.5, curb + 6), (at + slant + 3, s.height), (at + slant, s.height))
        shapes.append(Shape(seam, (188, 186, 184)))
    return Backdrop((164, 206, 234), (236, 240, 240), tuple(shapes))


def _building(s: Stage, rng: random.Random, left: float, wide: float) -> list[Shape]:
    rgb = rng.choice(((196, 150, 128), (214, 196, 168), (160, 172, 186), (186, 182, 176), (206, 170, 140)))
    top = s.horizon - rng.uniform(0.35, 0.95) * max(s.horizon, 60)
    shapes = [Shape(rectangle(left, top, left + wide, s.horizon + 2), rgb)]
    shapes.append(Shape(rectangle(left - 1, top - 4, left + wide + 1, top + 3), shade(rgb, 0.8)))
    columns = max(int(wide / 26), 1)
    step = wide / columns
    y = top + 14.0
    while y < s.horizon - 18:
        for i in range(columns):
            x = left + (i + 0.5) * step
            shapes.append(Shape(rectangle(x - 5.5, y, x + 5.5, y + 13), (120, 146, 166)))
        y += 26
    return shapes


def _court(s: Stage, rng: random.Random) -> Backdrop:
    fence_top = s.horizon - 0.22 * s.height
    shapes = [*_clouds(s, rng), *_hills(s, rng, (118, 164, 118), 0.2 * s.height)]
    shapes.append(_band(s, fence_top, fence_top + 3, (70, 92, 84)))
    for i in range(0, s.width + 1, 10):
        shapes.append(Shape(rectangle(i, fence_top, i + 1, s.horizon), (88, 116, 104)))
    for i in range(6):
        x = s.width * i / 5
        shapes.append(Shape(rectangle(x - 2, fence_top - 4, x + 2, s.horizon), (64, 84, 78)))
    surface = rng.choice(((70, 120, 178), (186, 106, 78), (84, 146, 112)))
    shapes.append(_band(s, s.horizon, s.height, shade(surface, 0.85)))
    depth = s.height - s.horizon
    inner = (
        (0.12 * s.width, s.horizon + 0.16 * depth),
        (0.88 * s.width, s.horizon + 0.16 * depth),
        (1.25 * s.width, s.height + 4),
        (-0.25 * s.width, s.height + 4),
    )
    shapes.append(Shape(inner, surface))
    white: Rgb = (240, 242, 240)
    corners = list(inner)
    for a, b, r in ((0, 1, 1.2), (1, 2, 2.2), (3, 0, 2.2)):
        shapes.append(Shape(hull_of_circles([(corners[a], r), (corners[b], r)]), white))
    y = s.horizon + 0.5 * depth
    shapes.append(Shape(rectangle(-0.02 * s.width, y - 1.5, 1.02 * s.width, y + 1.5), white))
    middle = [((0.5 * s.width, s.horizon + 0.16 * depth), 1.2), ((0.5 * s.width, y), 1.8)]
    shapes.append(Shape(hull_of_circles(middle), white))
    return Backdrop((156, 206, 238), (230, 242, 248), tuple(shapes))


def _room(s: Stage, wall: Rgb, floor: Rgb, boards: bool) -> list[Shape]:
    edge = s.horizon + 0.3 * (s.height - s.horizon)
    shapes = [_band(s, 0, edge, wall), _band(s, edge, s.height, floor)]
    if boards:
        for i in range(-6, 18):
            at = s.width * i / 11
            slant = (at - s.width / 2) * 1.2
            seam = ((at, edge), (at + 1, edge), (at + slant + 2.5, s.height), (at + slant, s.height))
            shapes.append(Shape(seam, shade(floor, 0.93)))
    shapes.append(_band(s, edge - 9, edge, shade(wall, 1.5)))
    return shapes


def _window(s: Stage, x: float, top: float, wide: float, high: float) -> list[Shape]:
    frame = rectangle(x - 5, top - 5, x + wide + 5, top + high + 5)
    glass = rectangle(x, top, x + wide, top + high)
    bars = [
        rectangle(x + wide / 2 - 2, top, x + wide / 2 + 2, top + high),
        rectangle(x, top + high / 2 - 2, x + wide, top + high / 2 + 2),
    ]
    glint = (
        (x + 0.1 * wide, top + 0.4 * high),
        (x + 0.3 * wide, top + 0.06 * high),
        (x + 0.4 * wide, top + 0.06 * high),
        (x + 0.1 * wide, top + 0.58 * high),
    )
    white: Rgb = (250, 250, 248)
    return [
        Shape(frame, white),
        Shape(glass, (176, 216, 238)),
        Shape(glint, (206, 232, 246)),
        *(Shape(b, white) for b in bars),
    ]


def _picture(s: Stage, rng: random.Random, x: float, top: float) -> list[Shape]:
    wide, high = 0.12 * s.width, 0.13 * s.height
    rgb = rng.choice(((220, 150, 110), (110, 160, 170), (200, 180, 120)))
    canvas = Shape(rectangle(x, top, x + wide, top + high), rgb)
    hill = Shape(ellipse((x + wide / 2, top + high), wide * 0.45, high * 0.5), shade(rgb, 0.7))
    return [
        Shape(rectangle(x - 4, top - 4, x + wide + 4, top + high + 4), (96, 72, 56)),
        canvas,
        _cut(hill, top + high),
    ]


def _cut(shape: Shape, floor_y: float) -> Shape:
    """Without what would be below a level."""
    return shape._replace(polygon=tuple((x, min(y, floor_y)) for x, y in shape.polygon))


def _living_room(s: Stage, rng: random.Random) -> Backdrop:
    wall = rng.choice(((232, 222, 204), (206, 220, 216), (222, 212, 226)))
    shapes = _room(s, wall, (196, 156, 116), boards=True)
    top = 0.1 * s.height
    shapes += _window(s, rng.uniform(0.06, 0.3) * s.width, top, 0.22 * s.width, 0.26 * s.height)
    shapes += _picture(s, rng, rng.uniform(0.62, 0.82) * s.width, 1.3 * top)
    rug = ellipse((s.width / 2, s.height * 0.93), 0.46 * s.width, 0.09 * s.height, corners=48)
    rgb = rng.choice(((176, 96, 90), (96, 120, 150), (150, 140, 110)))
    shapes += [Shape(rug, rgb)]
    inner = ellipse((s.width / 2, s.height * 0.93), 0.41 * s.width, 0.073 * s.height, corners=48)
    return Backdrop(wall, wall, (*shapes, Shape(inner, shade(rgb, 1.18))))


def _bedroom(s: Stage, rng: random.Random) -> Backdrop:
    wall = rng.choice(((214, 222, 234), (234, 220, 214), (220, 230, 214)))
    shapes = _room(s, wall, (206, 184, 158), boards=False)
    shapes += _window(s, rng.uniform(0.55, 0.7) * s.width, 0.09 * s.height, 0.2 * s.width, 0.25 * s.height)
    shapes += _picture(s, rng, rng.uniform(0.1, 0.35) * s.width, 0.14 * s.height)
    return Backdrop(wall, wall, tuple(shapes))


def _gym(s: Stage, rng: random.Random) -> Backdrop:
    wall: Rgb = rng.choice(((214, 220, 224), (226, 216, 202)))
    shapes = _room(s, wall, (214, 172, 118), boards=True)
    edge = s.horizon + 0.3 * (s.height - s.horizon)
    for i in range(3):
        x = (0.04 + 0.33 * i) * s.width
        mirror = rectangle(x, 0.08 * s.height, x + 0.26 * s.width, edge - 16)
        shapes += [Shape(mirror, (196, 216, 226))]
        glint = (
            (x + 20, edge - 60),
            (x + 60, 0.12 * s.height),
            (x + 74, 0.12 * s.height),
            (x + 20, edge - 36),
        )
        shapes.append(Shape(glint, (212, 228, 236)))
    shapes.append(_band(s, edge - 0.16 * s.height, edge - 0.16 * s.height + 4, (150, 116, 84)))
    return Backdrop(wall, wall, tuple(shapes))


def crowd(s: Stage, rng: random.Random) -> list[Shape]:
    """A row of small spectators at the far end of the ground, as one crowd region."""
    size = 0.13 * s.height
    base = s.horizon + 0.08 * (s.height - s.horizon)
    left, right = sorted((rng.uniform(0, 0.4) * s.width, rng.uniform(0.6, 1.0) * s.width))
    shapes, x = [], left
    while x < right:
        rgb = rng.choice(((196, 84, 80), (84, 120, 176), (220, 180, 90), (110, 150, 110), (230, 230, 226)))
        skin = rng.choice(((240, 200, 166), (180, 124, 88), (120, 80, 58)))
        body = hull_of_circles([((x, base - 0.55 * size), 0.17 * size), ((x, base - 0.1 * size), 0.15 * size)])
        legs = rectangle(x - 0.13 * size, base - 0.2 * size, x + 0.13 * size, base + 0.2 * size)
        shapes.append(Shape(legs, (70, 78, 96), CROWD))
        shapes.append(Shape(body, rgb, CROWD))
        shapes.append(Shape(circle((x, base - 0.86 * size), 0.125 * size, 14), (60, 46, 40), CROWD))
        shapes.append(Shape(circle((x, base - 0.83 * size), 0.105 * size, 14), skin, CROWD))
        x += rng.uniform(0.3, 0.42) * size
    return shapes


SETTINGS: dict[str, Callable[[Stage, random.Random], Backdrop]] = {
    "park": _park,
    "beach": _beach,
    "street": _street,
    "snow": _snow,
    "court": _court,
    "living room": _living_room,
    "bedroom": _bedroom,
    "gym": _gym,
}
