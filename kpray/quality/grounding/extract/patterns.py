"""The patterns of ``patterns.yaml``, compiled."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any, Final, NamedTuple

import yaml


class Pattern(NamedTuple):
    """Words that make one claim.

    Attributes:
        name: Of the claim.
        value: Likewise.
        parts: Which parts it is read of, for limbs.
        words: What must be there.
        unless: What must not be there as well.
    """

    name: str
    value: str
    parts: frozenset[str]
    words: re.Pattern[str]
    unless: re.Pattern[str] | None


def _compiled(words: str, macros: dict[str, str]) -> re.Pattern[str]:
    for name, text in macros.items():
        words = words.replace("{" + name + "}", text)
    return re.compile(rf"(?<= )(?:{words})(?= )")


def _load(section: str) -> tuple[Pattern, ...]:
    tables: dict[str, Any] = yaml.safe_load(files(__package__).joinpath("patterns.yaml").read_text(encoding="utf-8"))
    found = []
    for row in tables[section]:
        name, value = row["claim"].split()
        unless = _compiled(row["unless"], tables["macros"]) if "unless" in row else None
        parts = frozenset(row.get("parts", "").split())
        found.append(Pattern(name, value, parts, _compiled(row["words"], tables["macros"]), unless))
    return tuple(found)


LIMBS: Final = _load("limbs")
BODIES: Final = _load("bodies")
