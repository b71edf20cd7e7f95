"""``explore``, ``baseline`` and ``evaluate``: looking at data and at what a detector makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waferlens.cli import arguments, console, tables
from waferlens.cli.arguments import AsJson, BundleFolder, DataFolder, RecipeFile, Seed

ReportFolder = Annotated[Path, typer.Option("--out", help="Folder for report and figures.", show_default=False)]


def explore(data: DataFolder, out: ReportFolder, recipe: RecipeFile = None, seed: Seed = 0) -> None:
    """Look at the data before any model: what normal looks like, how defects differ, would a threshold do."""
    from waferlens.settings.recipe import load_recipe
    from waferlens.wiring.explore import explore_data
    from waferlens.wiring.told import Told

    with console.progress_bars() as bars:
        told = Told(say=bars.say, count=bars.count, watch=bars.watch)
        page = explore_data(data, load_recipe(recipe), out, seed=seed, told=told)
        bars.say(f"wrote {page}")


def baseline(
    data: DataFolder, out: ReportFolder, recipe: RecipeFile = None, seed: Seed = 0, as_json: AsJson = False
) -> None:
    """What a detector has to beat: PCA for several k, and Gabor and LBP features with a one-class SVM."""
    from waferlens.settings.recipe import load_recipe
    from waferlens.wiring.baseline import baseline_data
    from waferlens.wiring.told import Told

    with console.progress_bars() as bars:
        told = Told(say=bars.say, count=bars.count, watch=bars.watch)
        metrics = baseline_data(data, load_recipe(recipe), out, seed=seed, told=told)
        bars.say(f"wrote {out / 'metrics.json'}")
    if as_json:
        console.print_json(metrics)
    else:
        tables.print_metrics(metrics)


def evaluate(
    bundle: BundleFolder,
    data: DataFolder,
    out: ReportFolder,
    engine: Annotated[str | None, typer.Option(help="Instead of the bundle's default engine.")] = None,
    baselines: Annotated[bool, typer.Option(help="Also fit and score the baselines.")] = True,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle on labelled images: report.html for people, metrics.json for scripts.

    Every rate comes with its 95 % interval. Nothing is chosen on these images.
    """
    from waferlens.wiring.evaluate import evaluate_bundle
    from waferlens.wiring.told import Told

    with console.progress_bars() as bars:
        told = Told(say=bars.say, count=bars.count, watch=bars.watch)
        metrics = evaluate_bundle(
            bundle, data, out, engine=engine, with_baselines=baselines, command=arguments.command_line(), told=told
        )
        bars.say(f"wrote {out / 'report.html'} and {out / 'metrics.json'}")
    if as_json:
        console.print_json(metrics)
    else:
        tables.print_metrics({metrics["bundle"]: metrics, **metrics["baselines"]})
