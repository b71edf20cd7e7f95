"""``retrain``: from recorded inspections to a challenger in shadow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waferlens.cli import arguments, console
from waferlens.cli.arguments import RecipeFile, Seed
from waferlens.cli.service import Home, operator
from waferlens.errors import OptionsError


def retrain(
    home: Home,
    test: Annotated[
        Path, typer.Option("--test", help="The frozen test set; the same for every run.", show_default=False)
    ],
    run: Annotated[str, typer.Option("--run", help="Its name, such as 2026-07; the same name goes on.")],
    recipe: RecipeFile = None,
    days: Annotated[float, typer.Option("--days", min=0.001, help="Of PASS images, back from now.")] = 90.0,
    until: Annotated[
        str, typer.Option("--until", help="extract, validate, train, evaluate, gate, register or shadow.")
    ] = "shadow",
    audited: Annotated[
        int, typer.Option("--audited", min=0, help="Images of the sample that people audited.")
    ] = 0,
    defective: Annotated[int, typer.Option("--defective", min=0, help="Of them, found defective.")] = 0,
    limits: Annotated[
        Path | None, typer.Option("--limits", help="TOML file with [extract], [poison] and [gate].")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", help="Private key, PEM: signs the trained bundle, also under its new name."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Extract, validate, train, evaluate, gate, register, start shadow: each step is done once, by any number of
    calls.

    Prints the last step's result as JSON. What the gate or a guard refuses is exit code 1, saying why.
    """
    from waferlens.lifecycle.poisoning import Audited
    from waferlens.lifecycle.rollout import Because
    from waferlens.settings.recipe import load_recipe
    from waferlens.settings.retraining import load_limits
    from waferlens.wiring.lifecycle import open_life
    from waferlens.wiring.retrain import STEPS, Retraining, Run
    from waferlens.wiring.told import Told

    if until not in STEPS:
        raise OptionsError("unknown step", expected=", ".join(STEPS), found=until)
    told = load_limits(limits, days)
    with console.progress_bars() as bars:
        retraining = Retraining(
            recipe=load_recipe(recipe),
            test=test,
            seed=seed,
            extract=told.extract,
            poison=told.poison,
            gate=told.gate,
            private_key=key,
            audited=Audited(num_images=audited, num_defective=defective) if audited else None,
        )
        progress = Told(say=bars.say, count=bars.count, watch=bars.watch)
        why = Because(actor=operator(), reason=f"retraining {run}")
        steps = Run(open_life(home), run, retraining, why, progress, arguments.command_line())
        result = steps.until(until)
    console.print_json(result)
