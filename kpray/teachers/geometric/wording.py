"""The sentence forms, read from ``forms/*.txt``, and the writer that draws from them."""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final, TypeVar

_FORM_FILES: Final = ("person", "people", "sentences", "questions", "reasoning", "domains", "lexicon")

T = TypeVar("T")


@functools.cache
def forms() -> Mapping[str, tuple[str, ...]]:
    """All forms by key: a section's name, and ``section.shape`` for lines that name their shape.

    A file has sections ``[name]`` with lines ``shape: form``, or ``- form`` where a section has one shape
    only; ``#`` starts a comment line.
    """
    table: dict[str, list[str]] = {}
    for name in _FORM_FILES:
        section = ""
        for line in files(__package__).joinpath("forms", f"{name}.txt").read_text("utf-8").splitlines():
            if line.startswith("["):
                section = line.strip("[] ")
            elif line.startswith("- "):
                table.setdefault(section, []).append(line[2:].strip())
            elif line.strip() and not line.startswith("#"):
                shape, _, form = line.partition(": ")
                table.setdefault(f"{section}.{shape}", []).append(form.strip())
    return {key: tuple(lines) for key, lines in table.items()}


def lexicon(section: str) -> frozenset[str]:
    """A section of ``forms/lexicon.txt`` as a set of words."""
    return frozenset(word for line in forms()[section] for word in line.split())


def version() -> str:
    """Hash of the package's rules and forms, so that changed wording never passes for the old one."""
    digest = hashlib.blake2b(digest_size=4)
    package = files(__package__)
    for folder in (package, package.joinpath("forms")):
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if file.name.endswith((".py", ".txt")):
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


class Writer:
    """Draws forms by seed and prefers those it has not used yet.

    One writer writes one sample, so that a sample does not repeat itself.
    """

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self._used: set[str] = set()

    def has(self, key: str) -> bool:
        """Whether there are forms of this key."""
        return key in forms()

    def forms(self, key: str) -> tuple[str, ...]:
        """All forms of a key."""
        return forms()[key]

    def form(self, key: str) -> str:
        """Draw a form, unused if possible."""
        known = forms()[key]
        fresh = [form for form in known if form not in self._used]
        drawn = self.random.choice(fresh or known)
        self._used.add(drawn)
        return drawn

    def write(self, key: str, slots: Mapping[str, str]) -> str:
        """Draw a form and fill its slots."""
        return self.form(key).format_map(slots)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random.random() < probability

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in a drawn order."""
        return self.random.sample(items, len(items))
