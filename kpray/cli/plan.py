"""`kpray plan`."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from kpray.cli.generate import config_from, generate_options


@click.command(
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
"""
)
@generate_options
@click.option(
    "--pilot", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Ask N of the requests."
)
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary as the last line.")
def plan(pilot: int, as_json: bool, **flags: Any) -> dict[str, Any]:
    """Tell what `kpray generate` with the same options would cost and how long it would take.

    Reads the annotations and the run's ledger, and writes nothing but the replies of a pilot.
    """
    from kpray.pipelines.plan import make_plan
    from kpray.pipelines.plan_text import plan_text

    made = make_plan(config_from(**flags), pilot=pilot)
    click.echo(plan_text(made))
    return {"status": "planned", **msgspec.json.decode(msgspec.json.encode(made))}
