"""One hand-made image through every stage, each stage pinned by a file in tests/golden/one_image.

To renew the files after a change that is meant, look at the difference, then::

    KPRAY_UPDATE_GOLDEN=1 python -m pytest tests/test_golden.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kpray.coco import CocoSource, SceneFilter, read_scenes
from kpray.config import GenerateConfig
from kpray.pipelines.checking import judge
from kpray.pipelines.export import to_llava
from kpray.pipelines.generate import recipe_of
from kpray.pipelines.samples import Asked, samples_to_table
from kpray.pose import scene_codes
from kpray.schemas import Reply, Sample, Scene
from kpray.teachers.geometric.compose import compose

FOLDER = Path(__file__).parent / "golden" / "one_image"
CONFIG = GenerateConfig(out="unused", teacher=msgspec.structs.replace(GenerateConfig("x").teacher, name="openai"))
RECIPE = recipe_of(CONFIG)


def check(name: str, value: Any) -> None:
    """Compare with a golden file, or write it."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n"
    path = FOLDER / name
    if os.environ.get("KPRAY_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} differs; see the head of this file"


@pytest.fixture(scope="module")
def scene() -> Scene:
    files = (str(FOLDER / f"1_{name}.json") for name in ("captions", "person_keypoints", "instances"))
    (only,) = read_scenes(CocoSource(*files), SceneFilter())
    return only


def test_2_the_scene(scene: Scene) -> None:
    check("2_scene.json", scene)


def test_2_its_pose_codes(scene: Scene) -> None:
    check("2_pose_codes.json", scene_codes(scene))


def test_3_the_requests(scene: Scene) -> None:
    requests = {kind: RECIPE.request(kind, scene, RECIPE.prompt(kind, scene)) for kind in RECIPE.kinds}
    # The constant turns are pinned by tests/golden/prompts; here the scene's own turn and the ids.
    check("3_requests.json", {k: {"id": r.request_id, "turn": r.messages[-1].content} for k, r in requests.items()})


def test_4_what_the_embedded_teacher_writes(scene: Scene) -> None:
    check("4_geometric.json", {kind: compose(kind, scene, seed=0) for kind in RECIPE.kinds})


def samples_of(scene: Scene) -> list[Sample]:
    texts = json.loads((FOLDER / "4_replies.json").read_text())
    samples: list[Sample] = []
    for kind in RECIPE.kinds:
        prompt = RECIPE.prompt(kind, scene)
        request_id = RECIPE.request(kind, scene, prompt).request_id
        reply = Reply(request_id, texts[kind], "stop", None, None, 1.0, "gpt-4o", "2026-01-01T00:00:00+00:00")
        asked = Asked(kind, scene.scene_id, scene.file_name, request_id, prompt.instruction, prompt.dropped, reply)
        judged = judge(asked, RECIPE, scene, scene_codes(scene))
        assert judged.rejected is None
        samples += judged.samples
    return samples


def test_5_the_samples_of_hand_written_replies(scene: Scene) -> None:
    check("5_samples.json", samples_of(scene))


def test_6_the_training_file(scene: Scene) -> None:
    check("6_llava.json", [to_llava(row) for row in samples_to_table(samples_of(scene)).to_pylist()])
