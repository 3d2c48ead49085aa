"""What a judge is asked: the constant wording from ``judge.md``, then one picture, question and its answers."""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

import msgspec

from kpray.lineage import fingerprint_value
from kpray.prompts import ParseFailure, render_context
from kpray.schemas import KEYPOINT_NAMES, Message, Sampling
from kpray.scoring.types import JudgeItem, Mode

ASPECT_NAMES: Final = ("helpfulness", "relevance", "accuracy", "detail")
"""The fields of `kpray.scoring.types.Aspects`."""

_SECTION: Final = re.compile(r"^<!-- (\w+) -->\n", re.MULTILINE)


class JudgePrompt(msgspec.Struct, frozen=True):
    """What a judge is asked about one item; these are the fields of a `kpray.schemas.Request`.

    Attributes:
        messages: Everything that is the same for all items first, so that servers can cache it.
        response_schema: JSON schema of the reply, or None where plain text is asked for.
        version: Hash of the constant part, for the judge's fingerprint.
        dropped: What the size limit left out of the picture's text.
    """

    messages: tuple[Message, ...]
    response_schema: Mapping[str, Any] | None
    version: str
    dropped: tuple[str, ...]


def render(item: JudgeItem, *, structured: bool, max_context_chars: int = 24_000) -> JudgePrompt:
    """The prompt for one item.

    Args:
        item: What to judge.
        structured: Whether the server enforces a JSON schema; else numbers on the first line are asked for.
        max_context_chars: Limit of the picture's text; see `kpray.prompts.render_context`.
    """
    context = render_context(item.scene, max_chars=max_context_chars)
    count = len(item.answers)
    return JudgePrompt(
        messages=(Message("system", _system(count, structured)), Message("user", _material(item, context.text))),
        response_schema=_schema(count) if structured else None,
        version=prompt_version(item.mode, structured=structured),
        dropped=context.dropped,
    )


@functools.cache
def prompt_version(mode: Mode, *, structured: bool) -> str:
    """16 hex digits that change whenever the constant part of the prompt, the mode or the output form does."""
    count = 1 if mode == "single" else 2
    return fingerprint_value((mode, structured, _read("judge.md"), _read("reask.md"), _schema(count)))


def sampling_of(sampling: Sampling, repeat: int) -> Sampling:
    """How a repeat is drawn: the first as configured, each further one with a seed of its own.

    Without it the repeats would be one request, which the ledger answers with the first reply.

    >>> sampling_of(Sampling(temperature=0.2), 2)
    Sampling(temperature=0.2, top_p=None, max_tokens=None, seed=2)
    """
    return msgspec.structs.replace(sampling, seed=(sampling.seed or 0) + repeat) if repeat else sampling


def reask_messages(messages: tuple[Message, ...], reply: str, failure: ParseFailure) -> tuple[Message, ...]:
    """The chat that asks once more for ratings.

    Args:
        messages: That the reply answered.
        reply: As it came.
        failure: What was wrong with it.
    """
    asked = string.Template(_read("reask.md").strip()).substitute(fault=f"{failure.detail}.")
    return (*messages, Message("assistant", reply), Message("user", asked))


@functools.cache
def _system(count: int, structured: bool) -> str:
    sections = _sections()
    rules = f"{sections['one' if count == 1 else 'two']}\n{sections['rules']}"
    text = "\n\n".join((sections["task"], rules, sections["json" if structured else "text"]))
    numbered = (f"{i}. {name.replace('_', ' ')}" for i, name in enumerate(KEYPOINT_NAMES, 1))
    return string.Template(text).substitute(
        what_follows="one answer to it" if count == 1 else "two answers to it",
        body_parts=", ".join(numbered),
        json_shape=_json_shape(count),
        numbers="the rating of the answer"
        if count == 1
        else "the ratings of Answer 1 and Answer 2, with a blank between",
    )


def _json_shape(count: int) -> str:
    rating = ", ".join(f'"{name}": n' for name in (*ASPECT_NAMES, "overall"))
    answers = ", ".join(f'"answer_{i}": {{{rating}}}' for i in range(1, count + 1))
    return f'{{"explanation": "...", {answers}}}'


@functools.cache
def _schema(count: int) -> dict[str, Any]:
    """In the subset that every server accepts; the range, which not all know, is the parser's business."""
    number = {"type": "number"}
    names = [*ASPECT_NAMES, "overall"]
    rating = {
        "type": "object",
        "properties": dict.fromkeys(names, number),
        "required": names,
        "additionalProperties": False,
    }
    properties = {"explanation": {"type": "string"}} | {f"answer_{i}": rating for i in range(1, count + 1)}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _material(item: JudgeItem, context: str) -> str:
    """Picture, question and answers, each between marks that no answer can foresee."""
    texts = [answer.text for answer in item.answers]
    mark = fingerprint_value((context, item.question.text, sorted(texts)))[:8]
    parts = {"Picture": context, "Question": item.question.text}
    parts |= {f"Answer {i}": text for i, text in enumerate(texts, 1)}
    part = string.Template(_sections()["part"])
    filled = (part.substitute(name=name, mark=mark, text=text.strip() or "(empty)") for name, text in parts.items())
    return "\n\n".join(filled)


@functools.cache
def _sections() -> dict[str, str]:
    """Parts of ``judge.md`` by the names in its comments."""
    _, *named = _SECTION.split(_read("judge.md"))
    return {name: text.strip() for name, text in zip(named[::2], named[1::2], strict=True)}


@functools.cache
def _read(name: str) -> str:
    return (files("kpray.scoring.judging") / name).read_text(encoding="utf-8")
