"""The data sets of docs/results.md, as manifests that ``waferlens benchmark`` reads.

    python bench/datasets.py fab OUT [--jitter 8 --rotation 2]
    python bench/datasets.py cells OUT FOLDER

``fab`` makes wafers of the synthetic fab; known and novel defect types are in one test set, no defect is learned.
``cells`` reads electroluminescence images of solar cells in FOLDER (the one with ``labels.csv``) of the package
``elpv-dataset``, whose licence allows no commercial use and which is no part of this project: 600 cells that all
experts called sound to learn from, 400 more of them and 400 that all called defective as the test set.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

WAFERLENS = Path(sys.executable).with_name("waferlens")
COLUMNS = ("path", "label", "split", "defect_type", "mask")
Row = dict[str, str]


def fab(out: Path, jitter: float | None, rotation: float | None) -> Iterator[Row]:
    """750 normals to learn from; 250 normals, 50 images of each of eight defect types to test."""
    counts = {"--train": 750, "--test-normal": 250, "--per-known": 50, "--per-novel": 50, "--seed": 101}
    counts |= {
        name: value for name, value in (("--jitter", jitter), ("--rotation", rotation)) if value is not None
    }
    told = [str(part) for pair in counts.items() for part in pair]
    subprocess.run([WAFERLENS, "data", "synth", out / "images", *told], check=True)
    root = out / "images"
    yield from (row(image, "train") for image in sorted((root / "train" / "good").glob("*.png")))
    for part in (root, root / "novel"):
        for folder in sorted((part / "test").iterdir()):
            if folder.name == "good" and part != root:
                continue
            for image in sorted(folder.glob("*.png")):
                if folder.name == "good":
                    yield row(image, "test")
                else:
                    mask = part / "ground_truth" / folder.name / f"{image.stem}_mask.png"
                    yield row(image, "test", folder.name, mask)


def cells(folder: Path) -> Iterator[Row]:
    """Probability of a defect as the experts gave it: 0 and 1 only; those between them are in no part."""
    labels = [line.split() for line in (folder / "labels.csv").read_text(encoding="ascii").splitlines() if line]
    rng = np.random.default_rng(101)
    sound, broken = (
        [folder / line[0] for line in rng.permutation(np.asarray(labels)) if abs(float(line[1]) - share) < 0.01]
        for share in (0.0, 1.0)
    )
    yield from (row(image, "train") for image in sound[:600])
    yield from (row(image, "test") for image in sound[600:1000])
    yield from (row(image, "test", "defective") for image in broken[:400])


def row(image: Path, split: str, defect_type: str = "", mask: Path | None = None) -> Row:
    label = "defective" if defect_type else "normal"
    values = (str(image.resolve()), label, split, defect_type, "" if mask is None else str(mask.resolve()))
    return dict(zip(COLUMNS, values, strict=True))


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("what", choices=("fab", "cells"))
    arguments.add_argument("out", type=Path)
    arguments.add_argument("folder", type=Path, nargs="?")
    arguments.add_argument("--jitter", type=float)
    arguments.add_argument("--rotation", type=float)
    told = arguments.parse_args()
    if told.what == "cells" and told.folder is None:
        arguments.error("cells needs the folder with labels.csv")
    told.out.mkdir(parents=True, exist_ok=True)
    rows = fab(told.out, told.jitter, told.rotation) if told.what == "fab" else cells(told.folder)
    with (told.out / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
