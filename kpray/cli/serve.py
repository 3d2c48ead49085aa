"""`kpray serve`."""

from __future__ import annotations

import math
import os
from typing import Any

import click
import yaml

from kpray.errors import ConfigError
from kpray.serving.config import ModelAppConfig

_EXAMPLE_BODY = '{"model": "%s", "messages": [{"role": "user", "content": "What is a plank?"}]}'


@click.command(
    epilog="""\b
Examples:
  # A model that `kpray train` wrote, for this machine
  kpray serve runs/tiny
\b
  # Base and tuned side by side
  kpray serve --model base=tiny-base --model tuned=runs/tiny/model
\b
  # For other machines: with a key
  KPRAY_API_KEYS=$(openssl rand -hex 32) kpray serve runs/tiny --host 0.0.0.0

It ends with Ctrl-C, when all answers under way are given. On a cluster: `serve run serve/model.yaml`.
"""
)
@click.argument("model", required=False)
@click.option("--name", metavar="NAME", help="What clients call MODEL [default: its folder's name].")
@click.option("--model", "more", multiple=True, metavar="NAME=PATH", help="A model by name; may be repeated.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind; all but loopback need a key.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port to bind.")
@click.option("--engine", type=click.Choice(["auto", "transformers", "vllm"]), help="What answers [default: auto].")
@click.option("--gpus", type=float, metavar="N", help="GPUs of each copy [default: 1 where there is any].")
@click.option("--cpus", type=float, metavar="N", help="CPUs of each copy [default: 1].")
@click.option("--threads", type=int, metavar="N", help="Threads of torch on a CPU [default: 1].")
@click.option("--batch-size", type=int, metavar="N", help="Requests answered in one pass [default: 16].")
@click.option("--max-length", type=int, metavar="N", help="Prompt and answer together, in tokens.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Other keys, e.g. limits.images=2.")
@click.option("--dry-run", is_flag=True, help="Check everything and show the configuration; start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary as the last line.")
def serve(
    model: str | None,
    name: str | None,
    more: tuple[str, ...],
    host: str,
    port: int,
    overrides: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **settings: Any,
) -> dict[str, Any]:
    """Answer OpenAI's chat API with MODEL, a folder or a hub's name."""
    from kpray.serving.running import check_before_start, require_packages

    require_packages()
    given = {key: value for key, value in settings.items() if value is not None}
    models = [{"name": key, "path": path} | given for key, path in _models(model, name, more)]
    config, who = check_before_start(_arguments(models, overrides), host=host, port=port)
    if dry_run:
        click.echo(_as_yaml(config))
        return {"status": "dry-run"}
    from kpray.pipelines.session import start_ray, stop_ray
    from kpray.serving.running import run_until_stopped

    click.echo("loading ...", err=True)
    # Ray only counts them; a replica of vLLM takes one more for itself than for its engine.
    needed = sum((served.cpus + 1) * served.scaling.most for served in config.models)
    start_ray(num_cpus=max(os.cpu_count() or 1, math.ceil(needed)))
    try:
        run_until_stopped(
            config, host=host, port=port, on_ready=lambda: click.echo(_ready(config, who, host=host, port=port))
        )
    finally:
        stop_ray()
    return {"status": "stopped"}


def _models(model: str | None, name: str | None, more: tuple[str, ...]) -> list[tuple[str, str]]:
    from kpray.serving.running import model_folder, model_name

    if not (model or more) or (name and not model):
        raise ConfigError("name a model: `kpray serve FOLDER`, or one or more with --model NAME=FOLDER")
    found = []
    for text in more:
        key, equals, path = text.partition("=")
        if not (key and equals and path):
            raise ConfigError(f"--model takes NAME=PATH, for example --model base=tiny-base; found {text!r}")
        found.append((key, model_folder(path)))
    first = [(name or model_name(model_folder(model)), model_folder(model))] if model else []
    return first + found


def _arguments(models: list[dict[str, Any]], overrides: tuple[str, ...]) -> dict[str, Any]:
    """The application's ``args``; `overrides` are dotted keys beside ``models``."""
    args: dict[str, Any] = {"models": models}
    for text in overrides:
        key, equals, value = text.partition("=")
        group, dot, last = key.partition(".")
        if not equals or not dot or group == "models":
            raise ConfigError(f"--set takes limits.KEY=VALUE or address.KEY=VALUE; found {text!r}")
        args.setdefault(group, {})[last] = yaml.safe_load(value)
    return args


def _as_yaml(config: ModelAppConfig) -> str:
    import msgspec

    return yaml.safe_dump(msgspec.to_builtins(config), sort_keys=False).rstrip()


def _ready(config: ModelAppConfig, who: str, *, host: str, port: int) -> str:
    names = [served.name for served in config.models]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    with_key = bool(os.environ.get(config.address.keys_env, "").strip(", "))
    key = f' -H "Authorization: Bearer ${config.address.keys_env}"' if with_key else ""
    body = _EXAMPLE_BODY % names[0]
    return (
        f"{', '.join(names)} at {url}/v1\n"
        f"{who}\n"
        f"  curl {url}/v1/chat/completions{key} -H 'Content-Type: application/json' -d '{body}'\n"
        "Ctrl-C ends it."
    )
