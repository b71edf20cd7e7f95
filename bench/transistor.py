"""MVTec AD transistor over seeds: detector and baselines, both scores, and every engine on the test images.

    python bench/transistor.py [--seeds 5] [--recipe recipes/transistor.toml] [--out FILE]
    python bench/transistor.py --recipe recipes/transistor-pixel.toml --work runs/pixel --out FILE

Each seed trains, evaluates and compares through the same commands that a user gives. The data (non-commercial
licence, not part of this project) is looked for in WAFERLENS_DATA, then in ../shared/data. A seed that has
finished is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from waferlens.bundle.contents import load_config, load_reference, load_thresholds
from waferlens.engines.parity import compare, infer_each
from waferlens.engines.runtimes import ENGINES, open_engine
from waferlens.images.cache import pack_in_memory
from waferlens.images.layouts import read_dataset

WAFERLENS = Path(sys.executable).with_name("waferlens")


def data_folder() -> Path:
    for base in (os.environ.get("WAFERLENS_DATA"), "../shared/data"):
        if base and (Path(base) / "mvtec-transistor-256").is_dir():
            return Path(base) / "mvtec-transistor-256"
    sys.exit("MVTec AD transistor was not found: set WAFERLENS_DATA to the folder that holds mvtec-transistor-256")


def run_seed(data: Path, recipe: Path, seed: int, work: Path) -> dict[str, Any]:
    bundle, report, result = work / f"bundle-{seed}", work / f"report-{seed}", work / f"seed-{seed}.json"
    if result.exists():
        return json.loads(result.read_text())
    if not (bundle / "manifest.json").exists():
        subprocess.run(
            [WAFERLENS, "train", data, "--recipe", recipe, "--out", bundle, "--seed", str(seed)], check=True
        )
    started = time.perf_counter()
    subprocess.run([WAFERLENS, "evaluate", bundle, data, "--out", report], check=True, stdout=subprocess.DEVNULL)
    metrics = json.loads((report / "metrics.json").read_text())
    baselines = metrics.pop("baselines")
    learned = json.loads((bundle / "metrics.json").read_text())
    content = {
        "seed": seed,
        "methods": {load_config(bundle).detector["network"]["kind"]: metrics, **baselines},
        "recipe": recipe.name,
        "num_parameters": load_config(bundle).num_parameters,
        "training_seconds": learned["training_seconds"],
        "num_epochs": learned["num_epochs"],
        "evaluation_seconds": time.perf_counter() - started,
        "parity": test_parity(bundle, data),
    }
    result.write_text(json.dumps(content, indent=2))
    return content


def test_parity(bundle: Path, data: Path) -> list[dict[str, Any]]:
    """Every engine against eager PyTorch on all test images, one by one."""
    pixels = pack_in_memory(read_dataset(data).test, load_config(bundle).images).pixels
    thresholds, deviation = load_thresholds(bundle), float(load_reference(bundle).scores.std(ddof=1))
    reference = infer_each(open_engine("pytorch", bundle), pixels)
    others = (open_engine(name, bundle) for name in ENGINES if name != "pytorch")
    return [compare(engine, reference, pixels, thresholds, deviation).as_dict() for engine in others]


def summarise(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean, standard deviation, least and most of every figure over the seeds."""
    table: dict[str, Any] = {}
    methods = sorted({name for run in runs for name in run["methods"]})
    for method in methods:
        for score in ("score", "reconstruction_error"):
            for figure in ("image_auroc", "image_auprc", "fnr_at_fpr5", "pixel_auroc", "aupro"):
                values = [
                    run["methods"][method][score][figure]["value"] for run in runs if method in run["methods"]
                ]
                numbers = np.asarray([value for value in values if value is not None])
                if len(numbers):
                    table.setdefault(method, {}).setdefault(score, {})[figure] = {
                        "mean": float(numbers.mean()),
                        "std": float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0,
                        "min": float(numbers.min()),
                        "max": float(numbers.max()),
                        "num_seeds": len(numbers),
                    }
    return table


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--recipe", type=Path, default=Path("recipes/transistor.toml"))
    arguments.add_argument("--work", type=Path, default=Path("runs/features"))
    arguments.add_argument("--out", type=Path, default=Path("runs/bench/features.json"))
    told = arguments.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    told.out.parent.mkdir(parents=True, exist_ok=True)
    runs = []
    for seed in range(told.seeds):
        runs.append(run_seed(data_folder(), told.recipe, seed, told.work))
        summary = summarise(runs)
        told.out.write_text(json.dumps({"summary": summary, "runs": runs}, indent=2) + "\n")
        for method, scores in summary.items():
            for score, figures in scores.items():
                line = "  ".join(f"{name} {value['mean']:.4f}" for name, value in figures.items())
                print(f"{len(runs)} seed(s)  {method:12} {score:21} {line}", flush=True)


if __name__ == "__main__":
    main()
