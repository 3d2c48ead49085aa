"""What the text checks share: one find in a text, and the fault that it becomes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from kpray.schemas import Fault, Turn

_SENTENCE: Final = re.compile(r"[^.!?\n]+(?:[.!?](?![\s\"'”’)])[^.!?\n]*)*[.!?]*[\"'”’)]*")
_SHOWN_CHARS: Final = 60


class Found(NamedTuple):
    """A fault in one text.

    Attributes:
        reason: The fault's name.
        start: In characters of the text.
        end: Exclusive; equal to `start` where it is no place in the text.
        detail: What the text does, as it goes on after "the answer" or "the question".
    """

    reason: str
    start: int
    end: int
    detail: str


def as_faults(
    check: Literal["leak", "form"], turns: Sequence[Turn], index: int, found: Iterable[Found]
) -> Iterator[Fault]:
    """The faults of one turn."""
    subject = "the question" if turns[index].role == "human" else "the answer"
    for reason, start, end, detail in found:
        yield Fault(check=check, reason=reason, turn=index, start=start, end=end, detail=f"{subject} {detail}")


def quoted(text: str) -> str:
    """A piece of text as it is shown in a fault's detail: on one line and not too long."""
    line = " ".join(text.split())
    return f'"{line[: _SHOWN_CHARS - 3]}..."' if len(line) > _SHOWN_CHARS else f'"{line}"'


def word_set(text: str) -> frozenset[str]:
    """The words of a text that lists them with blanks between."""
    return frozenset(text.split())


def sentences(text: str) -> Iterator[re.Match[str]]:
    """The sentences of a text, with their marks; a line break ends one too.

    >>> [m.group().strip() for m in sentences("It is 2.5 m. Yes! (So is she.)")]
    ['It is 2.5 m.', 'Yes!', '(So is she.)']
    """
    return (match for match in _SENTENCE.finditer(text) if match.group().strip())
