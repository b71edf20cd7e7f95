"""``train`` and ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waferlens.cli import arguments, console, tables
from waferlens.cli.arguments import DataFolder, RecipeFile, Seed

OutFolder = Annotated[Path, typer.Option("--out", help="Folder of the bundle.", show_default=False)]


def train(
    data: DataFolder,
    out: OutFolder,
    recipe: RecipeFile = None,
    seed: Seed = 0,
    devices: Annotated[int | None, typer.Option(min=1, help="Processes that share the work.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    damaged: Annotated[
        int | None,
        typer.Option(min=0, help="Damaged images for the discriminator, instead of the recipe's; 0: none."),
    ] = None,
) -> None:
    """Learn from normal images: train, calibrate, set thresholds, export, check parity.

    Only normal images are used. A run that was killed goes on where it stood when the same command is given again.
    """
    from waferlens.settings.recipe import load_recipe, with_training
    from waferlens.wiring.told import Told
    from waferlens.wiring.train import train_bundle

    chosen = with_training(load_recipe(recipe), devices=devices, epochs=epochs, damaged=damaged)
    with console.progress_bars() as bars:
        told = Told(say=bars.say, count=bars.count, watch=bars.watch)
        train_bundle(data, chosen, out, seed=seed, command=arguments.command_line(), told=told)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Where everything goes.")] = Path("runs/demo"),
    seed: Seed = 0,
    serve_seconds: Annotated[
        float, typer.Option("--serve-seconds", min=0, help="How long the service stays up; inf: until Ctrl-C.")
    ] = 20,
    rules: Annotated[
        Path, typer.Option("--rules", help="Prometheus's rules: alarms then go to an Alertmanager, if installed.")
    ] = Path("deploy/prometheus/waferlens.rules.yml"),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Of the service; 0: a free one.")] = 0,
) -> None:
    """From nothing to a trained detector on the synthetic fab, its report, days of a line, the service."""
    from waferlens.wiring.demo import run_demo
    from waferlens.wiring.told import Told

    with console.progress_bars() as bars:
        told = Told(say=bars.say, count=bars.count, watch=bars.watch)
        result = run_demo(out, seed=seed, told=told)
        facts = dict(result.facts)
        if serve_seconds > 0:
            from waferlens.web.demo import serve_demo

            facts |= serve_demo(
                out / "bundle",
                out / "data",
                out / "service",
                port=port,
                seconds=serve_seconds,
                rules=rules,
                told=told,
            )
    tables.print_inspections(result.inspections)
    tables.print_facts("The demo in figures", facts)
