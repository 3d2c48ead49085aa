"""From texts and scenes to grounded claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from hand_made import people_at
from scenes import scene

from kpray.pose import scenes_codes
from kpray.quality.grounding.ground import ground
from kpray.schemas import Keypoint, Person, Scene

STANDS_AT_EASE = scene(objects=())


def test_verdicts_have_the_words_and_the_deciding_code():
    text = "The person raises their left arm and stands."
    arm, posture = ground(["What is seen?", text], STANDS_AT_EASE)
    assert (arm.name, arm.value, arm.verdict, arm.turn) == ("arm", "raised", "contradicted", 1)
    assert "left arm" in text[arm.start : arm.end]
    assert arm.code.startswith("left ")
    assert set(arm.keypoints) >= {5, 7}
    assert (posture.value, posture.verdict, posture.code) == ("standing", "supported", "posture=standing")


def test_codes_at_hand_are_used():
    assert [c.verdict for c in ground(["The person stands."], STANDS_AT_EASE, codes=())] == ["unverifiable"]


def test_texts_and_scenes_without_anything_to_say():
    assert ground(["A sunny day."], STANDS_AT_EASE) == ()
    assert ground([], STANDS_AT_EASE) == ()
    (found,) = ground(["The man stands."], scene(people=()))
    assert (found.verdict, found.people) == ("unverifiable", ())


def test_hedges_and_negations_are_marked():
    (found,) = ground(["The person does not appear to be standing."], STANDS_AT_EASE)
    assert found.negated
    assert found.hedged
    assert found.verdict == "contradicted"


def test_counts():
    two = people_at(0.2, 0.8, captions=("Two people talk.",))
    assert [c.verdict for c in ground(["There are two people in the image."], two)] == ["supported"]
    assert [c.verdict for c in ground(["There are four people in the image."], two)] == ["contradicted"]


def test_captions_are_hardly_ever_contradicted(coco_folder: Path):
    """Captions were written by people who saw the picture, each of them here without the other captions' help."""
    read = real_scenes(coco_folder)[::3]
    verdicts = []
    for one, codes in zip(read, scenes_codes(read), strict=True):
        for at, caption in enumerate(one.captions):
            others = one.captions[:at] + one.captions[at + 1 :]
            verdicts += [c.verdict for c in ground([caption], msgspec.structs.replace(one, captions=others), codes)]
    assert len(verdicts) > 1000
    assert verdicts.count("supported") > 200
    assert verdicts.count("contradicted") <= 0.005 * len(verdicts)


def real_scenes(folder: Path) -> list[Scene]:
    """The scenes of val2017 with people and captions, without objects."""
    annotations = folder / "annotations"
    found = json.loads((annotations / "person_keypoints_val2017_rebuilt.json").read_bytes())
    captions: dict[int, list[str]] = {}
    for caption in json.loads((annotations / "captions_val2017.json").read_bytes())["annotations"]:
        captions.setdefault(caption["image_id"], []).append(caption["caption"])
    people: dict[int, list[dict[str, Any]]] = {}
    crowds = {one["image_id"] for one in found["annotations"] if one["iscrowd"]}
    for one in found["annotations"]:
        if not one["iscrowd"]:
            people.setdefault(one["image_id"], []).append(one)
    return [
        scene(
            str(image["id"]),
            width=image["width"],
            height=image["height"],
            captions=tuple(captions.get(image["id"], ())),
            objects=(),
            people=tuple(as_person(one, image["width"], image["height"]) for one in people[image["id"]]),
            flags=("crowd",) if image["id"] in crowds else (),
        )
        for image in found["images"]
        if image["id"] in people
    ]


def as_person(one: dict[str, Any], width: int, height: int) -> Person:
    """A person of a COCO file."""
    x, y, w, h = one["bbox"]
    flat = one["keypoints"]
    points: tuple[Keypoint, ...] = tuple((flat[i] / width, flat[i + 1] / height, flat[i + 2]) for i in range(0, 51, 3))
    box = (x / width, y / height, (x + w) / width, (y + h) / height)
    return Person(one["id"], box, points, one["num_keypoints"], one["area"])
