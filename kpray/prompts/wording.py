"""The constant part of a kind's prompt: system text and worked examples, read from the files beside this."""

from __future__ import annotations

import functools
import hashlib
import string
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Final

import msgspec

from kpray.prompts.context import render_context
from kpray.schemas import KEYPOINT_NAMES, KindName, Message, QuestionAnswer, Scene

Writer = Callable[[Sequence[QuestionAnswer]], str]

_WHOLE: Final = 1_000_000
"""Limit that no example's context reaches."""


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A worked example: a scene of ``example_scenes.json`` and what an ideal teacher replies.

    Attributes:
        scene: A scene id.
        answers: For ``detailed``, the question is the instruction.
    """

    scene: str
    answers: tuple[QuestionAnswer, ...]


def example_scenes() -> dict[str, Scene]:
    """The hand-made scenes of the worked examples, by id."""
    scenes = msgspec.json.decode(read_text("example_scenes.json"), type=tuple[Scene, ...])
    return {scene.scene_id: scene for scene in scenes}


def examples(kind: KindName) -> tuple[Example, ...]:
    """The worked examples of a kind."""
    return msgspec.json.decode(read_text(f"{kind}.json"), type=tuple[Example, ...])


def system_text(kind: KindName, *, structured: bool) -> str:
    """The system prompt: the kind's own task, what all kinds share, and one of the two output contracts.

    A kind's Markdown file has three parts, divided by the lines ``<!-- json -->`` and ``<!-- text -->``: the
    task, the contract for servers that enforce a schema, and the contract for those that do not.
    """
    task, _, contracts = read_text(f"{kind}.md").partition("<!-- json -->\n")
    as_json, _, as_text = contracts.partition("<!-- text -->\n")
    numbered = (f"{i}. {name.replace('_', ' ')}" for i, name in enumerate(KEYPOINT_NAMES, 1))
    shared = string.Template(read_text("shared.md")).substitute(body_parts=", ".join(numbered))
    return "\n\n".join(part.strip() for part in (task, shared, as_json if structured else as_text))


def constant_messages(
    kind: KindName, *, structured: bool, write: Writer, ask: Callable[[str, Example], str]
) -> tuple[Message, ...]:
    """System prompt and few-shot turns of a kind.

    Args:
        kind: Whose.
        structured: Which contract.
        write: Writes an example's answers as that contract wants them.
        ask: Makes an example's user message of its context.
    """
    scenes = example_scenes()
    messages = [Message("system", system_text(kind, structured=structured))]
    for example in examples(kind):
        context = render_context(scenes[example.scene], max_chars=_WHOLE).text
        messages.append(Message("user", ask(context, example)))
        messages.append(Message("assistant", write(example.answers)))
    return tuple(messages)


def fingerprint(*parts: Any) -> str:
    """12 hex digits of anything that msgspec writes as JSON."""
    return hashlib.blake2b(msgspec.json.encode(parts, order="deterministic"), digest_size=6).hexdigest()


@functools.cache
def read_text(name: str) -> str:
    """A text file of this folder."""
    return (files("kpray.prompts") / name).read_text(encoding="utf-8")
