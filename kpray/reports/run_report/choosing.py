"""Which entries of a large run are shown: by chance, but the same ones each time, and the rare ones too."""

from __future__ import annotations

import hashlib
import heapq
from collections import defaultdict

from kpray.reports.run_report.reading import Entry


class Chooser:
    """Takes entries one by one and keeps a bounded number of each stratum.

    The draw is by a hash of seed and id, so it does not depend on shards or their order. Strata are reasons of rejects,
    duplicates, contradicted samples, samples with faults, and the kinds of all others. Half of the places go to the
    strata in equal parts, so that the rare ones are seen; the other half goes to chance alone.
    """

    def __init__(self, limit: int, seed: int) -> None:
        self.limit, self.seed, self.offered = limit, seed, 0
        self._strata: defaultdict[str, list[tuple[int, int, Entry]]] = defaultdict(list)

    def offer(self, entry: Entry) -> None:
        """Consider one entry."""
        self.offered += 1
        heap = self._strata[stratum(entry)]
        drawn = (-self._draw(entry), self.offered, entry)  # the smallest draws win; the number keeps entries uncompared
        if len(heap) < self.limit:
            heapq.heappush(heap, drawn)
        else:
            heapq.heappushpop(heap, drawn)

    def chosen(self) -> list[Entry]:
        """At most `limit` entries, ordered by scene, kind and id."""
        ranked = {name: sorted(heap, key=lambda item: -item[0]) for name, heap in self._strata.items()}
        share = max(self.limit // (2 * len(ranked)), 1) if ranked else 0
        # With more strata than places, the names decide: any order will do that is always the same.
        certain = [item for name in sorted(ranked) for item in ranked[name][:share]][: self.limit]
        others = [item for heap in ranked.values() for item in heap[share:]]
        by_chance = heapq.nlargest(self.limit - len(certain), others, key=lambda item: item[0])
        return sorted((item[2] for item in (*certain, *by_chance)), key=_place)

    def _draw(self, entry: Entry) -> int:
        # Several rejects may share an id: samples of one reply, rejected for one reason.
        seen = entry.rejected.seen if entry.rejected else ""
        digest = hashlib.blake2b(f"{self.seed}/{entry.entry_id}/{seen}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big")


def stratum(entry: Entry) -> str:
    """The group that an entry is drawn with."""
    if entry.rejected is not None:
        return f"rejected {entry.rejected.reason}"
    if entry.outcome == "duplicate":
        return "duplicate"
    if any(claim.verdict == "contradicted" for claim in entry.text.claims):
        return "contradicted"
    return "faults" if entry.text.faults else f"kind {entry.kind}"


def _place(entry: Entry) -> tuple[str, ...]:
    seen = entry.rejected.seen if entry.rejected else ""
    return entry.scene_id.zfill(20), entry.kind, entry.entry_id.zfill(60), seen
