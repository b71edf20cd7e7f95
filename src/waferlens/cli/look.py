"""``explore``, ``baseline``, ``benchmark``, ``evaluate``: looking at data and at what a detector makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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


def benchmark(
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", help="Folder for bundles, reports and the table.")] = Path(
        "runs/benchmark"
    ),
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds from 0; each draws its own split.")] = 5,
    recipe: Annotated[
        list[Path] | None,
        typer.Option("--recipe", help="TOML file, given once for each; without it `default` and `pixel`."),
    ] = None,
    normals: Annotated[
        int | None, typer.Option("--normals", min=20, help="Learn from that many normal images only.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Detectors and baselines over seeds: one table with spreads, intervals, parameters, seconds, latency.

    Give it the whole machine, for seconds are measured. Finished runs are kept in OUT and not done again.
    """
    from waferlens.settings.recipe import load_packaged_recipe, load_recipe
    from waferlens.wiring.benchmark import run_benchmark
    from waferlens.wiring.told import Told

    recipes = [load_recipe(path) for path in recipe or ()] or [
        load_packaged_recipe(name) for name in ("default", "pixel")
    ]
    with console.progress_bars() as bars:
        told = Told(say=bars.say, count=bars.count, watch=bars.watch)
        found = run_benchmark(
            data, recipes, out, seeds=seeds, normals=normals, command=arguments.command_line(), told=told
        )
        bars.say(f"wrote {out / 'benchmark.json'} and {out / 'benchmark.md'}")
    if as_json:
        console.print_json(
            {name: {key: s.as_dict() for key, s in row.items()} for name, row in found.table.items()}
        )
    else:
        tables.print_benchmark(found.table)


def evaluate(
    bundle: BundleFolder,
    data: DataFolder,
    out: ReportFolder,
    engine: Annotated[str | None, typer.Option(help="Instead of the bundle's default engine.")] = None,
    baselines: Annotated[
        bool, typer.Option(help="Also fit and score the baselines, and the score with steps left out.")
    ] = True,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also score disturbed images; takes minutes.")
    ] = False,
    pod: Annotated[
        bool, typer.Option("--pod", help="Also plant defects on the normal images; takes minutes.")
    ] = False,
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
            bundle,
            data,
            out,
            engine=engine,
            with_baselines=baselines,
            with_ablation=baselines,
            with_robustness=robustness,
            with_pod=pod,
            command=arguments.command_line(),
            told=told,
        )
        bars.say(f"wrote {out / 'report.html'} and {out / 'metrics.json'}")
    if as_json:
        console.print_json(metrics)
    else:
        tables.print_metrics({metrics["bundle"]: metrics, **metrics["baselines"]})


def robustness(
    bundle: BundleFolder,
    data: DataFolder,
    out: ReportFolder,
    images: Annotated[int, typer.Option(min=1, help="Of each class, at most.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of noise and directions.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Disturb labelled images as a line would (light, focus, stage, coding) and see what it costs.

    Writes robustness.json and robustness.png. Levels that cost more than 0.02 AUROC are marked.
    """
    from waferlens.wiring.robustness import robustness_bundle
    from waferlens.wiring.told import Told

    with console.progress_bars() as bars:
        told = Told(say=bars.say, count=bars.count, watch=bars.watch)
        found = robustness_bundle(
            bundle, data, out, num_images=images, seed=seed, command=arguments.command_line(), told=told
        )
        bars.say(f"wrote {out / 'robustness.json'} and {out / 'robustness.png'}")
    if as_json:
        console.print_json(found)
    else:
        tables.print_robustness(found)


def pod(
    bundle: BundleFolder,
    data: DataFolder,
    out: ReportFolder,
    images: Annotated[int, typer.Option(min=1, help="Normal images, at most.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Of the planted defects.")] = 0,
    threshold: Annotated[
        Literal["review", "reject"], typer.Option(help="From which decision on a defect counts as found.")
    ] = "review",
    as_json: AsJson = False,
) -> None:
    """Plant defects of known size on normal images: from which size on are they found (POD, MIL-HDBK-1823A).

    Needs no defective image. Takes normal test images, or others that the bundle was not trained on. Writes
    pod.json, pod.svg and pod.png.
    """
    from waferlens.wiring.pod import pod_bundle
    from waferlens.wiring.told import Told

    with console.progress_bars() as bars:
        told = Told(say=bars.say, count=bars.count, watch=bars.watch)
        found = pod_bundle(
            bundle,
            data,
            out,
            num_images=images,
            seed=seed,
            alarm=threshold,
            command=arguments.command_line(),
            told=told,
        )
        bars.say(f"wrote {out / 'pod.json'}, {out / 'pod.svg'} and {out / 'pod.png'}")
    if as_json:
        console.print_json(found)
    else:
        tables.print_pod(found)
