"""What a check found: as a table for a person, as fields for a program, and as files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from kpray import storage
from kpray.pipelines.check_dataset.verdicts import Counts
from kpray.schemas import VERDICT_NAMES

_LISTED: Final = 20

_Rows = list[tuple[str, ...]]


class Summary(msgspec.Struct, frozen=True):
    """A check and its counts.

    Attributes:
        dataset: What was checked.
        out: Where the verdicts are, or None.
        grounded: Whether there were scenes to hold the claims against.
        threshold: From which similarity on records were near duplicates; None if none were looked for.
        counts: Over all records.
    """

    dataset: str
    out: str | None
    grounded: bool
    threshold: float | None
    counts: Counts

    @property
    def faulty(self) -> int:
        """Records with a fault, the unreadable ones too; duplicates are none."""
        return self.counts.records - self.counts.verdicts.get("passed", 0)


def summary_fields(summary: Summary) -> dict[str, Any]:
    """What ``summary.json`` and `--json` hold."""
    fields: dict[str, Any] = msgspec.to_builtins(summary)
    counts = fields.pop("counts")
    return {"status": "complete", **fields, **counts, "faulty": summary.faulty}


def summary_text(summary: Summary) -> str:
    """The table that a person reads at the end."""
    counts = summary.counts
    lines = [f"{summary.dataset}: {_facts(summary)}", "", *_aligned(_verdict_rows(counts))]
    if counts.reasons:
        lines += ["", *_aligned([("reason", "records", "share"), *_shares(counts.reasons, counts.records)])]
    if counts.claims:
        lines += ["", *_aligned(_claim_rows(counts))]
    lines += [f"unreadable: record {one.record} {one.id}: {one.detail}" for one in counts.unreadable[:_LISTED]]
    if summary.out is not None:
        lines += ["", *(f"  {storage.join(summary.out, name)}" for name in ("verdicts", "summary.json", "README.md"))]
    return "\n".join(lines)


def write_report(summary: Summary, out: str) -> None:
    """Write ``summary.json`` and ``README.md``."""
    fields = msgspec.json.format(msgspec.json.encode(summary_fields(summary)), indent=2)
    storage.write_bytes(storage.join(out, "summary.json"), fields + b"\n")
    storage.write_bytes(storage.join(out, "README.md"), _readme(summary).encode())


def _readme(summary: Summary) -> str:
    counts = summary.counts
    sections = [
        f"# Check of {summary.dataset}\n",
        f"{_facts(summary)}.\n",
        "## Verdicts\n",
        "A record with several faults has the verdict of the gravest: leak, contradicted, form.\n",
        _markdown(_verdict_rows(counts)),
        "## Reasons\n",
        "A record counts once for each of its reasons.\n",
        _markdown([("reason", "records", "share"), *_shares(counts.reasons, counts.records)]),
    ]
    if counts.claims:
        sections += ["## Claims about people, held against their keypoints\n", _markdown(_claim_rows(counts))]
    if counts.unreadable:
        rows = [(str(one.record), one.id, one.detail) for one in counts.unreadable]
        sections += [
            f"## Unreadable records ({len(rows):,} listed)\n",
            _markdown([("record", "id", "why"), *rows]),
        ]
    sections.append("Each record's row, with the places of its faults, is in `verdicts/`.\n")
    return "\n".join(sections)


def _facts(summary: Summary) -> str:
    counts = summary.counts
    scenes = f"{counts.with_scene:,} with a known scene" if summary.grounded else "no annotations, so no grounding"
    parts = [f"{counts.records:,} records", scenes]
    if summary.threshold is not None:
        across = counts.duplicates - counts.duplicates_within_image
        parts.append(
            f"near duplicates of an earlier record: {counts.duplicates:,} ({counts.duplicates_within_image:,} of the "
            f"same image, {across:,} of another)"
        )
    return ", ".join(parts)


def _verdict_rows(counts: Counts) -> _Rows:
    return [("verdict", "records", "share"), *_shares(counts.verdicts, counts.records)]


def _shares(counts: Mapping[str, int], whole: int) -> Iterable[tuple[str, str, str]]:
    return [(name, f"{count:,}", f"{count / whole:.2%}") for name, count in counts.items()]


def _claim_rows(counts: Counts) -> _Rows:
    """Counts by name, and how much of what could be decided is contradicted."""
    rows: _Rows = [("claim", *VERDICT_NAMES, "contradicted of decided")]
    for name, verdicts in counts.claims.items():
        found = [verdicts.get(verdict, 0) for verdict in VERDICT_NAMES]
        decided = found[0] + found[1]
        rows.append((name, *(f"{count:,}" for count in found), f"{found[1] / decided:.2%}" if decided else ""))
    return rows


def _aligned(rows: _Rows) -> list[str]:
    """Rows as text columns: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _markdown(rows: _Rows) -> str:
    header, *body = [tuple(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    lines = [header, ("---",) * len(header), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
