"""`kpray check`."""

from __future__ import annotations

import time
from typing import Any

import click

from kpray.cli.progress import StatusLine
from kpray.errors import ConfigError, KprayError


class FaultsFoundError(KprayError):
    """The dataset has faults, and `--strict` was given."""

    exit_code = 3


@click.command(
    epilog="""\b
Examples:
  # Leaks, form and near duplicates of any dataset in LLaVA's format (JSON or JSON Lines, .gz too)
  kpray check llava_instruct_150k.json --out check/llava
\b
  # Also whether the keypoints contradict what it says
  kpray check mine.json --captions captions_train2017.json --keypoints person_keypoints_train2017.json \\
      --instances instances_train2017.json --out check/mine
\b
  # A run of kpray generate, with the scenes it was made from
  kpray check runs/demo --out check/demo
\b
  # In continuous integration: end with 3 if anything was found
  kpray check mine.jsonl --strict --json
"""
)
@click.argument("dataset", metavar="DATASET")
@click.option("--captions", metavar="FILE", help="COCO captions file of the images (path, s3:// or gs://).")
@click.option("--keypoints", metavar="FILE", help="COCO person_keypoints file.")
@click.option("--instances", metavar="FILE", help="COCO instances file, for the objects around the people.")
@click.option("--out", metavar="DIR", help="Folder for verdicts/, summary.json and README.md.")
@click.option(
    "--near-duplicates",
    "threshold",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.9,
    show_default=True,
    metavar="SHARE",
    help="Share of common word triples from which on the later of two records is a duplicate.",
)
@click.option("--strict", is_flag=True, help="End with 3 if any record has a fault.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary as the last line.")
def check(
    dataset: str,
    captions: str | None,
    keypoints: str | None,
    instances: str | None,
    out: str | None,
    threshold: float,
    strict: bool,
    as_json: bool,
) -> dict[str, Any]:
    """Check a dataset in LLaVA's format: leaks, form, near duplicates, and what the keypoints contradict.

    DATASET is a file, or the folder of a run. Its images are known by COCO's file names. Without --captions and
    --keypoints, a file is checked without grounding. It ends with 0 also where faults were found.
    """
    if bool(captions) != bool(keypoints) or (instances and not keypoints):
        raise ConfigError("--captions and --keypoints go together, and --instances with them; give both, or none")
    from kpray.coco import CocoSource
    from kpray.pipelines.check_dataset import check_dataset
    from kpray.pipelines.check_dataset.report import summary_fields, summary_text
    from kpray.pipelines.session import start_ray

    start_ray()
    source = CocoSource(captions, keypoints, instances) if captions and keypoints else None
    with _Progress() as progress:
        summary = check_dataset(dataset, source=source, out=out, threshold=threshold, progress=progress)
    click.echo(summary_text(summary))
    if strict and summary.faulty:
        where = f"; see {out}" if out else ""
        raise FaultsFoundError(f"{summary.faulty:,} of {summary.counts.records:,} records have faults{where}")
    return summary_fields(summary)


class _Progress(StatusLine):
    """Which step is under way, how far, and how fast."""

    def __init__(self) -> None:
        super().__init__()
        self._started: dict[str, float] = {}

    def __call__(self, doing: str, done: int, of: int) -> None:
        now = time.monotonic()
        elapsed_s = now - self._started.setdefault(doing, now)
        if self.is_due():
            whole = f"/{of:,}" if of else ""
            rate = f", {done / elapsed_s:,.0f}/s" if done and elapsed_s > 1 else ""
            self.show(f"{doing}: {done:,}{whole} records{rate}" if done else doing)
