from __future__ import annotations

from typing import Any

from kpray.pipelines.export import to_llava, to_messages, to_sharegpt

SAMPLE: dict[str, Any] = {
    "sample_id": "7-conversation",
    "scene_id": "7",
    "image": "val2017/000000000007.jpg",
    "conversations": [
        {"from": "human", "value": "<image>\nWho is here?"},
        {"from": "gpt", "value": "One man."},
        {"from": "human", "value": "Is he seated?"},
        {"from": "gpt", "value": "No."},
    ],
    "lineage": {},
}


def test_llava() -> None:
    assert to_llava(SAMPLE) == {
        "id": "7-conversation",
        "image": "val2017/000000000007.jpg",
        "conversations": SAMPLE["conversations"],
    }


def test_sharegpt() -> None:
    assert to_sharegpt(SAMPLE) == {
        "id": "7-conversation",
        "conversations": SAMPLE["conversations"],
        "images": ["val2017/000000000007.jpg"],
    }


def test_messages_carry_the_image_as_a_part_of_the_first_turn() -> None:
    assert to_messages(SAMPLE) == {
        "id": "7-conversation",
        "images": ["val2017/000000000007.jpg"],
        "messages": [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who is here?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "One man."}]},
            {"role": "user", "content": [{"type": "text", "text": "Is he seated?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "No."}]},
        ],
    }
