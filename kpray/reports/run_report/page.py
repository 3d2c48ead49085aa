"""The page's file: markup, style, script and data in one, with nothing fetched from anywhere.

Everything that comes from a run is untrusted. It stands in the page as JSON in script blocks that are never executed,
with ``<``, ``>`` and ``&`` escaped, and the script puts it into text nodes and attributes only. A content security
policy allows the one style and the one script by their hashes, pictures from data URIs, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any, Final

import msgspec

from kpray import storage

_STYLES: Final = ("base.css", "summary.css", "filters.css", "cards.css", "picture.css", "media.css")
_SCRIPTS: Final = ("dom.js", "summary.js", "picture.js", "text.js", "card.js", "gallery.js", "main.js")
_ESCAPES: Final = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))
_PICTURES: Final = "<!-- pictures -->"


def write_page(out: str, data: Mapping[str, Any], jpegs: Iterable[tuple[str, bytes]]) -> tuple[int, int]:
    """Write a page; pictures pass through one by one.

    Args:
        out: Where to.
        data: What the script draws.
        jpegs: Scene ids and their pictures.

    Returns:
        How many pictures, and how many bytes in all.
    """
    before, _, after = _template(data).partition(_PICTURES)
    pictures = size = 0
    with storage.open_atomic(out, durable=False) as stream:
        size += stream.write(before.encode())
        for block in _picture_blocks(jpegs):
            size += stream.write(block)
            pictures += 1
        size += stream.write(after.encode())
    return pictures, size


def _picture_blocks(jpegs: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """A block for each picture, which the script reads when a card first shows it."""
    for scene_id, jpeg in jpegs:
        name = html.escape(scene_id, quote=True).encode()
        yield b'<script type="text/plain" data-picture="%s">%s</script>\n' % (name, base64.b64encode(jpeg))


def _template(data: Mapping[str, Any]) -> str:
    style = "\n".join(_asset(name) for name in _STYLES)
    script = '"use strict";\n(() => {\n' + "\n".join(_asset(name) for name in _SCRIPTS) + "})();\n"
    # What comes from the run goes in last, so that it is never searched for placeholders.
    filled = {
        "%policy%": f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'",
        "%style%": style,
        "%script%": script,
        "%title%": html.escape(f"{data['title']} · kpray report"),
    }
    before, _, after = _asset("page.html").partition("%data%")
    for placeholder, text in filled.items():
        before, after = before.replace(placeholder, text, 1), after.replace(placeholder, text, 1)
    return before + to_json_block(data) + after


def to_json_block(data: Any) -> str:
    r"""JSON that cannot end the script block it stands in.

    >>> print(to_json_block("</script>"))
    "\u003c/script\u003e"
    """
    encoded = msgspec.json.encode(data)
    for character, escape in _ESCAPES:
        encoded = encoded.replace(character, escape)
    return encoded.decode()


def _source(inline: str) -> str:
    """How a content security policy names an inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return (resources.files("kpray.reports.run_report") / "page" / name).read_text("utf-8")
