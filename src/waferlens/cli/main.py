"""The ``waferlens`` command."""

from __future__ import annotations

import sys

import typer

from waferlens.cli import console, data, learn, look, ship
from waferlens.errors import WaferlensError

app = typer.Typer(
    name="waferlens",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    help=(
        "Learn what a normal wafer surface looks like, show where an image departs from it, decide PASS, REVIEW "
        "or REJECT.\n\n"
        "A new product needs a folder of normal images and one command: `waferlens train FOLDER --out BUNDLE`. "
        "Nothing leaves this machine."
    ),
)
app.add_typer(data.app, name="data")
app.command("demo")(learn.demo)
app.command("explore")(look.explore)
app.command("baseline")(look.baseline)
app.command("train")(learn.train)
app.command("evaluate")(look.evaluate)
app.command("inspect")(ship.inspect)
app.command("export")(ship.export)
app.command("bench")(ship.bench)


def main() -> None:
    """Run the command line; an error that waferlens raises on purpose is one line and exit code 1."""
    try:
        app()
    except WaferlensError as error:
        console.print_error(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        console.print_error("interrupted; run the same command again to go on where it stopped")
        sys.exit(130)
