"""The `kpray` command: thin, one function per subcommand."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from kpray import __version__
from kpray.config import GenerateConfig, load_config
from kpray.errors import KprayError

_INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM, as shells give it."""

_INCOMPLETE = 3
"""Exit code of a run that ended with requests unanswered."""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  kpray generate --out runs/demo                  a dataset from synthetic scenes: no key, no network
  kpray generate --help                           your own COCO files, your own teacher
  kpray gallery runs/demo --out gallery.jpg       look at it
""",
)
@click.version_option(__version__, prog_name="kpray")
def cli() -> None:
    """Teach vision-language models to understand human pose and action."""


def _comma_list(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


@cli.command(
    epilog="""\b
Examples:
  # Synthetic scenes and the embedded rule-based teacher: nothing to download, nothing to pay
  kpray generate --out runs/demo
\b
  # COCO with the embedded teacher
  kpray generate --captions captions_val2017.json --keypoints person_keypoints_val2017.json \\
      --instances instances_val2017.json --images val2017 --out runs/val2017
\b
  # See what would be asked, and of how many, before paying for it
  kpray generate --captions c.json --keypoints k.json --out runs/mine --teacher openai --dry-run
\b
  # GPT-4o on the first 100 scenes (needs OPENAI_API_KEY), then a server of your own
  kpray generate --captions c.json --keypoints k.json --out runs/mine --teacher openai --limit 100
  kpray generate --captions c.json --keypoints k.json --out runs/own --teacher openai \\
      --set teacher.base_url=http://localhost:8000/v1 --set teacher.model=my-model
\b
  # The paper's recipe, and a run folder on S3
  kpray generate --config jobs/configs/paper/generate.yaml --out s3://bucket/runs/paper

A run that was stopped goes on when the same command is given again.
"""
)
@click.option("--captions", metavar="FILE", help="COCO captions file (.json, .json.gz; path, s3:// or gs://).")
@click.option("--keypoints", metavar="FILE", help="COCO person_keypoints file.")
@click.option("--instances", metavar="FILE", help="COCO instances file, for the objects around the people.")
@click.option("--images", metavar="DIR", help="Folder of the images; image paths are then checked.")
@click.option("--out", metavar="DIR", help="The run's folder (path, s3:// or gs://).")
@click.option("--teacher", type=click.Choice(["geometric", "openai"]), help="Who answers [default: geometric].")
@click.option("--kinds", callback=_comma_list, metavar="K,K", help="conversation,detailed,reasoning [default: all].")
@click.option("--turns", type=click.Choice(["single", "multi"]), help="One exchange a record, or all of an image.")
@click.option("--limit", type=int, metavar="N", help="Use the first N scenes only, by image id.")
@click.option("--seed", type=int, metavar="N", help="Seed of every draw [default: 0].")
@click.option("--export", callback=_comma_list, metavar="F,F", help="Besides llava.json: sharegpt,messages.")
@click.option("--config", "config_file", metavar="FILE", help="YAML file; flags and --set go before it.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key, e.g. teacher.model=gpt-4o.")
@click.option("--rebuild", is_flag=True, help="Replace a dataset that other settings made in the same folder.")
@click.option("--dry-run", is_flag=True, help="Show configuration, number of requests and prompts; ask nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary as the last line.")
def generate(
    teacher: str | None,
    config_file: str | None,
    overrides: tuple[str, ...],
    rebuild: bool,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> dict[str, Any] | None:
    """Make keypoint-grounded instruction data from COCO annotations.

    Without --captions and --keypoints it draws synthetic scenes.
    """
    config = load_config(
        GenerateConfig, file=config_file, flags={**flags, "teacher.name": teacher}, overrides=overrides
    )
    if dry_run:
        from kpray.pipelines.dry_run import describe_run

        plan = describe_run(config)
        click.echo(plan.text)
        return {"status": "dry-run", "scenes": plan.scenes, "requests": plan.requests}
    from kpray.pipelines.generate import generate as run_generate
    from kpray.pipelines.session import start_ray
    from kpray.pipelines.summary import summary_fields, summary_text

    start_ray()
    manifest = run_generate(config, rebuild=rebuild)
    click.echo(summary_text(manifest))
    return summary_fields(manifest)


@cli.command(
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


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit code; nothing raised on purpose shows a traceback."""
    as_json = "--json" in arguments
    try:
        result = cli.main(arguments, prog_name="kpray", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return _fail(error.exit_code, error.format_message(), as_json)
    except KprayError as error:
        click.echo(f"kpray: error: {error}", err=True)
        return _fail(error.exit_code, str(error), as_json)
    except (KeyboardInterrupt, click.Abort):
        click.echo("kpray: stopped; what was answered is kept: give the same command to go on", err=True)
        return _fail(_INTERRUPTED, "interrupted", as_json)
    if not isinstance(result, dict):
        return 0
    if as_json:
        click.echo(json.dumps(result))
    return _INCOMPLETE if result.get("status") == "incomplete" else 0


def _fail(code: int, message: str, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps({"status": "interrupted" if code == _INTERRUPTED else "failed", "error": message}))
    return code


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `kpray` command and of the jobs; ends the process."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
