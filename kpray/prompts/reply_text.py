"""Finding the contents of a model's reply: JSON somewhere in it, or labelled blocks of plain text.

What is tolerated is only what leaves no doubt: code fences, prose before or after, trailing commas,
typographic quotes around JSON strings, labels in bold or with numbers. Everything else is refused.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from kpray.prompts.kind import ParseFailure

_JSON_START: Final = re.compile(r"""\{\s*+["'“”}]|\[\s*+[\[{"'“”]""")
"""Where JSON begins; braces and brackets in ordinary prose do not look like this."""

_REPAIRABLE: Final = re.compile(
    r"""(?P<plain>"(?:[^"\\]|\\.)*+")|[“”](?P<typographic>(?:[^"“”\\]|\\.)*+)[“”]|,(?=\s*+[}\]])""", re.DOTALL
)
"""A string, a string in typographic quotes, or a trailing comma; strings first, so that theirs are safe."""

_LABEL: Final = re.compile(
    r"""^[ \t]*+(?:[-*•][ \t]+|\#{1,6}[ \t]+|\d+[.)][ \t]*)?    # a bullet, a heading or a number
        (?P<open>\*\*|__|\*|_)?
        (?P<name>question|answer|description|q|a)
        (?:[ \t]*\#?\d+[.)]?)?
        (?P<close>\*\*|__|\*|_)?[ \t]*[:：](?P<close_after>\*\*|__|\*|_)?""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_INLINE_LABEL: Final = re.compile(r"\b(?:Question|Answer|Description|Q|A)(?: ?\d+)?[*_]{0,2} ?:")
"""A label in the middle of a line: two blocks run into one."""

_RULE: Final = re.compile(r"[ \t]*(?:={3,}|-{3,}|\*{3,}|_{3,})[ \t]*")
_FENCE: Final = re.compile(r"[ \t]*```\w*[ \t]*")
_UNWRITABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def find_json(text: str) -> dict[str, Any] | list[Any] | None:
    """The one JSON object or list in a reply.

    Returns:
        None where the reply is not JSON: nothing looks like it, or a label comes first.

    Raises:
        ParseFailure: It is cut off or broken, or there are several that differ, or labelled text beside it.
    """
    label = _LABEL.search(text)
    start = _JSON_START.search(text)
    if start is None or (label is not None and label.start() < start.start()):
        return None
    values = []
    end = 0
    while start is not None:
        _refuse_labels(text[end : start.start()], "labelled text stands beside JSON")
        value, end = _decode(text, start.start())
        values.append(value)
        start = _JSON_START.search(text, end)
    _refuse_labels(text[end:], "labelled text stands beside JSON")
    if any(value != values[0] for value in values):
        raise ParseFailure("several_json", f"found {len(values)} JSON values that differ")
    first: dict[str, Any] | list[Any] = values[0]
    return first


def split_labels(text: str) -> list[tuple[str, str]]:
    """Labelled blocks in order: (label in lower case, text up to the next label).

    Lines that only divide (``===``, ``---``, code fences) belong to no block; text that follows one without a
    label of its own is refused. Prose before the first label is left out.

    Raises:
        ParseFailure: There is no label, or text that no label claims, or a code fence that never closes.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if sum(_FENCE.fullmatch(line) is not None for line in lines) % 2:
        raise ParseFailure("truncated", "a code fence is opened and not closed")
    blocks: list[tuple[str, str, list[str]]] = []
    divided = False
    for line in lines:
        label = _LABEL.match(line)
        if label is not None:
            bold = label["open"] or ""
            closed = label["close"] or label["close_after"]
            blocks.append((label["name"].lower(), "" if closed else bold, [line[label.end() :]]))
            divided = False
        elif _RULE.fullmatch(line) or _FENCE.fullmatch(line):
            divided = bool(blocks) and bool("".join(blocks[-1][2]).strip())
        elif divided and line.strip():
            raise ParseFailure("unlabelled_text", "text after a dividing line has no label")
        elif blocks:
            blocks[-1][2].append(line)
    if not blocks:
        raise ParseFailure("not_json_or_blocks", "expected JSON or labelled blocks, found neither")
    return [(name, _unwrap("\n".join(body), bold)) for name, bold, body in blocks]


def single_labelled(text: str, label: str) -> str:
    """The text of the only block in a reply, which must have this label.

    Raises:
        ParseFailure: There is not exactly this one block.
    """
    blocks = split_labels(text)
    names = [name for name, _ in blocks]
    if set(names) != {label}:
        raise ParseFailure(f"no_{label}", f"expected only the label {label!r}, found {', '.join(names)}")
    if len(blocks) > 1:
        raise ParseFailure(f"several_{label}s", f"expected one {label}, found {len(blocks)}")
    return clean_value(blocks[0][1], label)


def clean_value(value: Any, role: str) -> str:
    """A question, answer or description, checked and stripped.

    Raises:
        ParseFailure: It is not text, is empty, or still holds the marks of a format.
    """
    if not isinstance(value, str):
        raise ParseFailure("not_text", f"the {role} is not text")
    text = value.replace("\r\n", "\n").strip()
    if not text:
        raise ParseFailure(f"empty_{role}", f"the {role} is empty")
    if _UNWRITABLE.search(text):
        raise ParseFailure("bad_characters", f"the {role} holds control characters or broken Unicode")
    if _JSON_START.search(text) or "```" in text:
        raise ParseFailure("leftover_format", f"the {role} holds JSON or a code fence")
    _refuse_labels(text, f"the {role} holds another label")
    if _INLINE_LABEL.search(text):
        raise ParseFailure("leftover_label", f"the {role} holds another label in the middle of a line")
    return text


def _refuse_labels(text: str, detail: str) -> None:
    if _LABEL.search(text):
        raise ParseFailure("leftover_label", detail)


def _decode(text: str, start: int) -> tuple[Any, int]:
    """Decode the JSON value at an index, mended if need be; returns it and the index after it."""
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        pass
    # Mending keeps the length, so that indices still hold.
    mended = text[:start] + _REPAIRABLE.sub(_repair, text[start:])
    try:
        return _DECODER.raw_decode(mended, start)
    except (ValueError, RecursionError) as error:
        raise ParseFailure("broken_json", f"the JSON is cut off or malformed: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ParseFailure("repeated_field", "a JSON object has the same key twice")
    return fields


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, strict=False)
"""Refuses repeated keys, of which one would be lost; allows line breaks inside strings."""


def _repair(match: re.Match[str]) -> str:
    if match["plain"] is not None:
        return match["plain"]
    if match["typographic"] is not None:
        return f'"{match["typographic"]}"'
    return " "


def _unwrap(body: str, bold: str) -> str:
    """Strip a block; a mark that opened before the label closes at the block's end."""
    body = body.strip()
    return body.removesuffix(bold).rstrip() if bold else body
