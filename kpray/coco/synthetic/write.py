"""Synthetic scenes as ordinary COCO files."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from kpray import storage
from kpray.coco.synthetic.compose import synthesize
from kpray.coco.synthetic.render import render
from kpray.coco.synthetic.types import SyntheticScene
from kpray.schemas import KEYPOINT_NAMES

PERSON: Final = 1
CROWD_ID_BASE: Final = 900_100_000_000  # as in COCO's own files, where it is 9001 and the image id
JPEG_QUALITY: Final = 90
SKELETON: Final = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9),
    (8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
"""COCO's limbs, as pairs of keypoint numbers that start at 1."""

CATEGORIES: Final[dict[str, dict[int, str]]] = {
    "person": {1: "person"},
    "vehicle": {
        2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck", 9: "boat",
    },
    "outdoor": {10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench"},
    "animal": {
        16: "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear",
        24: "zebra", 25: "giraffe",
    },
    "accessory": {27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase"},
    "sports": {
        34: "frisbee", 35: "skis", 36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat",
        40: "baseball glove", 41: "skateboard", 42: "surfboard", 43: "tennis racket",
    },
    "kitchen": {44: "bottle", 46: "wine glass", 47: "cup", 48: "fork", 49: "knife", 50: "spoon", 51: "bowl"},
    "food": {
        52: "banana", 53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot", 58: "hot dog",
        59: "pizza", 60: "donut", 61: "cake",
    },
    "furniture": {62: "chair", 63: "couch", 64: "potted plant", 65: "bed", 67: "dining table", 70: "toilet"},
    "electronic": {72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard", 77: "cell phone"},
    "appliance": {78: "microwave", 79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator"},
    "indoor": {
        84: "book", 85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear", 89: "hair drier", 90: "toothbrush",
    },
}  # fmt: skip
"""COCO's 80 categories: supercategory, id, name."""

CATEGORY_IDS: Final = {name: number for names in CATEGORIES.values() for number, name in names.items()}


@dataclass(frozen=True)
class SyntheticFiles:
    """Where the files are."""

    captions: str
    keypoints: str
    instances: str
    images: str


def write_coco(
    folder: str | Path, *, count: int, seed: int, images: bool = True, first_image_id: int = 1
) -> SyntheticFiles:
    """Write synthetic scenes as COCO files.

    Args:
        folder: Where to; a local path or a URI that `kpray.storage` reaches.
        count: How many scenes: those with index 0 to count - 1.
        seed: Of the series.
        images: Whether the pictures are painted too.
        first_image_id: Image id of scene 0.

    Returns:
        Paths of the annotation files and the image folder.
    """
    base = str(folder)
    files = SyntheticFiles(
        captions=storage.join(base, "annotations", "captions_synthetic.json"),
        keypoints=storage.join(base, "annotations", "person_keypoints_synthetic.json"),
        instances=storage.join(base, "annotations", "instances_synthetic.json"),
        images=storage.join(base, "images"),
    )
    rows = _Rows(first_image_id)
    for index in range(count):
        scene = synthesize(index, seed)
        name = rows.add(scene)
        if images:
            storage.write_bytes(storage.join(files.images, name), jpeg(render(scene)))
    for path, document in rows.documents(files):
        storage.write_bytes(path, json.dumps(document, separators=(",", ":")).encode())
    return files


def jpeg(picture: Image.Image) -> bytes:
    """A picture as JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


class _Rows:
    """The rows of the three files, and the next free ids."""

    def __init__(self, first_image_id: int) -> None:
        self.first_image_id = first_image_id
        self.images: list[dict[str, Any]] = []
        self.captions: list[dict[str, Any]] = []
        self.keypoints: list[dict[str, Any]] = []
        self.instances: list[dict[str, Any]] = []

    def add(self, scene: SyntheticScene) -> str:
        """Add a scene; its ids depend on its index alone. Returns the image's file name."""
        image_id = self.first_image_id + scene.index
        name = f"{image_id:012d}.jpg"
        self.images.append(_image_row(scene, image_id, name))
        for i, text in enumerate(scene.captions):
            self.captions.append({"image_id": image_id, "id": image_id * 10 + i, "caption": text})
        ids = iter(range(image_id * 100, image_id * 100 + 100))
        for person in scene.people:
            if person.area_px:
                row = _annotation(next(ids), image_id, PERSON, person.segmentation, person.area_px, person.box_xywh_px)
                flat = [c for point in person.keypoints_xyv_px for c in point]
                self.instances.append(row)
                self.keypoints.append(row | {"keypoints": flat, "num_keypoints": person.num_labelled})
        for thing in scene.objects:
            category = CATEGORY_IDS[thing.category]
            row = _annotation(next(ids), image_id, category, thing.segmentation, thing.area_px, thing.box_xywh_px)
            self.instances.append(row)
        if scene.crowd is not None:
            row = self._crowd_row(scene, image_id)
            self.instances.append(row)
            self.keypoints.append(row | {"keypoints": [0] * 51, "num_keypoints": 0})
        return name

    def _crowd_row(self, scene: SyntheticScene, image_id: int) -> dict[str, Any]:
        assert scene.crowd is not None
        mask = {"counts": list(scene.crowd.counts), "size": [scene.height, scene.width]}
        row = _annotation(CROWD_ID_BASE + image_id, image_id, PERSON, (), scene.crowd.area_px, scene.crowd.box_xywh_px)
        return row | {"segmentation": mask, "iscrowd": 1}

    def documents(self, files: SyntheticFiles) -> list[tuple[str, dict[str, Any]]]:
        """The three files' contents, with their paths."""
        head = {"info": _INFO, "licenses": [_LICENSE], "images": self.images}
        person = {
            "supercategory": "person",
            "id": PERSON,
            "name": "person",
            "keypoints": list(KEYPOINT_NAMES),
            "skeleton": [list(limb) for limb in SKELETON],
        }
        every = [
            {"supercategory": group, "id": number, "name": name}
            for group, names in CATEGORIES.items()
            for number, name in names.items()
        ]
        return [
            (files.captions, head | {"annotations": self.captions}),
            (files.keypoints, head | {"annotations": self.keypoints, "categories": [person]}),
            (files.instances, head | {"annotations": self.instances, "categories": every}),
        ]


_INFO: Final = {
    "description": "kpray synthetic scenes",
    "url": "",
    "version": "1.0",
    "year": 2025,
    "contributor": "kpray",
    "date_created": "2025/01/01",
}
_LICENSE: Final = {
    "url": "https://creativecommons.org/publicdomain/zero/1.0/",
    "id": 1,
    "name": "CC0 1.0 Universal",
}


def _image_row(scene: SyntheticScene, image_id: int, name: str) -> dict[str, Any]:
    return {
        "license": _LICENSE["id"],
        "file_name": name,
        "coco_url": "",
        "height": scene.height,
        "width": scene.width,
        "date_captured": "2025-01-01 00:00:00",
        "flickr_url": "",
        "id": image_id,
    }


def _annotation(
    number: int,
    image_id: int,
    category: int,
    segmentation: Sequence[Sequence[float]],
    area_px: int,
    box_xywh_px: Sequence[float],
) -> dict[str, Any]:
    return {
        "segmentation": [list(polygon) for polygon in segmentation],
        "area": area_px,
        "iscrowd": 0,
        "image_id": image_id,
        "bbox": list(box_xywh_px),
        "category_id": category,
        "id": number,
    }
