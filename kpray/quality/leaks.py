"""Text that gives away what the teacher was shown: keypoints, boxes, coordinates."""

from __future__ import annotations

import re
from typing import Final

_LEAKS: Final = {
    "mentions_keypoints": re.compile(r"\bkey[- ]?points\b|\bkeypoint\b", re.IGNORECASE),
    "mentions_boxes": re.compile(r"\bbounding[- ]box(es)?\b", re.IGNORECASE),
    "mentions_coordinates": re.compile(
        r"\b(the|these|their|x|y) coordinates\b|\(\s*0?\.\d+\s*,\s*0?\.\d+", re.IGNORECASE
    ),
    "mentions_annotations": re.compile(r"\bannotations?\b|\bannotated\b", re.IGNORECASE),
}


def find_leak(text: str) -> str | None:
    """The name of the first leak in a text, or None.

    >>> find_leak("The keypoints show a raised arm.")
    'mentions_keypoints'
    >>> find_leak("The key point of the exercise is balance.") is None
    True
    """
    return next((name for name, pattern in _LEAKS.items() if pattern.search(text)), None)
