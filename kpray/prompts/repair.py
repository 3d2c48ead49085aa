"""Asking again: the same conversation with the reply that had faults, and a message that names them."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Final

from kpray.prompts.wording import read_text
from kpray.schemas import Fault, Message

_MOST_FAULTS: Final = 8
"""So many are named; a reply with more is not mended by a longer list."""


def repair_messages(messages: Sequence[Message], reply: str, faults: Sequence[Fault]) -> tuple[Message, ...]:
    """The chat that asks for a reply once more.

    Args:
        messages: That the reply answered.
        reply: As it came.
        faults: What was found in it, at least one.
    """
    details = dict.fromkeys(fault.detail for fault in faults)  # equal ones once, in order
    named = "\n".join(f"- {detail}" for detail in list(details)[:_MOST_FAULTS])
    asked = string.Template(read_text("repair.md").strip()).substitute(faults=named)
    return (*messages, Message("assistant", reply), Message("user", asked))
