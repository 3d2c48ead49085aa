"""Who is in a scene, where they stand and how large: from a random stream to placed figures."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kpray.coco.synthetic.backgrounds import Stage
from kpray.coco.synthetic.people import Look, sample_look
from kpray.coco.synthetic.poses import BED_HEIGHT_M, POSE_KINDS, PoseKind
from kpray.coco.synthetic.skeleton import Figure, SideName, View, sample_body, vector

SIZES_PX = ((640, 480), (640, 480), (640, 427), (640, 426), (500, 375), (480, 640), (427, 640), (640, 512))
CAMERA_HEIGHT_M = 1.25
ELEVATION_DEG = 9.0
SEATED_SETTINGS = {"chair": None, "bench": ("park", "street", "court", "beach"), "couch": ("living room",)}


@dataclass(frozen=True)
class Actor:
    """One person to be drawn: pose, looks, figure, what is held and sat on, and the view of it."""

    kind: PoseKind
    look: Look
    figure: Figure
    side: SideName
    prop: str
    support: str
    view: View
    bystander: bool = False

    @property
    def upright_m(self) -> float:
        """Height of the highest joint above the ground, metres."""
        return max(float(p[1]) for p in self.figure.joints.values()) + 0.15

    def span_m(self) -> tuple[float, float]:
        """How far the figure reaches to image-left (negative) and image-right of its origin, metres."""
        xs = [self.view.camera(p)[0] for p in self.figure.joints.values()]
        extra = 0.5 if self.support in ("bench", "couch") else 0.12
        extra = 0.32 if self.support == "bed" else extra
        extra = 0.45 if self.prop in ("tennis racket", "surfboard", "umbrella", "sports ball", "skis") else extra
        return min(xs) - extra, max(xs) + extra


@dataclass(frozen=True)
class Layout:
    """The stage and the actors, far to near."""

    setting: str
    stage: Stage
    actors: tuple[Actor, ...]


def lay_out(index: int, rng: random.Random) -> Layout:
    """Scene ``index`` leads with pose kind ``index``, so that every kind comes up in turn."""
    lead = POSE_KINDS[index % len(POSE_KINDS)]
    setting = rng.choice(lead.settings)
    width, height = rng.choice(SIZES_PX)
    count = rng.choices((1, 2, 3, 4, 5), (40, 32, 16, 7, 5))[0]
    if height > width or lead.posture == "lying":
        count = min(count, 2)
    fitting = [k for k in POSE_KINDS if setting in k.settings and k.posture != "lying"]
    kinds = [lead, *(rng.choice(fitting) for _ in range(count - 1))]
    actors = [_cast(kind, setting, rng) for kind in kinds]
    rng.shuffle(actors)
    stage, placed = _place(actors, width, height, rng)
    if setting in ("park", "beach", "street", "snow") and rng.random() < 0.08:
        placed.append(_bystander(stage, setting, rng))
    return Layout(setting, stage, tuple(sorted(placed, key=lambda a: a.view.ground_y)))


def _cast(kind: PoseKind, setting: str, rng: random.Random) -> Actor:
    look = sample_look(rng, setting)
    tall = {"man": 1.77, "woman": 1.66, "boy": 1.25, "girl": 1.22}[look.noun]
    body = sample_body(
        rng,
        height_m=tall * rng.uniform(0.94, 1.06),
        child=look.child,
        shoulders={"man": 1.08, "woman": 0.94}.get(look.noun, 0.98),
    )
    figure = Figure(body, random.Random(rng.random()))
    side: SideName = rng.choice(("left", "right"))
    kind.build(figure, side)
    yaw = rng.uniform(*rng.choice(kind.yaws_deg))
    support = rng.choice([s for s in kind.support if _fits(s, setting)] or [""])
    if support == "bed":
        _raise(figure, BED_HEIGHT_M)
    prop = rng.choice([p for p in kind.props if p != "surfboard" or (setting == "beach" and abs(yaw) < 45)])
    return Actor(kind, look, figure, side, prop, support, View(yaw, ELEVATION_DEG, 1.0))


def _fits(support: str, setting: str) -> bool:
    if support == "bed":
        return setting == "bedroom"
    allowed = SEATED_SETTINGS.get(support)
    return allowed is None or setting in allowed


def _raise(figure: Figure, by_m: float) -> None:
    figure.joints = {name: p + vector(0, by_m, 0) for name, p in figure.joints.items()}


def _place(actors: Sequence[Actor], width: int, height: int, rng: random.Random) -> tuple[Stage, list[Actor]]:
    """Side by side with small gaps, now and then overlapping; sizes follow from depth."""
    scales = [rng.uniform(0.84, 1.0) for _ in actors]
    cursor, end, offsets = 0.0, 0.0, []
    for actor, scale in zip(actors, scales, strict=True):
        left, right = actor.span_m()
        offsets.append(cursor - left * scale)
        end = cursor + (right - left) * scale
        cursor = end + rng.choice((-0.22, -0.05, 0.05, 0.3))
    total = max(end, 0.9)
    tallest = max(a.upright_m * s for a, s in zip(actors, scales, strict=True))
    headroom = 0.55 if any(a.prop == "umbrella" for a in actors) else 0.0
    close_up = len(actors) <= 2 and rng.random() < 0.13 and max(a.upright_m for a in actors) > 1.4
    px_per_m = min(0.94 * width / total, 0.8 * height / (tallest + headroom), 0.62 * height)
    front = height * rng.uniform(0.9, 0.96)
    if close_up:
        px_per_m *= rng.uniform(1.3, 1.5)
        front = 0.1 * height + tallest * px_per_m
    stage = Stage(width, height, front - CAMERA_HEIGHT_M * px_per_m, px_per_m)
    start = (width - total * px_per_m) * rng.uniform(0.35, 0.65)
    placed = []
    for actor, scale, offset in zip(actors, scales, offsets, strict=True):
        view = View(
            actor.view.yaw_deg,
            ELEVATION_DEG,
            px_per_m * scale,
            start + offset * px_per_m,
            stage.horizon + CAMERA_HEIGHT_M * px_per_m * scale,
        )
        placed.append(replace(actor, view=view))
    return stage, placed


def _bystander(stage: Stage, setting: str, rng: random.Random) -> Actor:
    """Somebody far away, too small for keypoints."""
    kind = next(k for k in POSE_KINDS if k.name == "standing")
    actor = _cast(kind, setting, rng)
    scale = stage.px_per_m * rng.uniform(0.2, 0.26)
    x = rng.uniform(0.08, 0.92) * stage.width
    view = replace(actor.view, px_per_m=scale, ground_x=x, ground_y=stage.horizon + CAMERA_HEIGHT_M * scale)
    return replace(actor, view=view, prop="", support="", bystander=True)
