"""The chat page: markup, style and script in one document, which asks nobody but the server that it came from.

The page holds nothing of this server; what it shows it asks for, with the key that its reader gives. Its own content
security policy allows the one style and the one script by their hashes, on top of what the address's header says.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources
from typing import Final

_STYLES: Final = ("base.css", "side.css", "chat.css", "narrow.css")
_SCRIPTS: Final = ("dom.js", "server.js", "skeleton.js", "picture.js", "models.js", "answer.js", "chat.js", "main.js")


@functools.cache
def page_html() -> bytes:
    """The page as one UTF-8 document without outside assets."""
    style = "\n".join(map(_asset, _STYLES))
    script = '"use strict";\n(() => {\n' + "\n".join(map(_asset, _SCRIPTS)) + "})();\n"
    filled = {
        "%policy%": f"default-src 'none'; img-src data: blob:; connect-src 'self'; style-src {_source(style)}; "
        f"script-src {_source(script)}; base-uri 'none'; form-action 'none'",
        "%style%": style,
        "%script%": script,
    }
    page = _asset("page.html")
    for placeholder, text in filled.items():
        page = page.replace(placeholder, text, 1)
    return page.encode()


def _source(inline: str) -> str:
    """How a content security policy names an inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return (resources.files("kpray.serving.page") / name).read_text("utf-8")
