"""The kinds of instruction data: what a teacher is asked, and how its reply is read.

One module per kind owns both directions; its wording lies beside it in a Markdown file, its worked examples
in a JSON file. A new kind is such a module and one line in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from kpray.prompts.context import Context, render_context
from kpray.prompts.conversation import Conversation
from kpray.prompts.detailed import Detailed
from kpray.prompts.kind import Kind, ParseFailure, Prompt
from kpray.prompts.reasoning import Reasoning
from kpray.schemas import KindName

KINDS: Final[Mapping[KindName, Kind]] = MappingProxyType(
    {
        "conversation": Conversation(),
        "detailed": Detailed(),
        "reasoning": Reasoning(),
    }
)
"""Every kind by its name."""

__all__ = ["KINDS", "Context", "Kind", "ParseFailure", "Prompt", "render_context"]
