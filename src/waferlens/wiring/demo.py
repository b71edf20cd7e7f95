"""``waferlens demo``: the whole path on the synthetic fab, from nothing to inspected images."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from waferlens.images.synth.plans import preset
from waferlens.inspection.files import FileResult, inspect_files
from waferlens.inspection.inspector import Inspector
from waferlens.settings.recipe import load_packaged_recipe
from waferlens.wiring.evaluate import evaluate_bundle
from waferlens.wiring.synth import synthesise
from waferlens.wiring.told import Told
from waferlens.wiring.train import train_bundle


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """Ten inspected images and the facts that a newcomer wants to see."""

    inspections: list[FileResult]
    facts: dict[str, str]


def run_demo(out: Path, *, seed: int, told: Told) -> DemoResult:
    """Synthesise, train, evaluate, inspect. What a finished earlier run left is used again at once."""
    started = time.perf_counter()
    data, bundle, report = out / "data", out / "bundle", out / "report"
    if not (data / "manifest.csv").exists():
        told.say("making wafers of the synthetic fab")
        synthesise(data, preset_name="demo", seed=seed, overrides={}, stage={}, packed=False, count=told.count)
    if not (bundle / "manifest.json").exists():
        train_bundle(
            data,
            load_packaged_recipe("demo"),
            bundle,
            seed=seed,
            command=f"waferlens demo --seed {seed}",
            told=told,
        )
    if not (report / "metrics.json").exists():
        evaluate_bundle(
            bundle,
            data,
            report,
            engine=None,
            with_baselines=True,
            with_ablation=True,
            command="waferlens demo",
            told=told,
        )
    metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    told.say("inspecting ten images")
    results = list(inspect_files(Inspector.load(bundle), _ten_images(data), bundle, out / "heatmaps"))
    auroc = metrics["score"]["image_auroc"]
    facts = {
        "synthetic images": f"{preset('demo').total:,} in {data}",
        "image AUROC": f"{auroc['value']:.3f} [{auroc['low']:.3f}, {auroc['high']:.3f}]",
        "report": str(report / "report.html"),
        "heatmaps": str(out / "heatmaps"),
        "bundle": f"{bundle} (read {bundle / 'card.md'})",
        "took": f"{time.perf_counter() - started:.0f} s",
    }
    return DemoResult(inspections=results, facts=facts)


def _ten_images(data: Path) -> list[Path]:
    """Three normal images, one of each known defect type, and two of novel types."""
    normal = sorted((data / "test" / "good").glob("*.png"))[:3]
    known = [
        sorted(folder.glob("*.png"))[0] for folder in sorted((data / "test").iterdir()) if folder.name != "good"
    ]
    novel = [
        sorted(folder.glob("*.png"))[0]
        for folder in sorted((data / "novel" / "test").iterdir())
        if folder.name != "good"
    ]
    return [*normal, *known, *novel][:10]
