"""`kpray plan` and `kpray plan train`."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from kpray.cli.generate import config_from, generate_options
from kpray.errors import ConfigError


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  # What would this cost? Nothing is asked
  kpray plan --captions c.json --keypoints k.json --out runs/mine --teacher openai
\b
  # Ask 50 of the requests first; the run finds their replies and does not pay for them again
  kpray plan --captions c.json --keypoints k.json --out runs/mine --teacher openai --pilot 50 --max-usd 1
\b
  # In batches; a model that kpray knows no price of
  kpray plan --config run.yaml --mode batch
  kpray plan --config run.yaml --set teacher.price.prompt=3 --set teacher.price.completion=15
\b
  # Memory, hours and dollars of training
  kpray plan train --data runs/mine --gpus 2xA100-80GB
""",
)
@generate_options
@click.option(
    "--pilot", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Ask N of the requests."
)
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary as the last line.")
@click.pass_context
def plan(context: click.Context, /, pilot: int, as_json: bool, **flags: Any) -> dict[str, Any] | None:
    """Tell what `kpray generate` with the same options would cost and how long it would take.

    Reads the annotations and the run's ledger, and writes nothing but the replies of a pilot. What training would take
    is told by `kpray plan train`.
    """
    if context.invoked_subcommand is not None:
        return None
    from kpray.pipelines.plan import make_plan
    from kpray.pipelines.plan_text import plan_text

    made = make_plan(config_from(**flags), pilot=pilot)
    click.echo(plan_text(made))
    return {"status": "planned", **msgspec.json.decode(msgspec.json.encode(made))}


@plan.command(
    "train",
    epilog="""\b
Examples:
  # The paper's run on two A100, at a price of your own
  kpray plan train --data runs/mine --gpus 2xA100-80GB --usd-per-gpu-hour 2.5
\b
  # Without the data at hand; a model in a folder; LoRA
  kpray plan train --samples 200000 --tokens-per-sample 800 --gpus RTX4090 --model /models/llava --set model.lora={}
\b
  # A configuration of `kpray train`
  kpray plan train --config jobs/configs/paper/llava15-7b-zero3.yaml --data runs/mine --gpus 8xH100
""",
)
@click.option("--config", "config_file", metavar="FILE", help="A configuration of `kpray train`, in YAML.")
@click.option("--data", metavar="PATH", help="A kpray run, a file in LLaVA's form, or a training run's folder.")
@click.option("--model", metavar="NAME", help="A folder or a hub's name; its weights are not needed.")
@click.option("--gpus", required=True, metavar="NxKIND", help="Such as 2xA100-80GB, 8xH100, RTX4090.")
@click.option("--samples", type=click.IntRange(min=1), help="Instead of --data.")
@click.option("--tokens-per-sample", type=click.IntRange(min=1), help="With --samples: their mean length.")
@click.option(
    "--mfu", type=click.FloatRange(0.01, 1.0), default=0.3, show_default=True, help="Share of the peak to reckon with."
)
@click.option("--usd-per-gpu-hour", type=click.FloatRange(min=0), help="Without it the cost is unknown.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any configuration value.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary as the last line.")
def train(
    config_file: str | None,
    data: str | None,
    model: str | None,
    gpus: str,
    samples: int | None,
    tokens_per_sample: int | None,
    mfu: float,
    usd_per_gpu_hour: float | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> dict[str, Any]:
    """Tell what `kpray train` would take: memory of each GPU, hours, dollars.

    Reads the model's configuration (not its weights) and how long the samples are. Needs no GPU and starts nothing.
    """
    from kpray.config import load_config
    from kpray.training.config import TrainConfig
    from kpray.training.gpus import parse_gpus

    if samples is not None and tokens_per_sample is None:
        raise click.UsageError("--samples needs --tokens-per-sample beside it")
    if samples is None and data is None and config_file is None:
        raise click.UsageError("give --data, or --samples with --tokens-per-sample")
    count, gpu = parse_gpus(gpus)
    flags = {"data.path": data or ("(none)" if samples else None), "model.name": model, "out": "(none)"}
    config = load_config(TrainConfig, file=config_file, flags=flags, overrides=overrides)
    try:
        from kpray.training.estimate import make_train_plan
        from kpray.training.plan_text import train_plan_text
        from kpray.training.shape import image_text_config
        from kpray.training.workload import given_workload, read_workload
    except ImportError as error:
        raise ConfigError(f"planning needs the training extra ({error}): pip install 'kpray[train]'") from error

    model_config = image_text_config(config.model.name)
    if samples is None or tokens_per_sample is None:
        workload = read_workload(model_config, config.data)
    else:
        longest = config.data.max_length
        workload = given_workload(
            model_config, samples=samples, tokens_per_sample=tokens_per_sample, max_length=longest
        )
    made = make_train_plan(
        config, model_config, workload, gpus=count, gpu=gpu, mfu=mfu, usd_per_gpu_hour=usd_per_gpu_hour
    )
    click.echo(train_plan_text(made))
    return {"status": "planned", **msgspec.json.decode(msgspec.json.encode(made))}
