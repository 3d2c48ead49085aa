"""`kpray export`."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from kpray.errors import ConfigError


@click.command(
    epilog="""\b
Examples:
  # The newest checkpoint of a run, as a folder that transformers and vLLM load
  kpray export runs/paper-7b --out models/pose-7b
\b
  # An earlier checkpoint; the LoRA adapter alone
  kpray export runs/lora/checkpoints/step-00000500-3f2a9c1d --out models/adapter --keep-adapter
\b
  # And upload it (HF_TOKEN must hold a token that may write)
  kpray export runs/paper-7b --out models/pose-7b --push my-name/pose-7b
"""
)
@click.argument("checkpoint_or_run")
@click.option("--out", required=True, metavar="DIR", help="A new local folder.")
@click.option("--keep-adapter", is_flag=True, help="Write the LoRA adapter alone instead of merging it.")
@click.option("--push", "repo", metavar="REPO", help="Upload the folder to this repository of the Hugging Face hub.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary as the last line.")
def export(checkpoint_or_run: str, out: str, keep_adapter: bool, repo: str | None, as_json: bool) -> dict[str, Any]:
    """Turn a checkpoint of `kpray train` into a model folder.

    CHECKPOINT_OR_RUN is a training run's folder, for its newest complete checkpoint, or one checkpoint's folder.
    """
    try:
        from kpray.training.export import export as write_export
        from kpray.training.export import push, require_token
    except ImportError as error:
        raise ConfigError(f"`kpray export` needs the training extra ({error}): pip install 'kpray[train]'") from error

    if repo:
        require_token()
    done = write_export(checkpoint_or_run, out, merge_lora=not keep_adapter)
    click.echo(
        f"{'adapter' if done.adapter else 'model'} after step {done.step:,}, {done.bytes / 1e9:,.3f} GB of weights"
    )
    click.echo(f"  {done.out}")
    fields: dict[str, Any] = {"status": "complete", **msgspec.to_builtins(done)}
    if repo:
        fields["pushed_to"] = push(done.out, repo)
        click.echo(f"  {fields['pushed_to']}")
    return fields
