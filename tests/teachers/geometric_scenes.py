"""Hand-made scenes and codes for the tests of the geometric teacher."""

from __future__ import annotations

import random
from collections.abc import Sequence

from kpray.pose.vocabulary import VOCABULARY, PoseCode, Side
from kpray.schemas import Person, Scene, SceneObject

SIDED = ("elbow", "knee", "hip", "arm", "wrist_height", "hand_on_hip", "hand_near_face", "forearm", "knee_height")
WHOLE = (
    *("hands", "arms_crossed", "legs_crossed", "feet", "knees", "torso", "lean", "lean_direction"),
    *("facing", "head", "posture"),
)
PAIRED = ("order", "overlap", "size", "distance", "height")
CATEGORIES = ("skateboard", "umbrella", "chair", "sports ball", "dog", "skis", "orange")
CAPTIONS = (
    "A man riding a wave on top of a surfboard.",
    "A woman is holding an umbrella in the rain",
    "Two people  playing frisbee in a park .",
    "there is a boy jumping over a ramp",
    "A group of people standing around a table.",
    "An empty street at night",
    "A dog catching a disc in a field",
    "MAN ON HORSE!!",
    "",
)


def code(name: str, value: str, person: int = 0, side: Side = "", **more: int) -> PoseCode:
    """One pose code with an invented measure."""
    return PoseCode(name, value, person, side, more.get("other"), more.get("object"), (5, 7, 9), 1.0, 2.0)


def scene(people: int = 1, captions: Sequence[str] = (), objects: Sequence[str] = (), scene_id: str = "7") -> Scene:
    """People side by side from image-left to image-right, without keypoints."""
    width = 1 / (people + 1)
    boxes = [(i * width, 0.2, i * width + 0.9 * width, 0.9) for i in range(people)]
    return Scene(
        scene_id=scene_id,
        file_name=f"{scene_id}.jpg",
        split="",
        width=640,
        height=480,
        license_id=None,
        captions=tuple(captions),
        objects=tuple(SceneObject(i, c, (0.1, 0.1, 0.2, 0.2)) for i, c in enumerate(objects)),
        people=tuple(Person(i, box, ((0.0, 0.0, 0),) * 17, 0, 100.0) for i, box in enumerate(boxes)),
    )


def random_case(seed: int) -> tuple[Scene, list[PoseCode]]:
    """A scene with random captions, objects and codes; the codes need not fit one another."""
    draw = random.Random(seed)
    people = draw.choice((0, 1, 1, 1, 2, 2, 3, 4, 7))
    captions = draw.sample(CAPTIONS, draw.randint(0, 5))
    objects = [draw.choice(CATEGORIES) for _ in range(draw.randint(0, 4))]
    codes = [code("person_count", str(people), -1)] if draw.random() < 0.9 else []
    for person in range(people):
        codes += _person_codes(draw, person, len(objects))
        codes += [
            code(name, draw.choice(VOCABULARY[name]), person, other=other)
            for other in range(person + 1, people)
            for name in PAIRED
            if draw.random() < 0.5
        ]
    return scene(people, captions, objects, scene_id=str(seed)), codes


def _person_codes(draw: random.Random, person: int, objects: int) -> list[PoseCode]:
    richness = draw.random()
    sides: tuple[Side, ...] = ("left", "right")
    codes = []
    for name in (*SIDED, "ankle_height"):
        values = draw.choices(VOCABULARY[name], k=2)
        both = [values[0], values[0]] if draw.random() < 0.6 else values
        codes += [code(name, v, person, s) for s, v in zip(sides, both, strict=True) if draw.random() < richness]
    codes += [code(name, draw.choice(VOCABULARY[name]), person) for name in WHOLE if draw.random() < richness]
    for index in range(objects):
        if draw.random() < 0.4:
            codes.append(code("object", draw.choice(VOCABULARY["object"]), person, object=index))
    return codes
