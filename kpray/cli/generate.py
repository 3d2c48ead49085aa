"""`kpray generate`, and the options that `kpray plan` shares with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from kpray.config import GenerateConfig, load_config

Command = TypeVar("Command", bound=Callable[..., Any])


def _comma_list(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


_OPTIONS = (
    click.option("--captions", metavar="FILE", help="COCO captions file (.json, .json.gz; path, s3:// or gs://)."),
    click.option("--keypoints", metavar="FILE", help="COCO person_keypoints file."),
    click.option("--instances", metavar="FILE", help="COCO instances file, for the objects around the people."),
    click.option("--images", metavar="DIR", help="Folder of the images; image paths are then checked."),
    click.option("--out", metavar="DIR", help="The run's folder (path, s3:// or gs://)."),
    click.option(
        "--kinds", callback=_comma_list, metavar="K,K", help="conversation,detailed,reasoning [default: all]."
    ),
    click.option("--turns", type=click.Choice(["single", "multi"]), help="One exchange a record, or all of an image."),
    click.option("--limit", type=int, metavar="N", help="Use the first N scenes only, by image id."),
    click.option("--seed", type=int, metavar="N", help="Seed of every draw [default: 0]."),
    click.option(
        "--teacher", type=click.Choice(["geometric", "openai", "vllm"]), help="Who answers [default: geometric]."
    ),
    click.option("--model", metavar="NAME", help="The teacher's model; for vllm a folder [default: gpt-4o]."),
    click.option("--base-url", metavar="URL", help="OpenAI-compatible server [default: OpenAI's own]."),
    click.option(
        "--mode", type=click.Choice(["live", "batch"]), help="batch is OpenAI's Batch API, at half the price."
    ),
    click.option(
        "--check", type=click.Choice(["report", "repair", "reject"]), help="What becomes of faulty samples [repair]."
    ),
    click.option("--max-usd", type=float, metavar="USD", help="Stop before the whole run has cost more."),
    click.option(
        "--ledger", metavar="DIR", help="Where replies are kept; runs may share one [default: the run's own]."
    ),
    click.option("--export", callback=_comma_list, metavar="F,F", help="Besides llava.json: sharegpt,messages."),
    click.option("--config", "config_file", metavar="FILE", help="YAML file; flags and --set go before it."),
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key, e.g. scenes.min_people=2."),
)

_KEYS = {
    "teacher": "teacher.name",
    "model": "teacher.model",
    "base_url": "teacher.base_url",
    "mode": "teacher.mode",
    "check": "check.mode",
}
"""Keys of the flags whose names are not theirs."""


def generate_options(command: Command) -> Command:
    """Add the options that describe a run to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def config_from(config_file: str | None, overrides: tuple[str, ...], **flags: Any) -> GenerateConfig:
    """The configuration that the options of `generate_options` ask for.

    Raises:
        ConfigError: A key or value is wrong.
    """
    by_key = {_KEYS.get(name, name): value for name, value in flags.items()}
    return load_config(GenerateConfig, file=config_file, flags=by_key, overrides=overrides)


@click.command(
    epilog="""\b
Examples:
  # Synthetic scenes and the embedded rule-based teacher: nothing to download, nothing to pay
  kpray generate --out runs/demo
\b
  # COCO with the embedded teacher
  kpray generate --captions captions_val2017.json --keypoints person_keypoints_val2017.json \\
      --instances instances_val2017.json --images val2017 --out runs/val2017
\b
  # GPT-4o on the first 100 scenes, for at most two dollars (needs OPENAI_API_KEY)
  kpray generate --captions c.json --keypoints k.json --out runs/mine --teacher openai --limit 100 --max-usd 2
\b
  # The same at half the price, within a day; a server of your own; a model that is run here
  kpray generate --captions c.json --keypoints k.json --out runs/mine --teacher openai --mode batch
  kpray generate --captions c.json --keypoints k.json --out runs/own --teacher openai \\
      --base-url http://localhost:8000/v1 --model my-model
  kpray generate --captions c.json --keypoints k.json --out runs/local --teacher vllm --model /models/qwen
\b
  # The paper's recipe, and a run folder on S3
  kpray generate --config jobs/configs/paper/generate.yaml --out s3://bucket/runs/paper

A run that was stopped goes on when the same command is given again. `kpray plan` tells what one would cost.
"""
)
@generate_options
@click.option("--rebuild", is_flag=True, help="Make the dataset anew from the ledger, also with other settings.")
@click.option("--offline", is_flag=True, help="Use the replies in the ledger and ask nothing.")
@click.option("--dry-run", is_flag=True, help="Show configuration, number of requests and prompts; ask nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary as the last line.")
def generate(rebuild: bool, offline: bool, dry_run: bool, as_json: bool, **flags: Any) -> dict[str, Any]:
    """Make keypoint-grounded instruction data from COCO annotations.

    Without --captions and --keypoints it draws synthetic scenes.
    """
    config = config_from(**flags)
    if dry_run:
        from kpray.pipelines.dry_run import describe_run

        plan = describe_run(config)
        click.echo(plan.text)
        return {"status": "dry-run", "scenes": plan.scenes, "requests": plan.requests}
    from kpray.pipelines.generate import generate as run_generate
    from kpray.pipelines.session import start_ray
    from kpray.pipelines.summary import summary_fields, summary_text

    start_ray()
    manifest = run_generate(config, rebuild=rebuild, offline=offline)
    click.echo(summary_text(manifest))
    return summary_fields(manifest)
