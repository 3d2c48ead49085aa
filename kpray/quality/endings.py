"""Texts that were cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kpray.quality.findings import Found, quoted, word_set

_CLOSED: Final = re.compile(r"[.!?。！？؟][\"'”’»)\]\s]*$|[)\]\"”»]$|[:;]-?[)D]$")
_DOTS: Final = re.compile(r"(?:\.\.+|…)[\"'”’)\]]*$")
_BREAKS_OFF: Final = re.compile(r"[,;:\-–—(\[“]$")
_DANGLING: Final = word_set(
    """a an the and or but nor of to in on at by for with from into onto over under behind between beside toward towards
    his her their its my your our is are was were be been has have had who which that while because although since
    if when where whose as than very"""
)
_WORDS_WITHOUT_STOP: Final = 6
"""A short answer such as "Playing tennis" needs no full stop."""

_LAST_WORD: Final = re.compile(r"([^\W\d_]+)$")
_INCHES: Final = re.compile(r'\d"')
_TAIL_CHARS: Final = 40


def cut_off(text: str, *, strict: bool) -> Iterator[Found]:
    """That a text stops in the middle, at its last words.

    Args:
        text: Of one turn.
        strict: Also expect a mark at the end of a whole sentence, as answers have and questions often not.
    """
    stripped = text.rstrip()
    why = _why_cut_off(stripped, strict) if stripped else None
    if why is not None:
        start = max(0, len(stripped) - _TAIL_CHARS)
        start = stripped.find(" ", start) + 1 if start else 0
        detail = f"is not finished: {why} at the end ({quoted(stripped[start:])}); write it to its end"
        yield Found("truncated", start, len(stripped), detail)


def _why_cut_off(text: str, strict: bool) -> str | None:
    tail = text[-_TAIL_CHARS:]
    last = _LAST_WORD.search(tail)
    if _DOTS.search(tail):
        return "there are dots instead of an end"
    if _BREAKS_OFF.search(tail):
        return f'"{text[-1]}" stands'
    if last is not None and last[1].lower() in _DANGLING and " " in text:
        return f'"{last[1]}" stands'
    if not strict:
        return None
    opened = _left_open(text)
    if opened is not None:
        return f"{opened} is still open"
    if not _CLOSED.search(tail) and len(text.split()) > _WORDS_WITHOUT_STOP:
        return "there is no full stop"
    return None


def _left_open(text: str) -> str | None:
    pairs = (("(", ")", "a bracket"), ("[", "]", "a bracket"), ("“", "”", "a quotation"))
    for opening, closing, name in pairs:
        if text.count(opening) > text.count(closing):
            return name
    return "a quotation" if text.count('"') % 2 and not _INCHES.search(text) else None
