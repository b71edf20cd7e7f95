"""``waferlens benchmark``: detectors and baselines over seeds on one data set, through the steps a user takes.

Every seed draws its own split of the normal images, its own weights and augmentation. A run that has finished is
kept in ``out`` and not done again.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from waferlens.bundle.contents import load_samples, read_json
from waferlens.engines.bench import single_image_latency
from waferlens.engines.parity import PARITY_FILE, default_engine
from waferlens.engines.runtimes import open_engine
from waferlens.errors import DataError, OptionsError
from waferlens.evaluation.benchmark import Spread, markdown, spreads
from waferlens.images.layouts import Dataset, read_dataset
from waferlens.images.manifest import COLUMNS
from waferlens.records import ImageRef, Label
from waferlens.settings.recipe import Recipe, with_training
from waferlens.training.schedule import seed_for
from waferlens.wiring.evaluate import evaluate_bundle
from waferlens.wiring.told import Told
from waferlens.wiring.train import train_bundle

_CALLS = 50


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """The table, and what every seed found.

    runs: one mapping a seed, from method to its metrics. table: method to figure to its spread.
    """

    table: dict[str, dict[str, Spread]]
    runs: tuple[dict[str, dict[str, Any]], ...]


def run_benchmark(
    data: Path, recipes: Sequence[Recipe], out: Path, *, seeds: int, normals: int | None, command: str, told: Told
) -> Benchmark:
    """Train, evaluate and time every recipe and the baselines, seed by seed from 0.

    normals: how many normal images each seed draws to learn from and calibrate on; None for all. Writes
    ``out/benchmark.json`` and ``out/benchmark.md`` after every seed. Baselines are run beside the first recipe.

    Raises OptionsError when two recipes have one name, DataError without test images or with too few normal ones.
    """
    names = [recipe.name for recipe in recipes]
    if len(set(names)) < len(names):
        raise OptionsError(
            "recipes of a benchmark", expected="each with a name of its own", found=", ".join(names)
        )
    out.mkdir(parents=True, exist_ok=True)
    dataset = read_dataset(data)
    found = Benchmark(table={}, runs=())
    for seed in range(seeds):
        source = data if normals is None else _drawn(dataset, normals, seed, out / f"normals-{seed}.csv")
        methods: dict[str, dict[str, Any]] = {}
        for recipe in recipes:
            told.say(f"seed {seed}, recipe {recipe.name}")
            found_here = _run(source, recipe, out / recipe.name, seed, recipe is recipes[0], command, told)
            methods |= {_named(method, recipe, recipes): metrics for method, metrics in found_here.items()}
        runs = (*found.runs, methods)
        found = Benchmark(table=spreads(runs), runs=runs)
        _write(found, out, dataset, normals, command)
    return found


def _run(
    data: Path, recipe: Recipe, folder: Path, seed: int, with_baselines: bool, command: str, told: Told
) -> dict[str, dict[str, Any]]:
    """Metrics of the recipe's detector, of its score with steps left out, and of baselines where asked for."""
    # On one device, in this process: seconds then compare.
    recipe = with_training(recipe, devices=1)
    bundle, report, result = (folder / f"{what}-{seed}" for what in ("bundle", "report", "metrics"))
    result = result.with_suffix(".json")
    key = _key(data, recipe, with_baselines)
    kept = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
    if kept.get("key") == key:
        methods: dict[str, dict[str, Any]] = kept["methods"]
        return methods
    train_bundle(data, recipe, bundle, seed=seed, command=command, told=told)
    metrics = evaluate_bundle(
        bundle,
        data,
        report,
        engine=None,
        with_baselines=with_baselines,
        with_ablation=True,
        command=command,
        told=told,
    )
    baselines, ablation = metrics.pop("baselines"), metrics.pop("ablation")
    learned = read_json(bundle / "metrics.json")
    metrics |= {
        "fit_seconds": learned["fit_seconds"],
        "latency_ms": _latency(bundle),
        "parity": read_json(bundle / PARITY_FILE)["engines"],
    }
    kind = recipe.network.kind
    methods = {kind: metrics, **{f"{kind}, {step}": found for step, found in ablation.items()}, **baselines}
    result.write_text(json.dumps({"key": key, "methods": methods}, indent=2) + "\n", encoding="utf-8")
    return methods


def _named(method: str, recipe: Recipe, recipes: Sequence[Recipe]) -> str:
    """A detector goes by its kind; by its recipe too, where two recipes make the same kind."""
    kind, _, step = method.partition(", ")
    alike = [other for other in recipes if other.network.kind == kind]
    return f"{kind} ({recipe.name}){step and ', '}{step}" if len(alike) > 1 else method


def _latency(bundle: Path) -> float:
    """Milliseconds of one image in the bundle's default engine on one thread, median."""
    engine = open_engine(default_engine(bundle), bundle, threads=1)
    return single_image_latency(engine.infer, load_samples(bundle).held_out[:1], num_calls=_CALLS)


def _key(data: Path, recipe: Recipe, with_baselines: bool) -> str:
    """What a kept result depends on, short of the seed: other data, recipes or normals are another run."""
    files = hashlib.sha256()
    dataset = read_dataset(data)
    for ref in (*dataset.train, *dataset.test):
        files.update(f"{ref.name} {ref.label} {ref.path.stat().st_size}\n".encode())
    told = json.dumps([files.hexdigest(), recipe.model_dump(mode="json"), with_baselines], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _drawn(dataset: Dataset, normals: int, seed: int, manifest: Path) -> Path:
    """A manifest of the data set with ``normals`` of its normal training images, drawn by the seed."""
    if normals > len(dataset.train):
        raise DataError(
            f"{dataset.root}: too few normal images", expected=f"{normals} or more", found=str(len(dataset.train))
        )
    rng = np.random.default_rng(seed_for(seed, "normals"))
    chosen = sorted(rng.choice(len(dataset.train), normals, replace=False))
    train = [dataset.train[row] for row in chosen]
    lines = [*(_line(ref, "train") for ref in train), *(_line(ref, "test") for ref in dataset.test)]
    with manifest.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(lines)
    return manifest


def _line(ref: ImageRef, part: str) -> dict[str, str]:
    told = {
        "path": str(ref.path.resolve()),
        "label": str(ref.label),
        "split": part,
        "lot": ref.lot,
        "wafer": ref.wafer,
        "inspection_point": ref.inspection_point,
        "defect_type": ref.defect_type if ref.label is Label.DEFECTIVE else None,
        "mask": None if ref.mask is None else str(ref.mask.resolve()),
    }
    return {name: "" if value is None else str(value) for name, value in told.items()}


def _write(found: Benchmark, out: Path, dataset: Dataset, normals: int | None, command: str) -> None:
    content = {
        "command": command,
        "data": _described(dataset, normals),
        "num_seeds": len(found.runs),
        "table": {
            method: {figure: spread.as_dict() for figure, spread in row.items()}
            for method, row in found.table.items()
        },
        "runs": [{method: _without_detail(metrics) for method, metrics in run.items()} for run in found.runs],
    }
    (out / "benchmark.json").write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    (out / "benchmark.md").write_text("\n".join(markdown(found.table)) + "\n", encoding="utf-8")


def _described(dataset: Dataset, normals: int | None) -> dict[str, int]:
    bad = sum(ref.label is Label.DEFECTIVE for ref in dataset.test)
    return {
        "num_normals": normals or len(dataset.train),
        "num_test_normal": len(dataset.test) - bad,
        "num_test_defective": bad,
    }


def _without_detail(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What a table may be made of; images by name and provenance stay in the report's own file."""
    kept = ("score", "reconstruction_error", "per_defect_type", "operating_point", "one_false_alarm", "decision",
            "counts", "num_parameters", "fit_seconds", "latency_ms", "parity")  # fmt: skip
    return {name: metrics.get(name) for name in kept}
