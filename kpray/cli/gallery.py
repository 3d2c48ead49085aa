"""`kpray gallery`."""

from __future__ import annotations

from typing import Any

import click


@click.command(
    epilog="""\b
Examples:
  kpray gallery runs/demo --out gallery.jpg
  kpray gallery runs/val2017 --images val2017 --count 24 --seed 1 --out gallery.png
"""
)
@click.argument("run_folder", metavar="RUN")
@click.option("--out", required=True, metavar="FILE", help="Picture to write (.jpg or .png).")
@click.option("--images", metavar="DIR", help="Folder of the images [default: the run's].")
@click.option("--count", type=click.IntRange(min=1), default=12, show_default=True, help="How many scenes.")
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses the scenes.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary as the last line.")
def gallery(run_folder: str, out: str, images: str | None, count: int, seed: int, as_json: bool) -> dict[str, Any]:
    """Draw scenes of a run with their skeletons and the text made from them."""
    from kpray.reports.gallery import make_gallery, save_picture

    picture, scenes = make_gallery(run_folder, images=images, count=count, seed=seed)
    save_picture(picture, out)
    click.echo(f"{scenes} scenes in {out}")
    return {"status": "complete", "out": out, "scenes": scenes}
