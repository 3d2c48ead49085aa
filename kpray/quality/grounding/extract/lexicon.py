"""The word classes of ``words.yaml``, as sets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, Literal

import yaml

Gender = Literal["male", "female", "any"]


@lru_cache(maxsize=1)
def _tables() -> Mapping[str, Any]:
    text = files(__package__).joinpath("words.yaml").read_text(encoding="utf-8")
    loaded: Mapping[str, Any] = yaml.safe_load(text)
    return loaded


def _words(name: str) -> frozenset[str]:
    return frozenset(str(_tables()[name]).split())


def words(text: str) -> frozenset[str]:
    """Words that are separated by spaces, as a set."""
    return frozenset(text.split())


def _inverted(name: str) -> dict[str, str]:
    return {word: key for key, words in _tables()[name].items() for word in words.split()}


GENDER: Final = _inverted("person")
"""Nouns that mean a person: ``male``, ``female`` or ``any``."""

PARTS: Final = _inverted("part")
"""Nouns that mean a part of a body, and how the patterns call it (``arm``: ``ARM``)."""

GROUP: Final = _words("group")
UNREAL: Final = _words("unreal")
PART_TAIL: Final = _words("part_tail")
IMAGE: Final = _words("image")
IMAGE_VERBS: Final = _words("image_verb")
THINGS: Final = _words("thing") | {pair.split()[1] for pair in _tables()["compound"]}
COMPOUNDS: Final = frozenset(tuple(pair.split()) for pair in _tables()["compound"])
ANIMALS: Final = _words("animal")
CONTAINERS: Final = _words("container")
WORN: Final = _words("worn")
COLOURS: Final = _words("colour")
MOUNTS: Final = _words("mount")
UNHELD: Final = _words("unheld")
DETERMINERS: Final = _words("determiner")
NUMBERS: Final[Mapping[str, int]] = _tables()["number"]
DUOS: Final[Mapping[str, int]] = _tables()["duo"]
"""Collective nouns, and how many people they are."""
ORDINALS: Final[Mapping[str, int]] = _tables()["ordinal"]
PREPOSITIONS: Final = _words("preposition")
CONJUNCTIONS: Final = _words("conjunction")
CLAUSE_WORDS: Final = _words("clause")
PRONOUNS: Final = _words("pronoun")
ADVERBS: Final = _words("adverb")
VERBS: Final = _words("verb") | IMAGE_VERBS
STOPS: Final = _words("stop") | PREPOSITIONS | CONJUNCTIONS | CLAUSE_WORDS | PRONOUNS
POSSESSIVES: Final[Mapping[str, Gender]] = {"his": "male", "her": "female", "their": "any"}
PRONOUN_GENDER: Final[Mapping[str, str]] = {
    **dict.fromkeys(("he", "him", "his", "himself"), "male"),
    **dict.fromkeys(("she", "her", "herself"), "female"),
    **dict.fromkeys(("they", "them", "their", "themselves"), "any"),
}
