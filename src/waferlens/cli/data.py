"""``data synth`` and ``data check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waferlens.cli import console, tables
from waferlens.cli.arguments import AsJson, DataFolder, RecipeFile, Seed

app = typer.Typer(no_args_is_help=True, help="Make synthetic data, or check your own.")


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="New or empty folder.", show_default=False)],
    preset: Annotated[str, typer.Option(help="`demo` or `case-study`.")] = "demo",
    seed: Seed = 0,
    train: Annotated[int | None, typer.Option(min=0, help="Normal images to learn from.")] = None,
    test_normal: Annotated[int | None, typer.Option(min=0, help="Normal images to evaluate on.")] = None,
    per_known: Annotated[int | None, typer.Option(min=0, help="Images of each known defect type.")] = None,
    per_novel: Annotated[int | None, typer.Option(min=0, help="Images of each novel defect type.")] = None,
    jitter: Annotated[float | None, typer.Option(min=0, help="Stage jitter, standard deviation, pixels.")] = None,
    rotation: Annotated[float | None, typer.Option(min=0, help="Stage rotation, deviation, degrees.")] = None,
    packed: Annotated[bool, typer.Option("--packed", help="Training normals only, as one array.")] = False,
) -> None:
    """Make wafers of the synthetic fab: normal images, five known defect types, and novel ones kept apart.

    The folder is in the MVTec layout with a manifest; the novel types are in OUT/novel, a test set of its own.
    """
    from waferlens.wiring.synth import synthesise

    with console.progress_bars() as bars:
        overrides = {"train": train, "test_normal": test_normal, "per_known": per_known, "per_novel": per_novel}
        num_images = synthesise(
            out,
            preset_name=preset,
            seed=seed,
            overrides=overrides,
            stage={"jitter_sigma_px": jitter, "rotation_sigma_deg": rotation},
            packed=packed,
            count=bars.count,
        )
        bars.say(f"wrote {num_images:,} images to {out}")


@app.command()
def check(data: DataFolder, recipe: RecipeFile = None, as_json: AsJson = False) -> None:
    """Look for what would spoil training or evaluation: corrupt files, duplicates, mask mismatches, odd sizes.

    Exit code 0 when the data can be used, 1 when it cannot. Warnings do not change the exit code.
    """
    from waferlens.images.doctor import check_dataset
    from waferlens.settings.environment import num_workers
    from waferlens.settings.recipe import load_recipe

    with console.progress_bars() as bars:
        report = check_dataset(data, load_recipe(recipe).images, workers=num_workers(), progress=bars.count)
    if as_json:
        console.print_json(report.as_dict())
    else:
        tables.print_data_report(report.as_dict())
    if not report.ok:
        raise typer.Exit(1)
