from __future__ import annotations

import pytest

from kpray.prompts import KINDS, ParseFailure
from kpray.schemas import QuestionAnswer

ASKED = "Describe the people."
TEXT = "A man stands on a lawn.\n\nHis arms hang down."
JSON = '{"description": "A man stands on a lawn.\\n\\nHis arms hang down."}'

READ = {
    "json": JSON,
    "json in a fence": f"```json\n{JSON}\n```",
    "json after prose": f"Here is the description:\n{JSON}",
    "json with a trailing comma": JSON.replace('"}', '",}'),
    "json with a capital key": JSON.replace("description", "Description"),
    "json in a list": f"[{JSON}]",
    "json with the instruction": JSON.replace("{", '{"instruction": "Describe the people.", '),
    "label": f"Description: {TEXT}",
    "label on a line of its own": f"Description:\n{TEXT}\n",
    "label in bold": f"**Description:** {TEXT}",
    "label as a heading": f"## Description:\n\n{TEXT}",
    "label after prose": f"Sure, I can do that.\n\nDescription: {TEXT}",
    "label with CRLF": f"Description: {TEXT}\n".replace("\n", "\r\n"),
    "label in a fence": f"```\nDescription: {TEXT}\n```",
}

REFUSED = {
    "nothing": ("", "not_json_or_blocks"),
    "prose without a label": (TEXT, "not_json_or_blocks"),
    "an empty description": ('{"description": " "}', "empty_description"),
    "an empty block": ("Description:\n\n", "empty_description"),
    "no description": ('{"question": "Who?", "answer": "A man."}', "no_description"),
    "a pair": ("Question: Who?\nAnswer: A man.", "no_description"),
    "a description and a pair": (f"Description: {TEXT}\nQuestion: Who?\nAnswer: A man.", "no_description"),
    "two descriptions": ("Description: A man.\n===\nDescription: A boy.", "several_descriptions"),
    "two objects that differ": ('{"description": "A man."} {"description": "A boy."}', "several_json"),
    "two keys": ('{"description": "A man.", "description": "A boy."}', "repeated_field"),
    "two in a list": ('[{"description": "A man."}, {"description": "A boy."}]', "unexpected_json"),
    "a list of text": ('["A man stands."]', "unexpected_json"),
    "cut": (JSON[:-10], "broken_json"),
    "json under a label": (f"Description: {JSON}", "leftover_format"),
    "labels in it": ('{"description": "A man.\\nAnswer: Yes."}', "leftover_label"),
    "no text": ('{"description": 3}', "not_text"),
}  # fmt: skip


@pytest.mark.parametrize("reply", READ.values(), ids=READ)
def test_description_is_read(reply: str) -> None:
    assert KINDS["detailed"].parse(reply, instruction=ASKED) == (QuestionAnswer(ASKED, TEXT),)


@pytest.mark.parametrize(("reply", "reason"), REFUSED.values(), ids=REFUSED)
def test_description_is_refused(reply: str, reason: str) -> None:
    with pytest.raises(ParseFailure) as caught:
        KINDS["detailed"].parse(reply, instruction=ASKED)
    assert caught.value.reason == reason


def test_description_without_its_instruction_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="needs the instruction"):
        KINDS["detailed"].parse(JSON, instruction=None)
