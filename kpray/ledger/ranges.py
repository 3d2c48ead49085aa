"""Which scenes a folder of the ledger is about."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, unquote

import msgspec


class SceneRange(msgspec.Struct, frozen=True):
    """The first and last scene of a shard, in the ledger's own order."""

    first: str
    last: str

    @classmethod
    def of(cls, scene_ids: Iterable[str]) -> SceneRange:
        """The smallest range that holds all the ids; numbers compare as numbers."""
        ordered = sorted(scene_ids, key=scene_order)
        return cls(ordered[0], ordered[-1])

    @classmethod
    def from_folder(cls, name: str) -> SceneRange:
        """Read a folder's name back."""
        first, _, last = name.partition("..")
        return cls(unquote(first), unquote(last))

    @property
    def folder(self) -> str:
        """The name of the range's folder."""
        return f"{_quote(self.first)}..{_quote(self.last)}"

    def touches(self, other: SceneRange) -> bool:
        """Whether a scene could lie in both."""
        ends_before = scene_order(self.last) < scene_order(other.first)
        begins_after = scene_order(self.first) > scene_order(other.last)
        return not (ends_before or begins_after)


def scene_order(scene_id: str) -> str:
    """By what scene ids are sorted."""
    return scene_id.zfill(20)


def _quote(scene_id: str) -> str:
    return quote(scene_id, safe="").replace(".", "%2E")
