"""Ratings in a judge's JSON: the shape that was asked for, and near ones that leave no doubt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from kpray.prompts import ParseFailure
from kpray.scoring.judging.prompt import ASPECT_NAMES
from kpray.scoring.judging.ratings import Ratings, in_range
from kpray.scoring.judging.statements import read_line
from kpray.scoring.types import Aspects

_ANSWER_KEY: Final = re.compile(
    r"(?:assistant|answer|response|model|candidate|score|rating)?[ _#-]*([12]|[ab])(?:[ _]score)?"
)
_SCORE_KEYS: Final = ("overall", "score", "rating", "overall_score", "overall_rating", "final_score")
_LIST_KEYS: Final = ("answers", "scores", "ratings", "assistants", "responses", "verdicts", "results", "evaluation")
_INDEX_KEYS: Final = ("answer", "assistant", "response", "index", "id", "number")
_EXPLANATION_KEYS: Final = ("explanation", "reason", "reasoning", "rationale", "justification", "comment")


def ratings_of_json(value: Any, count: int) -> Ratings:
    """Read the ratings of all answers.

    Args:
        value: What was decoded.
        count: How many answers were shown.

    Raises:
        ParseFailure: They are not all there, or not beyond doubt.
    """
    rated = _rated(value, count)
    aspects = [_aspects(item) for item in rated]
    whole = tuple(found for found in aspects if found is not None)
    scores = tuple(_score(item) for item in rated)
    return Ratings(scores, _explanation(value), whole if len(whole) == count else ())


def _rated(value: Any, count: int) -> list[Any]:
    """One rating for each answer, in the order shown: a number, a text or an object."""
    if isinstance(value, list):
        return _in_order(value, count)
    if not isinstance(value, Mapping):
        raise ParseFailure("unexpected_json", "expected an object with the ratings")
    fields = _fields(value)
    by_answer = {int(key): item for key, item in _by_answer(fields)}
    if by_answer:
        if set(by_answer) != set(range(1, count + 1)):
            raise ParseFailure("wrong_count", f"expected ratings of {count} answers, found {len(by_answer)}")
        return [by_answer[i] for i in range(1, count + 1)]
    held = [fields[key] for key in _LIST_KEYS if isinstance(fields.get(key), list | Mapping)]
    if len(held) == 1:
        return _rated(held[0], count)
    if count == 1:
        return [fields]
    raise ParseFailure("no_scores", "the JSON does not say which rating is whose")


def _by_answer(fields: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Fields that are named for answers, with "1" or "2" as their keys.

    Raises:
        ParseFailure: Two are named for the same.
    """
    matched = [(match[1], item) for key, item in fields.items() if (match := _ANSWER_KEY.fullmatch(key))]
    found = [({"a": "1", "b": "2"}.get(which, which), item) for which, item in matched]
    if len(dict(found)) < len(found):
        raise ParseFailure("several_scores", "the JSON rates an answer twice")
    return found


def _in_order(items: list[Any], count: int) -> list[Any]:
    """A list of ratings in the order shown; by their own numbers where they have them."""
    if len(items) != count:
        raise ParseFailure("wrong_count", f"expected ratings of {count} answers, found {len(items)}")
    places = [_place(item) for item in items]
    if all(place is None for place in places):
        return items
    if sorted(str(place) for place in places) != [str(i) for i in range(1, count + 1)]:
        raise ParseFailure("unexpected_json", f"expected ratings of answers 1 to {count}, found {places}")
    return [items[places.index(str(i))] for i in range(1, count + 1)]


def _place(item: Any) -> str | None:
    if not isinstance(item, Mapping):
        return None
    fields = _fields(item)
    named = next((str(fields[key]).strip().lower() for key in _INDEX_KEYS if key in fields), None)
    if named is None:
        return None
    match = _ANSWER_KEY.fullmatch(named)
    return {"a": "1", "b": "2"}.get(match[1], match[1]) if match else named


def _score(item: Any) -> float:
    """One rating as a whole."""
    if isinstance(item, Mapping):
        fields = _fields(item)
        given = [fields[key] for key in _SCORE_KEYS if key in fields]
        if not given:
            lacking = "no_overall" if any(name in fields for name in ASPECT_NAMES) else "no_scores"
            raise ParseFailure(lacking, "the JSON holds no rating of an answer as a whole")
        scores = {_number(one) for one in given}
        if len(scores) > 1:
            raise ParseFailure("several_scores", f"the JSON gives one answer the ratings {sorted(scores)}")
        return scores.pop()
    return _number(item)


def _number(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return in_range(value, f"{value}"[:40])
    if isinstance(value, str):
        statements = list(read_line(value))
        if len(statements) == 1 and len(statements[0].scores) == 1 and not statements[0].labels:
            return statements[0].scores[0]
    raise ParseFailure("no_scores", f"expected a number from 1 to 10, found {str(value)[:40]!r}")


def _aspects(item: Any) -> Aspects | None:
    """The four aspects; None unless all are there as numbers on the scale."""
    if not isinstance(item, Mapping):
        return None
    fields = _fields(item)
    try:
        return Aspects(*(_number(fields[name]) for name in ASPECT_NAMES))
    except (KeyError, ParseFailure):
        return None


def _explanation(value: Any) -> str:
    fields = _fields(value) if isinstance(value, Mapping) else {}
    return next((str(fields[key]).strip() for key in _EXPLANATION_KEYS if isinstance(fields.get(key), str)), "")


def _fields(value: Mapping[str, Any]) -> dict[str, Any]:
    """An object with its keys in lower case."""
    return {key.strip().lower(): item for key, item in value.items()}
