"""Counts over a whole run: lengths, claims, faults, rejects."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from kpray.reports.run_report.reading import Entry
from kpray.schemas import KIND_NAMES, VERDICT_NAMES, Sample

_MOST_BINS: Final = 24


class Figures:
    """Sums over entries, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self.rejected: Counter[tuple[str, str]] = Counter()  # (stage, reason)
        self.faults: Counter[str] = Counter()
        self.claims: Counter[tuple[str, str, str]] = Counter()  # (kind, name, verdict)
        self.samples_by_worst: Counter[str] = Counter()
        self.words: defaultdict[str, Counter[int]] = defaultdict(Counter)

    def add(self, entry: Entry) -> None:
        """Count one entry."""
        self.outcomes[entry.outcome] += 1
        if entry.rejected is not None:
            self.rejected[entry.rejected.stage, entry.rejected.reason] += 1
        elif entry.sample is not None and entry.outcome == "kept":
            self._add_kept(entry.sample)

    def _add_kept(self, sample: Sample) -> None:
        self.kept[sample.kind] += 1
        answers = (turn.value for turn in sample.conversations if turn.role == "gpt")
        self.words[sample.kind].update(len(answer.split()) for answer in answers)
        self.faults.update(fault.reason for fault in sample.faults)
        self.claims.update((sample.kind, claim.name, claim.verdict) for claim in sample.claims)
        verdicts = {claim.verdict for claim in sample.claims}
        worst = next((v for v in ("contradicted", "unverifiable", "supported") if v in verdicts), "none")
        self.samples_by_worst[worst] += 1

    def to_page(self) -> dict[str, Any]:
        """What the page's script draws."""
        return {
            "kept": {kind: self.kept[kind] for kind in _ordered(self.kept)},
            "rejected": [
                {"stage": stage, "reason": reason, "count": count}
                for (stage, reason), count in sorted(self.rejected.items(), key=lambda item: (-item[1], item[0]))
            ],
            "faults": [{"reason": reason, "count": count} for reason, count in self.faults.most_common()],
            "words": [{"kind": kind, **spread(self.words[kind])} for kind in _ordered(self.words) if self.words[kind]],
            "claims_by_kind": self._verdicts(0, _ordered(self.kept)),
            "claims_by_name": self._verdicts(1, sorted({name for _, name, _ in self.claims})),
            "samples_by_worst": dict(self.samples_by_worst),
        }

    def _verdicts(self, key: int, names: Iterable[str]) -> list[dict[str, Any]]:
        rows = []
        for name in names:
            counts = [sum(n for k, n in self.claims.items() if k[key] == name and k[2] == v) for v in VERDICT_NAMES]
            rows.append({"name": name, **dict[str, Any](zip(VERDICT_NAMES, counts, strict=True))})
        return [row for row in rows if any(row[verdict] for verdict in VERDICT_NAMES)]


def spread(lengths: Mapping[int, int]) -> dict[str, Any]:
    """Mean, quantiles and histogram of counted lengths (at least one).

    >>> spread({2: 1, 4: 3})["mean"], spread({2: 1, 4: 3})["bins"]
    (3.5, [1, 0, 3])
    """
    total = sum(lengths.values())
    low, high = min(lengths), max(lengths)
    width = bin_width(high - low)
    first = low // width * width
    bins = [0] * ((high - first) // width + 1)
    for length, count in lengths.items():
        bins[(length - first) // width] += count
    quantiles = {name: quantile(lengths, part) for name, part in (("p5", 0.05), ("median", 0.5), ("p95", 0.95))}
    mean = sum(length * count for length, count in lengths.items()) / total
    return {"answers": total, "mean": mean, "max": high, **quantiles, "first": first, "width": width, "bins": bins}


def bin_width(span: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that covers a span with few bins.

    >>> bin_width(10), bin_width(100), bin_width(1000)
    (1, 5, 50)
    """
    power = 1
    while True:
        for width in (power, 2 * power, 5 * power):
            if span / width < _MOST_BINS:
                return width
        power *= 10


def quantile(lengths: Mapping[int, int], part: float) -> int:
    """The smallest length that at least a part of all does not exceed.

    >>> quantile({1: 5, 9: 5}, 0.5), quantile({1: 5, 9: 5}, 0.51)
    (1, 9)
    """
    needed = part * sum(lengths.values())
    ordered = sorted(lengths)
    counted = itertools.accumulate(lengths[length] for length in ordered)
    return next(length for length, so_far in zip(ordered, counted, strict=True) if so_far >= needed)


def _ordered(kinds: Iterable[str]) -> list[str]:
    names = set(kinds)
    return [kind for kind in KIND_NAMES if kind in names] + sorted(names.difference(KIND_NAMES))
