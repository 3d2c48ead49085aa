"""The `kpray` command: thin, one module per subcommand."""

from __future__ import annotations

import json
import sys

import click

from kpray import __version__
from kpray.cli.check import check
from kpray.cli.export import export
from kpray.cli.gallery import gallery
from kpray.cli.generate import generate
from kpray.cli.ledger import ledger
from kpray.cli.plan import plan
from kpray.cli.report import report
from kpray.cli.serve import serve
from kpray.cli.train import train
from kpray.errors import KprayError

_INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM, as shells give it."""

_CODES = {"incomplete": 3, "damaged": 1}
"""Exit codes by a command's status: a run that ended with requests unanswered, a ledger that cannot all be read."""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  kpray generate --out runs/demo                  a dataset from synthetic scenes: no key, no network
  kpray generate --help                           your own COCO files, your own teacher
  kpray plan --help                               what that would cost
  kpray gallery runs/demo --out gallery.jpg       look at it
  kpray report runs/demo                          all of it on one page, with figures
  kpray ledger show runs/demo                     all replies that were paid for
  kpray train --help                              tune a model on it
  kpray serve --help                              ask that model
""",
)
@click.version_option(__version__, prog_name="kpray")
def cli() -> None:
    """Teach vision-language models to understand human pose and action."""


for _command in (generate, plan, check, report, train, export, serve, ledger, gallery):
    cli.add_command(_command)


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
        click.echo("kpray: stopped; what was done is kept: give the same command to go on", err=True)
        return _fail(_INTERRUPTED, "interrupted", as_json)
    if not isinstance(result, dict):
        return 0
    if as_json:
        click.echo(json.dumps(result))
    return _CODES.get(str(result.get("status")), 0)


def _fail(code: int, message: str, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps({"status": "interrupted" if code == _INTERRUPTED else "failed", "error": message}))
    return code


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `kpray` command and of the jobs; ends the process."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
