"""Synthetic scenes: drawn people with exact annotations, as ordinary COCO files, from a seed.

    >>> scene = synthesize(index=8, seed=0)
    >>> scene == synthesize(index=8, seed=0), "waving" in {p.pose for p in scene.people}
    (True, True)
    >>> render(scene).size == (scene.width, scene.height)
    True

From a shell::

    python -m kpray.coco.synthetic --out DIR --count N --seed N

Nothing here comes from anybody's photographs, captions or motion capture; the scenes are public domain (CC0).
"""

from kpray.coco.synthetic.compose import synthesize
from kpray.coco.synthetic.poses import POSE_KINDS, PoseKind
from kpray.coco.synthetic.render import render
from kpray.coco.synthetic.scene import as_scene
from kpray.coco.synthetic.types import (
    PoseTruth,
    SyntheticCrowd,
    SyntheticObject,
    SyntheticPerson,
    SyntheticScene,
)
from kpray.coco.synthetic.write import SyntheticFiles, write_coco

__all__ = [
    "POSE_KINDS",
    "PoseKind",
    "PoseTruth",
    "SyntheticCrowd",
    "SyntheticFiles",
    "SyntheticObject",
    "SyntheticPerson",
    "SyntheticScene",
    "as_scene",
    "render",
    "synthesize",
    "write_coco",
]
