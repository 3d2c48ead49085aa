"""Answers that refuse to answer, or that say only that nothing can be told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kpray.quality.findings import Found, quoted, sentences

_CANNOT: Final = (
    r"(?:can\s?not|can['’]t|could\snot|couldn['’]t|(?:am|['’]m)\s(?:unable|not\sable)\sto|won['’]t\sbe\sable\sto)"
)
_REFUSES: Final = re.compile(
    rf"""
    \bas\ an?\ (?:AI|artificial\ intelligence|(?:large\ )?language\ model|virtual\ assistant|text-based)\b
  | \bI\ ?{_CANNOT}\ (?:\w+\ )?(?:see|view|look|help|assist|describe|identify|recogni[sz]e|determine|tell|provide|access
       |answer|analy[sz]e|process|make\ out|comply|fulfil|offer|comment|say|give)\b
  | \bI\ (?:do\ not|don['’]t|lack)\ (?:actually\ )?(?:have\ )?(?:access|(?:enough|sufficient|any)\ (?:information
       |context|details?)|the\ ability|the\ capability|the\ image|the\ picture|eyes)\b
  | \b(?:I\ apologi[sz]e|my\ apologies|(?:I['’]m|I\ am)\ (?:very\ |so\ |really\ )?sorry|^\W*+sorry),?\ (?:but|I|for)\b
  | \b(?:if\ you|please|could\ you|can\ you)\ (?:can\ |could\ )?(?:provide|share|upload|attach|send)\ (?:me\ )?
       (?:the|an|a|your)\ (?:image|picture|photo)
  | \bwithout\ (?:seeing|access\ to|viewing)\ the\ (?:image|picture|photo)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Words that only someone says who does not answer; found anywhere."""

_TELL: Final = r"(?:determine|determined|tell|told|say|said|know|known|identify|identified|answer|answered)"
_TELLS_NOTHING: Final = re.compile(
    rf"""^\W*+(?:unfortunately,?\ |sorry,?\ )?(?:
        (?:[\w'’]+\ ){{0,3}}(?:unable|impossible|not\ possible|hard|difficult)\ to\ {_TELL}\b
      | (?:it|that|this)\ (?:can\s?not|can['’]t|could\ not)\ be\ {_TELL}\b
      | (?:the\ )?(?:image|picture|photo|scene)\ (?:does\ not|doesn['’]t)\ (?:provide|give|contain|show|offer)
           \ (?:enough|sufficient|any)\ (?:\w+\ )?(?:information|details?|context)\b
      | (?:there\ (?:is\ |isn['’]t\ ))?(?:(?:not\ )?enough|insufficient|no)\ (?:information|detail|context)
           \ (?:to|about|for|is)\b
      | (?:it\ is|it['’]s)\ (?:unclear|not\ clear|unknown|uncertain)\b
      | (?:unclear|unknown|cannot\ tell|cannot\ say|not\ sure|I\ do\ not\ know|I\ don['’]t\ know)\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
"""A first sentence that answers nothing; beside other statements it may be honest and useful."""

_SHORT_ANSWER_SENTENCES: Final = 2


def refusals(answer: str) -> Iterator[Found]:
    """Where an answer refuses, or that the whole of a short one tells nothing."""
    found = [match.span() for match in _REFUSES.finditer(answer)]
    if not found:
        parts = [sentence.span() for sentence in sentences(answer)]
        if parts and len(parts) <= _SHORT_ANSWER_SENTENCES and _TELLS_NOTHING.search(answer):
            found = [parts[0]]
    for start, end in found:
        detail = f"refuses to answer ({quoted(answer[start:end])}); ask and answer only what the picture shows"
        yield Found("refusal", start, end, detail)
