"""Detailed description: an instruction drawn from a list of our own, and the description it asks for."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any, Final

from kpray.prompts import exchange, wording
from kpray.prompts.context import render_context
from kpray.prompts.kind import ParseFailure, Prompt
from kpray.prompts.reply_text import clean_value, find_json, single_labelled
from kpray.schemas import KindName, Message, QuestionAnswer, Scene

_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"description": {"type": "string"}},
    "required": ["description"],
    "additionalProperties": False,
}


class Detailed:
    """One long description of the people in a scene."""

    name: KindName = "detailed"

    def render(self, scene: Scene, *, seed: int, structured: bool, max_context_chars: int) -> Prompt:
        """See `kpray.prompts.kind.Kind`; the seed and the scene's id draw the instruction."""
        context = render_context(scene, max_chars=max_context_chars)
        instruction = draw_instruction(scene.scene_id, seed=seed)
        return Prompt(
            messages=(*_constant(structured), Message("user", _ask(context.text, instruction))),
            response_schema=_SCHEMA if structured else None,
            instruction=instruction,
            version=self.version(structured=structured),
            dropped=context.dropped,
        )

    def parse(self, text: str, *, instruction: str | None) -> tuple[QuestionAnswer, ...]:
        """Read one description; see `kpray.prompts.kind.Kind`.

        Raises:
            ParseFailure: The reply is not, beyond doubt, one description.
            ValueError: No instruction was given.
        """
        if instruction is None:
            raise ValueError("a description needs the instruction it answers")
        return (QuestionAnswer(instruction, _description(text)),)

    def write(self, answers: Sequence[QuestionAnswer], *, structured: bool) -> str:
        """See `kpray.prompts.kind.Kind`; exactly one answer is expected, its question is not written."""
        (pair,) = answers
        return exchange.to_json({"description": pair.answer}) if structured else f"Description: {pair.answer}"

    def version(self, *, structured: bool) -> str:
        """See `kpray.prompts.kind.Kind`; the list of instructions is part of the wording."""
        return _version(structured)


@functools.cache
def instructions() -> tuple[str, ...]:
    """The instructions to draw from, one per line of ``instructions.txt``."""
    return tuple(line.strip() for line in wording.read_text("instructions.txt").splitlines() if line.strip())


def draw_instruction(scene_id: str, *, seed: int) -> str:
    """The instruction of a scene: the same in every process and whatever else is drawn."""
    digest = hashlib.blake2b(f"{seed}:{scene_id}".encode(), digest_size=8).digest()
    return instructions()[int.from_bytes(digest) % len(instructions())]


def _description(text: str) -> str:
    found = find_json(text)
    if found is None:
        return single_labelled(text, "description")
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict):
        raise ParseFailure("unexpected_json", "expected one object with a description, found a list")
    values = [value for key, value in found.items() if key.strip().lower() == "description"]
    if len(values) != 1:
        raise ParseFailure("no_description", "expected the key 'description' once in the JSON object")
    return clean_value(values[0], "description")


def _ask(context: str, instruction: str) -> str:
    return f"{context}\n\nInstruction: {instruction}"


@functools.cache
def _constant(structured: bool) -> tuple[Message, ...]:
    return wording.constant_messages(
        "detailed",
        structured=structured,
        write=functools.partial(Detailed().write, structured=structured),
        ask=lambda context, example: _ask(context, example.answers[0].question),
    )


@functools.cache
def _version(structured: bool) -> str:
    return wording.fingerprint(_constant(structured), _SCHEMA if structured else None, instructions())
