"""The ``waferlens`` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from waferlens.cli import (
    bundles,
    console,
    data,
    learn,
    look,
    models,
    monitor,
    retraining,
    returns,
    review,
    rollout,
    service,
    ship,
    triton,
    upkeep,
)
from waferlens.cli.defaulting import DefaultingGroup
from waferlens.errors import WaferlensError

_INTERRUPTED = 130

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
app.add_typer(bundles.app, name="bundle")
app.add_typer(triton.app, name="triton")
app.add_typer(models.app, name="models")
app.add_typer(rollout.app, name="rollout")
app.command("demo")(learn.demo)
app.command("explore")(look.explore)
app.command("baseline")(look.baseline)
app.command("train")(learn.train)
app.command("benchmark")(look.benchmark)
app.command("evaluate")(look.evaluate)
app.command("robustness")(look.robustness)
app.command("pod")(look.pod)
app.command("inspect")(ship.inspect)
app.command("export")(ship.export)
app.command("replay")(rollout.replay)
app.command("retrain")(retraining.retrain)
bench_app = typer.Typer(cls=DefaultingGroup, help="Time the engines of a bundle, or a service that runs.")
bench_app.command("engines")(ship.bench)
bench_app.command("serve")(service.bench_serve)
app.add_typer(bench_app, name="bench")
app.command("serve")(service.serve)
app.command("client")(service.client)
app.command("backup")(upkeep.backup)
app.command("restore")(upkeep.restore)
app.command("prune")(upkeep.prune)
app.command("roi")(returns.roi)
app.add_typer(service.keys_app, name="keys")
app.add_typer(service.users_app, name="users")
app.add_typer(service.audit_app, name="audit")
app.add_typer(review.app, name="review")
app.add_typer(monitor.app, name="monitor")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that waferlens raises on purpose is one line and exit code 1.

    So is an error of the operating system: a full disk, a file where a folder should be. arguments: None for
    those of the process.
    """
    try:
        app(arguments)
    except WaferlensError as error:
        console.print_error(str(error))
        sys.exit(1)
    except ModuleNotFoundError as error:
        extras = "waferlens[train], or waferlens[serve] to inspect only"
        console.print_error(f"{error.name} is not installed; expected one of the extras {extras}")
        sys.exit(1)
    except OSError as error:
        console.print_error(str(error))
        sys.exit(1)
    except SystemExit as ended:
        # Typer turns Ctrl-C into this exit code, without a word.
        if ended.code == _INTERRUPTED:
            console.print_error("interrupted; run the same command again to go on where it stopped")
        raise
