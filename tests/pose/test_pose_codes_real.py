"""Pose codes of real people; needs the folder that KPRAY_COCO names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from kpray.pose import VOCABULARY, people_codes


def test_every_code_of_val2017_uses_labelled_keypoints_only(coco_folder: Path):
    path = coco_folder / "annotations" / "person_keypoints_val2017_rebuilt.json"
    people = [a for a in json.loads(path.read_bytes())["annotations"] if not a["iscrowd"]]
    points = np.array([p["keypoints"] for p in people], dtype=np.float64).reshape(-1, 17, 3)
    boxes = np.array([p["bbox"] for p in people], dtype=np.float64)
    boxes[:, 2:] += boxes[:, :2]
    codes = people_codes(points, boxes)
    assert {code.name for code in codes} >= {"elbow", "knee", "posture", "facing", "wrist_height"}
    for code in codes:
        assert code.value in VOCABULARY[code.name]
        assert code.margin >= 1
        assert (points[code.person, list(code.keypoints), 2] > 0).all()
