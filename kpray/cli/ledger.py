"""`kpray ledger`: look into a ledger, check it, make it smaller, take its replies elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from kpray.cli.progress import StatusLine

if TYPE_CHECKING:
    from kpray.ledger.entries import Booked, Entry
    from kpray.ledger.inspection import Survey

_PLACES_SHOWN: Final = 50

_as_json = click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary as the last line.")


@click.group(
    epilog="""\b
Examples:
  kpray ledger show runs/demo             what has been answered, and what it cost
  kpray ledger verify runs/demo           whether every line can be read
  kpray ledger compact s3://bucket/ledger
  kpray ledger export runs/demo --out replies.parquet

LEDGER is a ledger's folder, or the folder of a run.
"""
)
def ledger() -> None:
    """Look into the replies that were paid for, check them, make them smaller, take them elsewhere."""


@ledger.command(
    epilog="""\b
Examples:
  kpray ledger show runs/demo
  kpray ledger show runs/demo 3f0c5a4be1d7c2a98d1f60b7725e4c11
  kpray ledger show s3://bucket/ledger --json
"""
)
@click.argument("path", metavar="LEDGER")
@click.argument("request_id", required=False)
@_as_json
def show(path: str, request_id: str | None, as_json: bool) -> dict[str, Any]:
    """Show totals, or with REQUEST_ID one reply in full."""
    from kpray.ledger.inspection import find, find_ledger, survey

    folder = find_ledger(path)
    if request_id:
        entry = find(folder, request_id)
        click.echo(_entry_text(request_id, entry))
        return {"status": "complete", "ledger": folder, **_entry_fields(request_id, entry)}
    with _Progress("folders read") as progress:
        counts = survey(folder, progress)
    click.echo(f"{folder}\n{_totals_text(counts)}")
    return {"status": "complete", "ledger": folder, **_fields(counts)}


@ledger.command(
    epilog="""\b
Examples:
  kpray ledger verify runs/demo
  kpray ledger verify s3://bucket/ledger --json

Ends with 1 if anything is damaged. A torn tail is no damage: a line that a crash cut short was never relied on.
"""
)
@click.argument("path", metavar="LEDGER")
@_as_json
def verify(path: str, as_json: bool) -> dict[str, Any]:
    """Read every line and say what cannot be read, was bought twice, or is in doubt."""
    from kpray.ledger.inspection import find_ledger, survey

    folder = find_ledger(path)
    with _Progress("folders read") as progress:
        counts = survey(folder, progress)
    click.echo(f"{folder}\n{_soundness_text(counts)}")
    status = "damaged" if counts.damage else "complete"
    return {"status": status, "ledger": folder, **_fields(counts)}


@ledger.command(
    name="compact",
    epilog="""\b
Examples:
  kpray ledger compact runs/demo
  kpray ledger compact s3://bucket/ledger --json

Runs may go on writing and reading meanwhile. Stopped at any moment, nothing is lost; the next one goes on.
""",
)
@click.argument("path", metavar="LEDGER")
@_as_json
def compact_command(path: str, as_json: bool) -> dict[str, Any]:
    """Merge the files of each folder into one Parquet file."""
    from kpray.ledger.compaction import compact
    from kpray.ledger.inspection import find_ledger

    folder = find_ledger(path)
    with _Progress("folders merged") as progress:
        report = compact(folder, lambda report: progress(report.done, report.folders))
    click.echo(
        f"{folder}\n{report.files_before:,} files, {_megabytes(report.bytes_before)} -> "
        f"{report.files_after:,} files, {_megabytes(report.bytes_after)}"
    )
    for file in report.left:
        click.echo(f"left as it is, because it is damaged (see kpray ledger verify): {file}", err=True)
    fields = ("folders", "files_before", "files_after", "bytes_before", "bytes_after", "left")
    return {"status": "complete", "ledger": folder, **{name: getattr(report, name) for name in fields}}


@ledger.command(
    name="export",
    epilog="""\b
Examples:
  kpray ledger export runs/demo --out replies.parquet
  kpray ledger export s3://bucket/ledger --out replies.jsonl.gz
""",
)
@click.argument("path", metavar="LEDGER")
@click.option("--out", required=True, metavar="FILE", help="File to write: .parquet, .jsonl or .jsonl.gz.")
@_as_json
def export_command(path: str, out: str, as_json: bool) -> dict[str, Any]:
    """Write every request's reply into one file."""
    from kpray.ledger.exports import export
    from kpray.ledger.inspection import find_ledger

    folder = find_ledger(path)
    with _Progress("folders read") as progress:
        replies = export(folder, out, progress)
    click.echo(f"{replies:,} replies in {out}")
    return {"status": "complete", "ledger": folder, "out": out, "replies": replies}


class _Progress(StatusLine):
    """So many of all; nothing where it takes less than two seconds."""

    def __init__(self, what: str) -> None:
        super().__init__(after_s=2)
        self._what = what

    def __call__(self, done: int, total: int) -> None:
        if self.is_due():
            self.show(f"{done:,}/{total:,} {self._what}")


def _fields(counts: Survey) -> dict[str, Any]:
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(counts)
    return fields


def _totals_text(counts: Survey) -> str:
    usage = (
        f"{counts.prompt_tokens:,} prompt ({counts.cached_tokens:,} cached), {counts.completion_tokens:,} completion"
    )
    rows = [
        ("answered", f"{counts.answered:,} requests"),
        *(("", f"{count:,} {name}") for name, count in sorted(counts.by_model.items())),
        ("tokens", usage),
        ("USD", _usd_text(counts)),
        ("bought again", f"{counts.bought_again:,} replies"),
        ("in doubt", f"{counts.in_doubt:,} requests (sent, no reply; they may have been charged)"),
        ("from, to", f"{counts.first}, {counts.last}" if counts.first else "nothing yet"),
        ("files", f"{counts.files:,} in {counts.folders:,} folders, {_megabytes(counts.bytes)}"),
        *(("run", f"{run or '(not named)'}: {count:,} replies paid") for run, count in sorted(counts.runs.items())),
    ]
    if counts.damage:
        rows.append(("damage", f"{len(counts.damage):,} places: see kpray ledger verify"))
    return _rows_text(rows)


def _usd_text(counts: Survey) -> str:
    unknown = f"; the price of {counts.usd_unknown:,} replies is not known" if counts.usd_unknown else ""
    return f"{counts.usd:,.4f}{unknown}"


def _soundness_text(counts: Survey) -> str:
    whole_files = sum(damage.line is None for damage in counts.damage)
    rows = [
        ("replies", f"{counts.replies:,}"),
        ("distinct", f"{counts.answered:,}"),
        ("bought again", f"{counts.bought_again:,}"),
        ("in doubt", f"{counts.in_doubt:,}"),
        ("torn tails", f"{len(counts.torn):,}"),
        ("damaged lines", f"{len(counts.damage) - whole_files:,}"),
        ("unreadable files", f"{whole_files:,}"),
    ]
    places = [f"  {damage.where}  {damage.why}" for damage in counts.damage[:_PLACES_SHOWN]]
    more = len(counts.damage) - len(places)
    return "\n".join([_rows_text(rows), *places, *([f"  and {more:,} more"] if more else [])])


def _entry_text(request_id: str, entry: Entry) -> str:
    parts = [_reply_text(booked) for booked in entry.kept]
    if entry.in_doubt:
        parts.append("sent, and no reply came back; it may have been charged")
    return "\n\n".join([request_id, *parts])


def _reply_text(booked: Booked) -> str:
    reply = booked.reply
    usage = reply.usage
    tokens = f"{usage.prompt_tokens:,} + {usage.completion_tokens:,}" if usage else "not counted"
    rows = [
        ("run", booked.run or "(not named)"),
        ("model", reply.model),
        ("finish reason", reply.finish_reason),
        ("created at", reply.created_at),
        ("latency", f"{reply.latency_s:.3f} s"),
        ("tokens", tokens),
        ("USD", "not known" if reply.usd is None else f"{reply.usd:.6f}"),
        *([("error", reply.error)] if reply.error else []),
    ]
    return f"{_rows_text(rows)}\n\n{reply.text}"


def _entry_fields(request_id: str, entry: Entry) -> dict[str, Any]:
    import msgspec

    booked = [{"run": b.run, **msgspec.to_builtins(b.reply)} for b in entry.kept]
    return {"request_id": request_id, "replies": booked, "in_doubt": entry.in_doubt}


def _rows_text(rows: list[tuple[str, str]]) -> str:
    return "\n".join(f"{name:<16} {text}".rstrip() for name, text in rows)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
