from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("fastapi")

from kpray.coco import CocoSource, SceneFilter, read_scenes
from kpray.coco.synthetic import write_coco
from kpray.errors import InputError
from kpray.prompts import render_context
from kpray.serving.judging.contexts import CocoContext, Context, SceneContext, to_scene


def from_files(folder: Path) -> list[CocoContext]:
    """What a client that reads COCO's files would send."""
    files = {name: json.loads((folder / f"{name}_synthetic.json").read_text()) for name in ("captions", "instances")}
    people = json.loads((folder / "person_keypoints_synthetic.json").read_text())["annotations"]
    names = {category["id"]: category["name"] for category in files["instances"]["categories"]}
    contexts = []
    for image in files["captions"]["images"]:
        things = [one for one in files["instances"]["annotations"] if names[one["category_id"]] != "person"]
        own = [one for one in people + things if one["image_id"] == image["id"]]
        context = {
            "form": "coco",
            "width": image["width"],
            "height": image["height"],
            "image_id": image["id"],
            "captions": [c["caption"] for c in files["captions"]["annotations"] if c["image_id"] == image["id"]],
            "annotations": [{**one, "category": names.get(one["category_id"], "person")} for one in own],
        }
        contexts.append(msgspec.convert(context, CocoContext))
    return contexts


def test_what_is_sent_is_the_scene_that_the_reader_reads(tmp_path: Path) -> None:
    files = write_coco(tmp_path, count=12, seed=5, images=False)
    source = CocoSource(captions=files.captions, keypoints=files.keypoints, instances=files.instances)
    read = list(read_scenes(source, SceneFilter(min_people=0)))
    sent = [to_scene(context) for context in from_files(tmp_path / "annotations")]
    assert len(sent) == len(read) == 12
    for one, other in zip(sent, read, strict=True):
        known = {name: getattr(other, name) for name in ("file_name", "split", "license_id", "flags")}
        assert msgspec.structs.replace(one, **known) == other
        assert render_context(one, max_chars=9999) == render_context(other, max_chars=9999)
        assert to_scene(SceneContext(other)) == other


GOOD: dict[str, Any] = {"scene_id": "7", "file_name": "", "split": "", "width": 9, "height": 9, "license_id": None}
GOOD |= {"captions": [], "objects": [], "people": []}
PERSON = {"annotation_id": 1, "box_xyxy_norm": [0, 0, 1, 1], "num_labelled": 9, "area_px": 1.0}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scene_id": "a" * 41}, "scene.scene_id"),
        ({"scene_id": ""}, "scene.scene_id"),
        ({"scene_id": "a\nb"}, "scene.scene_id"),
        ({"width": 0}, "scene.width"),
        ({"captions": ["a"] * 65}, "scene.captions"),
        ({"objects": [{"annotation_id": 1, "category": "cup", "box_xyxy_norm": [0, 0, 2, 1]}]}, "objects\\[0\\].box"),
        ({"people": [PERSON | {"keypoints_xyv_norm": [[0, 0, 0]] * 16}]}, "expected 17 times"),
        ({"people": [PERSON | {"keypoints_xyv_norm": [[0, 0, 3]] * 17}]}, "expected 17 times"),
        ({"people": [PERSON | {"keypoints_xyv_norm": [[5, 0, 2]] * 17}]}, "expected 17 times"),
    ],
)
def test_scenes_that_cannot_be(changes: dict[str, Any], said: str) -> None:
    context = msgspec.convert({"form": "scene", "scene": GOOD | changes}, Context)
    with pytest.raises(InputError, match=said):
        to_scene(context)


def test_without_an_id_equal_content_is_the_same_scene() -> None:
    one, other = (to_scene(CocoContext(640, 480, ["A man."])) for _ in range(2))
    assert one.scene_id == other.scene_id != to_scene(CocoContext(640, 480, ["A woman."])).scene_id
    assert len(one.scene_id) <= 40


def test_the_number_of_labelled_keypoints_is_counted_not_believed() -> None:
    people = [PERSON | {"keypoints_xyv_norm": [[0, 0, 0]] * 16 + [[0.5, 0.5, 2]]}]
    scene = to_scene(msgspec.convert({"form": "scene", "scene": GOOD | {"people": people}}, Context))
    assert scene.people[0].num_labelled == 1
