"""All requests of a ledger, one by one, in memory that does not grow with it.

Folders are read in the order of their first scenes. A request is about one scene, so it can only be in folders whose
ranges hold that scene: once the next folder begins beyond the end of a range, everything in that range is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from kpray.ledger.entries import Entry, gather
from kpray.ledger.files import folders, readable_lines
from kpray.ledger.lines import Line
from kpray.ledger.ranges import SceneRange, scene_order

Reader = Callable[[str, SceneRange], Iterable[Line]]
OnFolder = Callable[[int, int], None]
"""Called with how many folders have been read and how many there are."""


def ignore_progress(done: int, total: int) -> None:
    """Show nothing."""


def sweep(
    ledger: str,
    *,
    within: SceneRange | None = None,
    read: Reader = readable_lines,
    on_folder: OnFolder = ignore_progress,
) -> Iterator[Entry]:
    """Every request with all that the ledger knows of it, each once.

    Args:
        ledger: The ledger's folder.
        within: Only folders that touch this range; None is all.
        read: Reads one folder's lines.
        on_folder: Called after each folder.

    Yields:
        Entries; those of a folder in the order of their ids.
    """
    ranges = [scenes for scenes in folders(ledger) if within is None or scenes.touches(within)]
    ranges.sort(key=lambda scenes: (scene_order(scenes.first), scene_order(scenes.last)))
    entries: dict[str, Entry] = {}
    waiting: list[tuple[str, list[str]]] = []  # the end of a range, and the requests first seen there
    for done, scenes in enumerate(ranges, start=1):
        begin = scene_order(scenes.first)
        for end, request_ids in waiting:
            if end < begin:
                yield from (entries.pop(request_id) for request_id in sorted(request_ids))
        waiting = [(end, request_ids) for end, request_ids in waiting if end >= begin]
        waiting.append((scene_order(scenes.last), _add(entries, gather(read(ledger, scenes)))))
        on_folder(done, len(ranges))
    yield from (entries[request_id] for request_id in sorted(entries))


def _add(entries: dict[str, Entry], found: dict[str, Entry]) -> list[str]:
    """Merge one folder's entries into all, and return the ids that are new."""
    new = []
    for request_id, entry in found.items():
        known = entries.setdefault(request_id, entry)
        if known is entry:
            new.append(request_id)
        else:
            known.merge(entry)
    return new
