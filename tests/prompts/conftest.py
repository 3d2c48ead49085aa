"""One hand-made scene that no worked example uses."""

from __future__ import annotations

import pytest

from kpray.schemas import Person, Scene, SceneObject

# A batter at the plate, seen from behind; the face and the left ankle are not labelled.
BATTER = (
    *((0.0, 0.0, 0),) * 3,
    (0.4419, 0.3, 2),
    (0.47, 0.302, 2),
    (0.42, 0.4, 2),
    (0.5, 0.41, 2),
    (0.40001, 0.48, 1),
    (0.55, 0.44, 2),
    (0.46, 0.46, 2),
    (0.49, 0.45, 2),
    (0.44, 0.6, 2),
    (0.5, 0.6, 2),
    (0.4, 0.75, 2),
    (0.53, 0.74, 2),
    (0.0, 0.0, 0),
    (0.56, 0.9, 2),
)
UNLABELLED = ((0.0, 0.0, 0),) * 17


@pytest.fixture
def scene() -> Scene:
    return Scene(
        scene_id="42",
        file_name="000000000042.jpg",
        split="val2017",
        width=640,
        height=480,
        license_id=4,
        captions=("A batter waits for the ball.", "A player with a bat,\n seen from behind. "),
        objects=(
            SceneObject(3, "sports ball", (0.7, 0.4, 0.72, 0.42)),
            SceneObject(4, "baseball bat", (0.45, 0.1, 0.6, 0.46)),
        ),
        people=(
            Person(1, (0.37, 0.25, 0.58, 0.95), BATTER, 13, 20_000.0),
            Person(2, (0.9, 0.5, 1.0, 0.7512), UNLABELLED, 0, 3_000.0),
        ),
    )
