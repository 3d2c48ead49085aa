"""What every kind of instruction data offers: a prompt for a scene, and a reading of the reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from kpray.schemas import KindName, Message, QuestionAnswer, Scene


class Prompt(msgspec.Struct, frozen=True):
    """What a teacher is asked about one scene.

    Attributes:
        messages: Everything that is the same for all scenes first, so that servers can cache it; the scene's
            context is the last user message.
        response_schema: JSON schema of the reply, or None where the reply is plain text.
        instruction: The human turn of the sample, where the kind fixes it before asking; else None.
        version: Hash of the constant wording; see `Kind.version`.
        dropped: What the size limit left out of the context.
    """

    messages: tuple[Message, ...]
    response_schema: Mapping[str, Any] | None
    instruction: str | None
    version: str
    dropped: tuple[str, ...]


class ParseFailure(Exception):  # noqa: N818 - it rejects one reply; nothing went wrong in kpray
    """A reply that cannot be read with certainty.

    Attributes:
        reason: A short name, the same for the same fault, to count by.
        detail: One sentence for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[ParseFailure], tuple[str, str]]:
        return type(self), (self.reason, self.detail)


class Kind(Protocol):
    """One kind of instruction data."""

    @property
    def name(self) -> KindName:
        """Its name in files and configurations."""

    def render(self, scene: Scene, *, seed: int, structured: bool, max_context_chars: int) -> Prompt:
        """The request for one scene.

        Args:
            scene: What the annotations say.
            seed: Decides, with the scene's id, whatever the kind draws.
            structured: Whether the server enforces a JSON schema; else a strict text format is asked for.
            max_context_chars: Limit of the context; see `kpray.prompts.context.render_context`.
        """

    def parse(self, text: str, *, instruction: str | None) -> tuple[QuestionAnswer, ...]:
        """Read a reply in either format.

        Args:
            text: The reply as it came.
            instruction: The prompt's `Prompt.instruction`.

        Raises:
            ParseFailure: The reply is not, beyond doubt, what was asked for.
        """

    def write(self, answers: Sequence[QuestionAnswer], *, structured: bool) -> str:
        """The reply that `parse` reads as these answers."""

    def version(self, *, structured: bool) -> str:
        """12 hex digits that change whenever the constant part of the prompt does."""
