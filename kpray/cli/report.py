"""`kpray report`."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from kpray.schemas import KIND_NAMES


@click.command(
    epilog="""\b
Examples:
  kpray report runs/demo
  kpray report runs/val2017 --images val2017 --limit 2000 --seed 1 --out val2017.html
  kpray report runs/val2017 --kind detailed --kind reasoning --out long_answers.html
"""
)
@click.argument("run_folder", metavar="RUN")
@click.option("--out", metavar="FILE", help="Page to write [default: RUN/report.html].")
@click.option("--images", metavar="DIR", help="Folder of the images [default: the run's].")
@click.option(
    "--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Most entries in the gallery."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses them where there are more.")
@click.option(
    "--kind", "kinds", type=click.Choice(KIND_NAMES), multiple=True, help="Only this kind in the gallery; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary as the last line.")
def report(
    run_folder: str,
    out: str | None,
    images: str | None,
    limit: int,
    seed: int,
    kinds: tuple[str, ...],
    as_json: bool,
) -> dict[str, Any]:
    """Write one HTML page about a run, to be opened from disk.

    It shows what became of the scenes, what it cost, how the claims fared, and a gallery to look through.
    """
    from kpray import storage
    from kpray.reports.run_report import make_report

    page = out or storage.join(run_folder, "report.html")
    made = make_report(run_folder, page, images=images, limit=limit, seed=seed, kinds=kinds)
    click.echo(f"{made.shown:,} of {made.entries:,} entries, {made.size_bytes / 1e6:,.1f} MB")
    if made.without_image:
        click.echo(
            f"{made.without_image:,} of {made.scenes:,} scenes are without their image; "
            "name the folder of the images with --images DIR"
        )
    click.echo(page)
    return {"status": "complete", **msgspec.to_builtins(made)}
