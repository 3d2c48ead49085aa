from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from scenes import person, scene

from kpray.schemas import Message, Request, Sampling, Scene


def request(**changes: Any) -> Request:
    fields: dict[str, Any] = {
        "kind": "detailed",
        "scene_id": "7",
        "messages": (Message("system", "s"), Message("user", "u")),
        "model": "openai/gpt-4o",
        "sampling": Sampling(),
        "response_schema": {"type": "object", "properties": {"a": {"type": "string"}}},
    }
    return Request(**{**fields, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (Message("system", "s"), Message("user", "other"))},
        {"messages": (Message("user", "s"), Message("user", "u"))},
        {"model": "openai/gpt-4o-mini"},
        {"sampling": Sampling(temperature=0.0)},
        {"response_schema": None},
        {"scene": scene()},
    ],
)
def test_what_changes_the_answer_changes_the_id(change: dict[str, Any]) -> None:
    assert request(**change).request_id != request().request_id


@pytest.mark.parametrize(
    "change",
    [
        {"scene_id": "8"},
        {"kind": "reasoning"},
        {"response_schema": {"properties": {"a": {"type": "string"}}, "type": "object"}},
    ],
)
def test_what_does_not_change_the_answer_keeps_the_id(change: dict[str, Any]) -> None:
    assert request(**change).request_id == request().request_id


def test_the_id_is_the_same_in_every_version() -> None:
    # Replies that were paid for are found by this id: if this fails, old ledgers are lost.
    assert request().request_id == "ab91cba0ee54385904d83a7af6f51c0a"


def test_keypoints_and_boxes_in_pixels() -> None:
    two = scene(people=(person(1), person(2)), width=200, height=100)
    assert two.keypoints_px().shape == (2, 17, 3)
    np.testing.assert_allclose(two.keypoints_px()[0, 5], [0.57 * 200, 25.0, 2])
    np.testing.assert_allclose(two.boxes_px()[1], [72, 8, 128, 93])
    assert scene(people=()).keypoints_px().shape == (0, 17, 3)
    assert scene(people=()).boxes_px().shape == (0, 4)


def test_a_scene_survives_being_dumped() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(scene()), type=Scene) == scene()
