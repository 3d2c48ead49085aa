"""From a posed figure to painted parts: rounded limbs in clothes, a head with hair and a face."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kpray.coco.synthetic.shapes import (
    Part,
    Point,
    Polygon,
    Rgb,
    Shape,
    circle,
    ellipse,
    hull_of_circles,
    shade,
)
from kpray.coco.synthetic.skeleton import SIDES, SIGN, Figure, SideName, Vector, View, vector

SKIN: tuple[Rgb, ...] = ((255, 219, 190), (240, 194, 158), (217, 160, 118), (168, 113, 76), (116, 76, 54))
DARK_HAIR: tuple[Rgb, ...] = ((43, 34, 32), (58, 42, 36), (78, 52, 38))
LIGHT_HAIR: tuple[Rgb, ...] = ((128, 84, 48), (170, 92, 52), (212, 170, 98))
GRAY_HAIR: Rgb = (168, 168, 170)
CLOTH: dict[str, Rgb] = {
    "red": (206, 62, 58),
    "blue": (62, 112, 190),
    "green": (66, 146, 96),
    "yellow": (238, 196, 72),
    "white": (242, 241, 236),
    "black": (56, 57, 64),
    "orange": (236, 138, 60),
    "purple": (130, 92, 170),
    "pink": (236, 146, 170),
    "gray": (150, 156, 164),
}
TROUSERS: dict[str, Rgb] = {
    "jeans": (66, 88, 128),
    "black": (52, 53, 60),
    "khaki": (186, 162, 118),
    "gray": (112, 118, 126),
    "brown": (112, 82, 62),
}
SHOES: tuple[Rgb, ...] = ((62, 56, 56), (232, 232, 230), (132, 84, 54), (190, 66, 60))


@dataclass(frozen=True)
class Look:
    """How a person looks: what the captions may say and what the painter needs."""

    noun: str  # man, woman, boy, girl
    shirt: str
    trousers: str
    shorts: bool
    long_sleeves: bool
    hair_style: str  # short, long, bun
    skin_rgb: Rgb
    hair_rgb: Rgb
    shoe_rgb: Rgb

    @property
    def child(self) -> bool:
        """Whether it is a boy or a girl."""
        return self.noun in ("boy", "girl")


def sample_look(rng: random.Random, setting: str) -> Look:
    """Clothes that suit the place."""
    noun = rng.choices(("man", "woman", "boy", "girl"), (36, 36, 14, 14))[0]
    cold, hot = setting == "snow", setting in ("beach", "court")
    male = noun in ("man", "boy")
    tone = rng.randrange(len(SKIN))
    hair = rng.choice(DARK_HAIR if tone >= 2 else DARK_HAIR + LIGHT_HAIR)
    if noun in ("man", "woman") and rng.random() < 0.12:
        hair = GRAY_HAIR
    return Look(
        noun=noun,
        shirt=rng.choice(tuple(CLOTH)),
        trousers=rng.choice(tuple(TROUSERS)),
        shorts=not cold and rng.random() < (0.85 if hot else 0.25),
        long_sleeves=cold or rng.random() < (0.08 if hot else 0.4),
        hair_style="short" if male else rng.choice(("long", "bun", "long")),
        skin_rgb=SKIN[tone],
        hair_rgb=hair,
        shoe_rgb=rng.choice(SHOES),
    )


class _Painter:
    """Collects parts of one person; lengths are given as fractions of stature."""

    def __init__(self, figure: Figure, view: View, look: Look, owner: int) -> None:
        self.f, self.view, self.look, self.owner = figure, view, look, owner
        self.unit = figure.body.height * view.px_per_m
        self.line = max(self.unit * 0.0045, 0.7)

    def px(self, name: str) -> Point:
        """A joint in px."""
        return self.view.px(self.f.joints[name])

    def depth(self, name: str) -> float:
        """Depth of a joint, metres."""
        return self.view.depth(self.f.joints[name])

    def ball(self, name: str, radius: float) -> tuple[Point, float]:
        """A circle at a joint, in px; the radius is a fraction of stature."""
        return self.px(name), radius * self.unit * self.f.body.girth

    def limb(self, part: str, segments: list[tuple[str, float, str, float, Rgb]]) -> list[Shape]:
        """Tapered segments ``(joint, radius, joint, radius, colour)`` in one common outline."""
        outlines, fills = [], []
        for a, ra, b, rb, rgb in segments:
            ball_a, ball_b = self.ball(a, ra), self.ball(b, rb)
            fills.append(Shape(hull_of_circles([ball_a, ball_b]), rgb, self.owner, part))
            wider = [(ball_a[0], ball_a[1] + self.line), (ball_b[0], ball_b[1] + self.line)]
            outlines.append(Shape(hull_of_circles(wider), shade(rgb, 0.72), self.owner, part))
        return outlines + fills

    def outlined(self, balls: list[tuple[Point, float]], rgb: Rgb, part: str) -> list[Shape]:
        """A rounded blob with an outline."""
        wider = [(c, r + self.line) for c, r in balls]
        return [
            Shape(hull_of_circles(wider), shade(rgb, 0.72), self.owner, part),
            Shape(hull_of_circles(balls), rgb, self.owner, part),
        ]

    def lerp(self, a: str, b: str, share: float) -> str:
        """Name of a new joint between two others."""
        name = f"{a}>{b}:{share}"
        self.f.joints.setdefault(name, self.f.joints[a] * (1 - share) + self.f.joints[b] * share)
        return name


def paint_person(figure: Figure, view: View, look: Look, owner: int) -> list[Part]:
    """All parts of a person, not yet sorted by depth."""
    p = _Painter(figure, view, look, owner)
    parts = [_torso(p), _neck(p), *_head(p)]
    for side in SIDES:
        parts += [_arm(p, side), _leg(p, side)]
    return parts


def _dim(p: _Painter, side: SideName, rgb: Rgb) -> Rgb:
    """The far limb is a little darker, so that it reads as far."""
    far = p.depth("pelvis") - p.depth(f"{side}_hip") > 0.75 * p.f.body.hip_half
    return shade(rgb, 0.88) if far else rgb


def _arm(p: _Painter, side: SideName) -> Part:
    cloth = _dim(p, side, CLOTH[p.look.shirt])
    skin = _dim(p, side, p.look.skin_rgb)
    shoulder, elbow, wrist = f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"
    hand = p.f.joints[wrist] + (p.f.joints[wrist] - p.f.joints[elbow]) * 0.22
    p.f.joints[f"{side}_hand"] = hand
    lower = cloth if p.look.long_sleeves else skin
    segments = [(wrist, 0.0165, f"{side}_hand", 0.021, skin), (elbow, 0.023, wrist, 0.0165, lower)]
    if p.look.long_sleeves:
        segments.append((shoulder, 0.034, elbow, 0.025, cloth))
    else:
        hem = p.lerp(shoulder, elbow, 0.62)
        segments += [(shoulder, 0.027, elbow, 0.023, skin), (shoulder, 0.035, hem, 0.0325, cloth)]
    depth = 0.35 * p.depth(elbow) + 0.5 * p.depth(wrist) + 0.15 * p.depth(shoulder)
    if _before_face(p, wrist):
        depth = max(depth, p.depth("skull") + 0.12)
    return Part(depth + 0.02, tuple(p.limb(f"{side}_arm", segments)))


def _before_face(p: _Painter, wrist: str) -> bool:
    gap = p.f.joints[wrist] - p.f.joints["skull"]
    near = float((gap @ gap) ** 0.5) < 2.4 * p.f.body.head_radius
    return near and p.depth(wrist) > p.depth("skull") - 0.3 * p.f.body.head_radius


def _leg(p: _Painter, side: SideName) -> Part:
    cloth = _dim(p, side, TROUSERS[p.look.trousers])
    skin = _dim(p, side, p.look.skin_rgb)
    hip, knee, ankle, toe = (f"{side}_{name}" for name in ("hip", "knee", "ankle", "toe"))
    shoe = _dim(p, side, p.look.shoe_rgb)
    along = p.f.joints[ankle] - p.f.joints[knee]
    p.f.joints[f"{side}_heel"] = p.f.joints[ankle] + along / float((along @ along) ** 0.5) * 0.02 * p.f.body.height
    foot = (f"{side}_heel", 0.023, toe, 0.0165, shoe)
    if p.look.shorts:
        hem = p.lerp(hip, knee, 0.72)
        legs = [
            (knee, 0.034, ankle, 0.022, skin),
            (hip, 0.05, knee, 0.036, skin),
            (hip, 0.057, hem, 0.049, cloth),
        ]
    else:
        legs = [(knee, 0.041, ankle, 0.029, cloth), (hip, 0.056, knee, 0.041, cloth)]
    depth = 0.5 * p.depth(knee) + 0.3 * p.depth(ankle) + 0.2 * p.depth(hip)
    return Part(depth, tuple(p.limb(f"{side}_leg", [foot, *legs])))


def _torso(p: _Painter) -> Part:
    rgb = CLOTH[p.look.shirt]
    chest = p.lerp("pelvis", "neck", 0.72)
    balls = [p.ball(f"{side}_shoulder", 0.036) for side in SIDES]
    balls += [p.ball("waist", 0.068), p.ball(chest, 0.072), (p.px("neck"), 0.03 * p.unit)]
    for side in SIDES:
        balls.append(p.ball(p.lerp(f"{side}_hip", f"{side}_shoulder", 0.1), 0.054))
    hips = [p.ball(f"{side}_hip", 0.056) for side in SIDES]
    trousers = p.outlined([*hips, p.ball("pelvis", 0.056)], TROUSERS[p.look.trousers], "torso")
    depth = 0.5 * (p.depth(chest) + p.depth("pelvis"))
    return Part(depth, (*trousers, *p.outlined(balls, rgb, "torso")))


def _neck(p: _Painter) -> Part:
    skin = shade(p.look.skin_rgb, 0.93)
    p.f.joints["throat"] = p.f.joints["neck"] * 0.9 + p.f.joints["skull"] * 0.1
    shapes = p.limb("head", [("throat", 0.031, "skull", 0.033, skin)])
    depth = 0.4 * p.depth("neck") + 0.3 * (p.depth("pelvis") + p.depth("neck"))
    depth = max(depth, p.depth("neck") - 0.05) + 0.03
    return Part(min(depth, p.depth("skull") + 0.05), tuple(shapes))


def _head(p: _Painter) -> Iterator[Part]:
    r = p.f.body.head_radius
    skull = p.f.joints["skull"]

    def at(out: float, up: float, forward: float) -> Vector:
        return skull + p.f.head_frame @ vector(out, up, forward) * r

    def ball(center: Vector, radius: float) -> tuple[Point, float]:
        return p.view.px(center), radius * r * p.view.px_per_m

    toward_camera = (p.view.depth(at(0, 0, 1)) - p.view.depth(skull)) / r
    depth = p.depth("skull") + 0.1
    hair, skin = p.look.hair_rgb, p.look.skin_rgb
    if p.look.hair_style == "long":
        mane = [
            ball(at(0, 0.1, -0.25), 0.98),
            ball(at(0.35, -1.35, -0.5), 0.5),
            ball(at(-0.35, -1.35, -0.5), 0.5),
        ]
        behind = p.view.depth(at(0, -0.8, -0.5)) - p.view.depth(skull)
        yield Part(depth + 0.01 if behind > 0.2 * r else depth - 0.2, tuple(p.outlined(mane, hair, "head")))
    if p.look.hair_style == "bun":
        yield Part(depth - 0.15 * toward_camera, tuple(p.outlined([ball(at(0, 0.95, -0.75), 0.42)], hair, "head")))
    scalp = [ball(at(0, 0.12, -0.05), 1.02)]
    if toward_camera < 0.35:
        scalp.append(ball(at(0, -0.5, -0.3), 0.7))
    shapes = p.outlined(scalp, hair, "head")
    shapes += [_ear(p, side, ball(p.f.joints[f"{side}_ear"], 0.24)) for side in SIDES if _ear_seen(p, side)]
    if toward_camera > -0.45:
        face = [ball(at(0, -0.12, 0.3), 0.84), ball(at(0, -0.62, 0.36), 0.56)]
        shapes += p.outlined(face, skin, "head")
        shapes += [_ear(p, side, ball(p.f.joints[f"{side}_ear"], 0.2)) for side in SIDES if _ear_seen(p, side)]
        shapes += _fringe(p, [ball(at(x, 0.66, 0.42), 0.4) for x in (-0.42, 0.0, 0.42)])
        shapes += _features(p, at, r)
    yield Part(depth, tuple(shapes))


def _ear_seen(p: _Painter, side: SideName) -> bool:
    return p.depth(f"{side}_ear") - p.depth("skull") > -0.35 * p.f.body.head_radius


def _ear(p: _Painter, side: SideName, ball: tuple[Point, float]) -> Shape:
    return Shape(circle(ball[0], ball[1], 12), shade(p.look.skin_rgb, 0.9), p.owner, "head")


def _fringe(p: _Painter, balls: list[tuple[Point, float]]) -> list[Shape]:
    return [Shape(hull_of_circles(balls), p.look.hair_rgb, p.owner, "head")]


def _features(p: _Painter, at: Callable[[float, float, float], Vector], r: float) -> list[Shape]:
    """Eyes, brows, nose and mouth, as far as they are on the near side of the head."""
    size = r * p.view.px_per_m
    shapes: list[Shape] = []
    skull_depth = p.depth("skull")
    for side in SIDES:
        eye = p.f.joints[f"{side}_eye"]
        if p.view.depth(eye) - skull_depth < 0.12 * r:
            continue
        x, y = p.view.px(eye)
        shapes.append(Shape(ellipse((x, y), 0.105 * size, 0.14 * size, corners=12), (44, 36, 36), p.owner, "head"))
        brow = [p.view.px(at(SIGN[side] * s, 0.3, 0.86)) for s in (0.26, 0.6)]
        shapes.append(_stroke(brow, 0.045 * size, shade(p.look.hair_rgb, 0.9), p.owner))
    if p.view.depth(p.f.joints["nose"]) > skull_depth - 0.05 * r:
        bridge = [p.view.px(at(0, -0.1, 1.0)), p.px("nose")]
        shapes.append(_stroke(bridge, 0.065 * size, shade(p.look.skin_rgb, 0.84), p.owner))
        mouth = [p.view.px(at(x, y, 0.86)) for x, y in ((-0.24, -0.58), (0, -0.66), (0.24, -0.58))]
        shapes += [_stroke(mouth[i : i + 2], 0.04 * size, (160, 70, 66), p.owner) for i in (0, 1)]
    return shapes


def _stroke(points: list[Point], radius: float, rgb: Rgb, owner: int) -> Shape:
    polygon: Polygon = hull_of_circles([(c, max(radius, 0.4)) for c in points])
    return Shape(polygon, rgb, owner, "head")
