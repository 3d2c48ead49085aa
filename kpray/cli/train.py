"""`kpray train`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from kpray.config import load_config
from kpray.training.config import TrainConfig

if TYPE_CHECKING:
    from kpray.training.run import TrainResult

_KEYS = {
    "data": "data.path",
    "images": "data.images",
    "limit": "data.limit",
    "max_length": "data.max_length",
    "batching": "data.batching",
    "model": "model.name",
    "epochs": "optim.epochs",
    "lr": "optim.lr",
    "batch_size": "optim.batch_size",
    "accumulation": "optim.accumulation",
    "max_steps": "optim.max_steps",
    "stage": "deepspeed.stage",
    "workers": "workers.count",
}
"""Keys of the flags whose names are not theirs."""


@click.command(
    epilog="""\b
Examples:
  # The paper's recipe (LLaVA-1.5-7B, ZeRO-3) on a dataset of `kpray generate`
  kpray train --config jobs/configs/paper/llava15-7b-zero3.yaml --data runs/paper --out runs/paper-7b
\b
  # A model in a folder, on a file in LLaVA's form, two workers without a GPU
  kpray train --model models/tiny --data llava.json --images images --out runs/tiny --set model.dtype=float32
\b
  # Adapters instead of all weights; a file of DeepSpeed settings may stand under deepspeed.raw in the YAML file
  kpray train --config jobs/configs/paper/llava15-7b-lora.yaml --data runs/paper --out runs/paper-lora

A run that was stopped or killed goes on when the same command is given again, also with another number of workers.
`kpray plan train` tells what one takes.
"""
)
@click.option("--data", metavar="PATH", help="A `kpray generate` run's folder, or a file in LLaVA's form.")
@click.option("--images", metavar="DIR", help="Folder that image paths are relative to [default: the run's own].")
@click.option("--model", metavar="NAME", help="A folder or a hub's name [default: llava-hf/llava-1.5-7b-hf].")
@click.option("--out", metavar="DIR", help="The run's folder; on a cluster, storage that all nodes reach.")
@click.option("--limit", type=int, metavar="N", help="Use the first N records only.")
@click.option("--max-length", type=int, metavar="N", help="Longest sequence in tokens; longer records are skipped.")
@click.option("--batching", type=click.Choice(["packed", "grouped", "padded"]), help="How samples share a pass.")
@click.option("--epochs", type=int, metavar="N", help="Passes over the data [default: 1].")
@click.option("--lr", type=float, metavar="X", help="Peak learning rate [default: 2e-5].")
@click.option("--batch-size", type=int, metavar="N", help="Sequences in one pass of one worker [default: 8].")
@click.option("--accumulation", type=int, metavar="N", help="Passes before the weights change [default: 2].")
@click.option("--max-steps", type=int, metavar="N", help="Stop after N steps.")
@click.option("--stage", type=click.IntRange(0, 3), metavar="N", help="ZeRO stage [default: 3].")
@click.option("--workers", type=int, metavar="N", help="Processes that train, one a GPU [default: 2].")
@click.option("--seed", type=int, metavar="N", help="Seed of the order and of every draw [default: 0].")
@click.option("--config", "config_file", metavar="FILE", help="YAML file; flags and --set go before it.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key, e.g. model.dtype=float32.")
@click.option("--export/--no-export", "to_export", default=True, help="Write the model to OUT/model [default: yes].")
@click.option("--dry-run", is_flag=True, help="Show the configuration and DeepSpeed's settings; start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary as the last line.")
def train(
    config_file: str | None, overrides: tuple[str, ...], to_export: bool, dry_run: bool, as_json: bool, **flags: Any
) -> dict[str, Any]:
    """Fine-tune a vision-language model on instruction data."""
    by_key = {_KEYS.get(name, name): value for name, value in flags.items()}
    config = load_config(TrainConfig, file=config_file, flags=by_key, overrides=overrides)
    if dry_run:
        from kpray.training.describe import describe_config

        click.echo(describe_config(config))
        return {"status": "dry-run"}
    from kpray.training.requirements import check_before_start, require_packages

    require_packages()
    config = check_before_start(config)
    from kpray.pipelines.session import start_ray
    from kpray.training.run import summary_fields, summary_text
    from kpray.training.run import train as run_train
    from kpray.training.workers import cpus_to_start

    start_ray(num_cpus=cpus_to_start(config.workers))
    result = run_train(config)
    click.echo(summary_text(result))
    return summary_fields(result) | ({"model": _export(result)} if to_export else {})


def _export(result: TrainResult) -> str | None:
    from kpray.training.finish import export_result

    model = export_result(result)
    hint = f"models are written to local folders; `kpray export {shlex.quote(result.out)} --out DIR` makes this one"
    click.echo(f"  {model}" if model else hint)
    return model
