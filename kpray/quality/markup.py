"""Markdown and HTML where plain text was asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kpray.quality.findings import Found, quoted

_MARKS: Final = {
    "a heading": re.compile(r"^[ ]{0,3}#{1,6}[ \t]+\S[^\n]*", re.MULTILINE),
    "a bullet": re.compile(r"^[ \t]{0,12}(?:[-*+][ \t]+(?=[^\W\d_]|\*)|•)[^\n]*", re.MULTILINE),
    "a numbered list": re.compile(
        r"^[ \t]{0,12}1[.)][ \t]+\S[^\n]*\n(?:[ \t]*\n)?(?=[ \t]{0,12}2[.)][ \t])", re.MULTILINE
    ),
    "bold text": re.compile(r"\*\*[^\s*][^*\n]{0,300}\*\*|(?<![\w_])__[^\s_][^_\n]{0,300}__(?![\w_])"),
    "italic text": re.compile(
        r"(?<![\w*])\*[^\s*][^*\n]{0,300}(?<=[^\s*])\*(?![\w*])|(?<!\w)_[^\s_][^_\n]{0,300}(?<=[^\s_])_(?!\w)"
    ),
    "code": re.compile(r"```|`[^`\n]{1,300}`"),
    "a table": re.compile(r"^[ \t]*\|[^\n]*\|[ \t]*\n[ \t]*\|", re.MULTILINE),
    "a link": re.compile(r"\[[^\]\n]{1,300}\]\([^)\s]{1,300}\)"),
    "a dividing line": re.compile(r"^[ \t]{0,3}(?:-{3,}|\*{3,}|_{3,}|={3,})[ \t]*$", re.MULTILINE),
    "a quotation mark of Markdown": re.compile(r"^[ ]{0,3}>[ \t]+[^\n]*", re.MULTILINE),
    "HTML": re.compile(
        r"</?(?:b|i|u|em|strong|p|br|hr|ul|ol|li|h[1-6]|div|span|a|code|pre|table|tr|td|th|img)(?:\s[^<>\n]{0,300})?/?>",
        re.IGNORECASE,
    ),
}
_MARK_SIGNS: Final = re.compile(r"[#*_`|•<>\[]|^[ \t]*[-+=1]", re.MULTILINE)


def markup(text: str) -> Iterator[Found]:
    """Every piece of Markdown or HTML."""
    if not _MARK_SIGNS.search(text):
        return
    for name, pattern in _MARKS.items():
        for match in pattern.finditer(text):
            detail = f"has {name} ({quoted(match.group())}); write plain text, without Markdown"
            yield Found("markdown", match.start(), match.end(), detail)
