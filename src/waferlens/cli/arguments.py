"""Arguments and options that several commands share."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

DataFolder = Annotated[
    Path,
    typer.Argument(
        help="Images: an MVTec-style folder (train/good, test/TYPE, ground_truth/TYPE), a plain folder of normal "
        "images, or a CSV or Parquet manifest.",
        show_default=False,
    ),
]
BundleFolder = Annotated[Path, typer.Argument(help="A bundle that `train` wrote.", show_default=False)]
RecipeFile = Annotated[
    Path | None,
    typer.Option("--recipe", help="TOML file of the product and layer; without it the default recipe."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, data and recipe: same result.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output on standard output.")]


def command_line() -> str:
    """What was typed, for the record; only the last part of the program's path."""
    return shlex.join(["waferlens", *sys.argv[1:]])
