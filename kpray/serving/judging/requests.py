"""The body of ``POST /v1/judge``: one item or a batch, and what of it is judged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from kpray.errors import InputError
from kpray.scoring.items import judge_items
from kpray.scoring.types import Answer, JudgeItem, Mode, Question
from kpray.serving.errors import ApiError
from kpray.serving.judging.contexts import Context, Name, to_scene

MOST_REPEATS: Final = 10

Text = Annotated[str, Meta(max_length=16_000)]
QuestionText = Annotated[str, Meta(min_length=1, max_length=16_000)]


class JudgedAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer, and whose it is; the judge is not told the latter."""

    model: Name
    text: Text


class JudgeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question with its answers.

    Attributes:
        question: As the models were asked.
        context: What the judge is told of the picture.
        answers: Two of different models for ``pairwise``, one for the other modes.
        mode: ``pairwise`` shows two answers, ``reference`` one and the reference answer, ``single`` one.
        reference: The reference answer, which the mode ``reference`` needs.
        repeats: How often each order is judged; without it as the server is set up.
        id: Comes back with the result.
    """

    question: QuestionText
    context: Context
    answers: Annotated[list[JudgedAnswer], Meta(min_length=1, max_length=2)]
    mode: Mode
    reference: Text = ""
    repeats: Annotated[int, Meta(ge=1, le=MOST_REPEATS)] | None = None
    id: Annotated[str, Meta(max_length=200)] = ""


class JudgeBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several items; each gets a result of its own, in their order."""

    items: Annotated[list[JudgeRequest], Meta(min_length=1)]


class _Either(msgspec.Struct):
    items: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Expanded(msgspec.Struct, frozen=True):
    """An item and everything that is judged of it: both orders, every repeat."""

    asked: JudgeRequest
    items: tuple[JudgeItem, ...]


_EITHER: Final = msgspec.json.Decoder(_Either)
_ONE: Final = msgspec.json.Decoder(JudgeRequest)
_BATCH: Final = msgspec.json.Decoder(JudgeBatch)
_PLACE: Final = re.compile(r"(?P<said>.*?)(?: - at `\$\.?(?P<place>.*)`)?$", re.DOTALL)


def read(body: bytes, *, most_items: int) -> Sequence[JudgeRequest]:
    """Read a request's body.

    Raises:
        ApiError: 400 for what is not JSON or too many items, 422 for JSON of another form.
    """
    try:
        asked = _BATCH.decode(body).items if _EITHER.decode(body).items is not msgspec.UNSET else [_ONE.decode(body)]
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is not JSON in UTF-8, or nested too deeply", code="invalid_json") from None
    if len(asked) > most_items:
        said = f"expected at most {most_items} items, found {len(asked)}; send them in several requests"
        raise ApiError(400, said, code="limit_exceeded", param="items")
    return asked


def _explained(text: str) -> ApiError:
    match = _PLACE.match(text)
    assert match is not None  # all of it is optional
    place = (match["place"] or "")[:200]
    return ApiError(422, f"{place or 'the body'}: {match['said'][:500]}", code="invalid_value", param=place or None)


def expand(asked: Sequence[JudgeRequest], *, repeats: int) -> list[Expanded]:
    """Everything that is to be judged.

    Args:
        asked: The items.
        repeats: Of items that name none.

    Raises:
        ApiError: 422: answers do not fit the mode, or a context is none.
    """
    return [_expanded(one, i, repeats) for i, one in enumerate(asked)]


def _expanded(asked: JudgeRequest, index: int, repeats: int) -> Expanded:
    place = f"items[{index}]"
    try:
        scene = to_scene(asked.context)
    except InputError as error:
        raise ApiError(422, f"{place}.context.{error}", code="invalid_value", param=f"{place}.context") from None
    question_id = asked.id or place
    question = Question(question_id, scene.scene_id, scene.file_name, "", asked.question, asked.reference)
    answers = tuple(Answer(question_id, answer.model, answer.text) for answer in asked.answers)
    try:
        items = tuple(judge_items(question, scene, answers, mode=asked.mode, repeats=asked.repeats or repeats))
    except InputError as error:
        raise ApiError(422, f"{place}: {error}", code="invalid_value", param=place) from None
    return Expanded(asked, items)
