from __future__ import annotations

import pytest
from PIL import Image

from kpray.reports.skeleton import LEFT_RGB, OBJECT_RGB, PERSON_RGB, RIGHT_RGB, draw_scene, side_colour
from kpray.schemas import KEYPOINT_NAMES, Keypoint, Person, Scene, SceneObject

GRAY = (120, 120, 120)


def a_scene(points: dict[str, Keypoint], size: tuple[int, int] = (200, 300)) -> Scene:
    keypoints = tuple(points.get(name, (0.0, 0.0, 0)) for name in KEYPOINT_NAMES)
    person = Person(1, (0.05, 0.1, 0.95, 0.95), keypoints, len(points), 1000.0)
    return Scene("1", "1.jpg", "", *size, None, (), (SceneObject(2, "chair", (0.1, 0.5, 0.4, 0.9)),), (person,))


def drawn(points: dict[str, Keypoint], size: tuple[int, int] = (200, 300)) -> Image.Image:
    return draw_scene(Image.new("RGB", size, GRAY), a_scene(points, size))


def test_left_and_right_have_their_colours() -> None:
    arm = {"left_shoulder": (0.7, 0.3, 2), "left_elbow": (0.7, 0.6, 2)}
    arm |= {"right_shoulder": (0.3, 0.3, 2), "right_elbow": (0.3, 0.6, 2)}
    picture = drawn(arm)
    assert picture.getpixel((140, 130)) == LEFT_RGB
    assert picture.getpixel((60, 130)) == RIGHT_RGB


def test_visible_dots_are_full_and_hidden_ones_hollow() -> None:
    picture = drawn({"left_wrist": (0.5, 0.4, 2), "right_wrist": (0.7, 0.4, 1)}, (800, 800))
    assert picture.getpixel((400, 320)) == LEFT_RGB
    assert picture.getpixel((560, 320)) == GRAY
    assert RIGHT_RGB in {picture.getpixel((560 + d, 320)) for d in range(1, 30)}


def test_unlabelled_points_draw_nothing() -> None:
    colours = {c for _, c in drawn({}).getcolors(100_000) or []}
    assert LEFT_RGB not in colours
    assert RIGHT_RGB not in colours


def test_boxes_and_names_are_drawn_and_the_original_is_kept() -> None:
    original = Image.new("RGB", (200, 300), GRAY)
    picture = draw_scene(original, a_scene({}))
    colours = {c for _, c in picture.getcolors(100_000) or []}
    assert {PERSON_RGB, OBJECT_RGB} <= colours
    assert original.getcolors() == [(200 * 300, GRAY)]


@pytest.mark.parametrize("size", [(24, 18), (640, 480), (1, 1), (3000, 400)])
def test_any_size_and_mode_works(size: tuple[int, int]) -> None:
    picture = draw_scene(Image.new("L", size), a_scene({"nose": (0.5, 0.2, 2)}, size))
    assert picture.size == size
    assert picture.mode == "RGB"


def test_a_limb_that_joins_left_and_right_has_neither_colour() -> None:
    assert side_colour("left_shoulder", "right_shoulder") not in (LEFT_RGB, RIGHT_RGB)
    assert side_colour("nose", "left_eye") not in (LEFT_RGB, RIGHT_RGB)
