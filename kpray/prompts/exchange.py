"""Question-answer pairs as text: written in the two formats of the contract, read in what models return."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kpray.prompts.kind import ParseFailure
from kpray.prompts.reply_text import clean_value, find_json, split_labels
from kpray.schemas import QuestionAnswer

PAIR_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["question", "answer"],
    "additionalProperties": False,
}
"""JSON schema of one pair, in the subset that OpenAI's strict mode accepts."""

_ROLES: Final = {"question": "question", "q": "question", "answer": "answer", "a": "answer"}


def to_json(value: Mapping[str, Any]) -> str:
    """An object on one line."""
    return json.dumps(value, ensure_ascii=False)


def as_fields(pair: QuestionAnswer) -> dict[str, str]:
    """A pair as a JSON object."""
    return {"question": pair.question, "answer": pair.answer}


def to_blocks(pairs: Sequence[QuestionAnswer]) -> str:
    """Pairs as labelled lines with ``===`` between them.

    >>> print(to_blocks([QuestionAnswer("Is he standing?", "Yes."), QuestionAnswer("Alone?", "No.")]))
    Question: Is he standing?
    Answer: Yes.
    ===
    Question: Alone?
    Answer: No.
    """
    return "\n===\n".join(f"Question: {pair.question}\nAnswer: {pair.answer}" for pair in pairs)


def read_pairs(text: str) -> tuple[QuestionAnswer, ...]:
    """Read one or more pairs from JSON or from labelled blocks.

    Raises:
        ParseFailure: The text is not, beyond doubt, a list of whole pairs.
    """
    found = find_json(text)
    if found is None:
        return _pairs_of_blocks(split_labels(text))
    pairs = tuple(_pair_of_fields(item) for item in _items(found))
    if not pairs:
        raise ParseFailure("no_question", "the JSON holds no question")
    return pairs


def _items(found: dict[str, Any] | list[Any]) -> list[Any]:
    """The pairs of a JSON reply: a list, a pair alone, or the one list inside an object."""
    if isinstance(found, list):
        return found
    if any(key.strip().lower() in _ROLES for key in found):
        return [found]
    lists = [value for value in found.values() if isinstance(value, list)]
    if len(lists) != 1:
        raise ParseFailure("unexpected_json", f"expected one list of pairs, found {len(lists)}")
    return lists[0]


def _pair_of_fields(item: Any) -> QuestionAnswer:
    if not isinstance(item, dict):
        raise ParseFailure("unexpected_json", "expected objects with a question and an answer")
    named: dict[str, Any] = {}
    for key, value in item.items():
        role = _ROLES.get(key.strip().lower())
        if role in named:
            raise ParseFailure("repeated_field", f"a pair has more than one {role}")
        if role is not None:
            named[role] = value
    for role in ("question", "answer"):
        if role not in named:
            raise ParseFailure(f"no_{role}", f"a pair has no {role}")
    return QuestionAnswer(clean_value(named["question"], "question"), clean_value(named["answer"], "answer"))


def _pairs_of_blocks(blocks: Sequence[tuple[str, str]]) -> tuple[QuestionAnswer, ...]:
    """Pair the labelled blocks; they must alternate, question first."""
    pairs = []
    question: str | None = None
    for label, body in blocks:
        role = _ROLES.get(label)
        if role == "question":
            if question is not None:
                raise ParseFailure("unanswered_question", "a question is followed by another question")
            question = clean_value(body, "question")
        elif role == "answer":
            if question is None:
                raise ParseFailure("no_question", "an answer comes without a question of its own")
            pairs.append(QuestionAnswer(question, clean_value(body, "answer")))
            question = None
        else:
            raise ParseFailure("unexpected_label", f"found the label {label!r} among questions and answers")
    if question is not None:
        reason = "unanswered_question" if pairs else "no_answer"
        raise ParseFailure(reason, "the last question has no answer")
    return tuple(pairs)
