from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.prompts.context import render_context
from kpray.schemas import Box, Person, Scene, SceneObject

LARGE = 100_000


def person(annotation_id: int, box: Box, v: int = 2) -> Person:
    x1, y1, x2, y2 = box
    middle = ((x1 + x2) / 2, (y1 + y2) / 2, v)
    return Person(annotation_id, box, (middle,) * 17, 17 if v else 0, 1.0)


def square(side: float) -> Box:
    return (0.0, 0.0, side, side)


def replace(scene: Scene, **fields: object) -> Scene:
    return msgspec.structs.replace(scene, **fields)


def test_context_has_captions_then_people_then_objects_largest_first(scene: Scene) -> None:
    lines = render_context(scene, max_chars=LARGE).text.split("\n")
    assert lines[0] == "A batter waits for the ball."
    assert lines[1] == "A player with a bat, seen from behind."
    assert lines[2].startswith("person: [0.37, 0.25, 0.58, 0.95], keypoints: [0.0, 0.0, 0, ")
    assert lines[3] == "person: [0.9, 0.5, 1.0, 0.751]"
    assert lines[4] == "baseball bat: [0.45, 0.1, 0.6, 0.46]"
    assert lines[5] == "sports ball: [0.7, 0.4, 0.72, 0.42]"
    assert len(lines) == 6


def test_keypoints_are_51_numbers_of_at_most_three_decimals_with_integer_visibility(scene: Scene) -> None:
    line = render_context(scene, max_chars=LARGE).text.split("\n")[2]
    numbers = re.search(r"keypoints: \[(.*)\]", line)[1].split(", ")  # type: ignore[index]
    assert len(numbers) == 51
    assert set(numbers[2::3]) <= {"0", "1", "2"}
    assert all(re.fullmatch(r"[01]\.\d{1,3}", n) for i, n in enumerate(numbers) if i % 3 != 2)
    assert numbers[9:12] == ["0.442", "0.3", "2"]
    assert numbers[21:24] == ["0.4", "0.48", "1"]


def test_people_keep_annotation_order_whatever_their_size(scene: Scene) -> None:
    people = (person(7, square(0.1)), person(8, square(0.9)))
    lines = render_context(replace(scene, people=people, objects=()), max_chars=LARGE).text.split("\n")
    assert lines[2].startswith("person: [0.0, 0.0, 0.1")
    assert lines[3].startswith("person: [0.0, 0.0, 0.9")


def test_scene_with_nothing_is_empty_text(scene: Scene) -> None:
    empty = replace(scene, captions=(), people=(), objects=())
    assert render_context(empty, max_chars=LARGE).text == ""
    assert render_context(empty, max_chars=0).dropped == ()


def test_limit_takes_the_smallest_object_first(scene: Scene) -> None:
    whole = render_context(scene, max_chars=LARGE).text
    limited = render_context(scene, max_chars=len(whole) - 1)
    assert "sports ball" not in limited.text
    assert "baseball bat" in limited.text
    assert limited.dropped == ("objects=1",)


def test_text_as_long_as_the_limit_is_kept_whole(scene: Scene) -> None:
    whole = render_context(scene, max_chars=LARGE)
    assert render_context(scene, max_chars=len(whole.text)) == whole


def test_limit_takes_all_objects_before_the_person_with_the_smallest_box(scene: Scene) -> None:
    people = (person(1, square(0.5)), person(2, square(0.2)), person(3, square(0.3)))
    crowded = replace(scene, people=people)
    without_objects = render_context(replace(crowded, objects=()), max_chars=LARGE).text
    limited = render_context(crowded, max_chars=len(without_objects) - 1)
    assert limited.dropped == ("objects=2", "people=1")
    assert "0.0, 0.0, 0.2, 0.2" not in limited.text
    assert limited.text.count("person: ") == 2


def test_captions_and_the_largest_person_survive_any_limit(scene: Scene) -> None:
    limited = render_context(scene, max_chars=0)
    assert limited.text.split("\n")[:2] == render_context(scene, max_chars=LARGE).text.split("\n")[:2]
    assert limited.text.count("person: [0.37") == 1
    assert limited.dropped == ("objects=2", "people=1")


SIDES = st.lists(st.floats(0.01, 1.0), max_size=6)


@given(SIDES, SIDES, st.integers(0, 3_000))
def test_limit_holds_and_nothing_is_dropped_needlessly(
    people: list[float], objects: list[float], max_chars: int
) -> None:
    scene = Scene(
        "1", "1.jpg", "", 9, 9, None, ("A crowd.",),
        tuple(SceneObject(i, "cup", square(s)) for i, s in enumerate(objects)),
        tuple(person(i, square(s), v=2 * (i % 2)) for i, s in enumerate(people)),
    )  # fmt: skip
    context = render_context(scene, max_chars=max_chars)
    dropped = dict(part.split("=") for part in context.dropped)
    kept_people = context.text.count("person: ")
    kept_objects = context.text.count("cup: ")
    assert kept_people + int(dropped.get("people", 0)) == len(people)
    assert kept_objects + int(dropped.get("objects", 0)) == len(objects)
    assert len(context.text) <= max_chars or (kept_objects == 0 and kept_people <= 1)
    assert "people" not in dropped or kept_objects == 0


@pytest.mark.parametrize("value", [-1e-9, 1.0, 0.99996])
def test_rounding_never_writes_a_minus_zero(scene: Scene, value: float) -> None:
    text = render_context(replace(scene, objects=(), people=(person(1, (value, 0.0, 1.0, 1.0)),)), max_chars=0)
    assert "-0.0" not in text.text
