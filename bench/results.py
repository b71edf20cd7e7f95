"""Writes docs/results.md from what the benchmarks left in runs/bench. Computes nothing but differences and means.

make results        runs the benchmarks that are missing, then this
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from watch_results import BEGINS

FIGURES = {
    "image_auroc": "image AUROC",
    "image_auprc": "image AUPRC",
    "fnr_at_fpr5": "FNR at FPR 5 %",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
}
SCORES = {"score": "calibrated score", "reconstruction_error": "a(x)"}


def machine() -> str:
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    model = next(
        (line.split(":")[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")), "?"
    )
    flags = [flag for flag in ("avx512_bf16", "avx512_vnni", "amx_bf16") if flag in cpuinfo]
    return f"{model}, {cpuinfo.count('processor')} cores, {', '.join(flags) or 'no bf16 or int8 instructions'}"


def transistor(content: dict[str, Any]) -> Iterator[str]:
    runs, summary = content["runs"], content["summary"]
    seconds = [run["training_seconds"] for run in runs]
    detector = next(name for name in runs[0]["methods"] if name.endswith("-vae"))
    yield f"\n## MVTec AD transistor, {detector}\n"
    yield (
        f"`recipes/{runs[0].get('recipe', 'transistor.toml')}`, {len(runs)} seed(s) from 0: each draws its own split of the 213 normal images "
        f"(170 to learn from, 43 held out), its own weights and augmentation; PCA and the texture features learn from the "
        f"same split. Official test set, 60 normal and 40 defective images. Mean over seeds, with the standard deviation. "
        f"Training took {min(seconds):.0f} to {max(seconds):.0f} s on a machine that did other work at the time.\n"
    )
    yield "| method | score | " + " | ".join(FIGURES.values()) + " |"
    yield "| --- | --- |" + " --- |" * len(FIGURES)
    order = sorted(summary, key=lambda name: (name != detector, not name.startswith("pca"), len(name), name))
    for method in order:
        for score, title in SCORES.items():
            if score in summary[method]:
                cells = [_cell(summary[method][score].get(figure), figure) for figure in FIGURES]
                yield f"| {method} | {title} | " + " | ".join(cells) + " |"
    yield "\nImage AUROC of the calibrated score, seed by seed:\n"
    yield "| method | " + " | ".join(f"seed {run['seed']}" for run in runs) + " |"
    yield "| --- |" + " --- |" * len(runs)
    for method in order:
        cells = [_estimate(run["methods"].get(method, {}).get("score", {}).get("image_auroc")) for run in runs]
        yield f"| {method} | " + " | ".join(cells) + " |"
    yield "\nEvery engine against eager PyTorch on all 100 test images (differences in normal deviations):\n"
    yield "| engine | largest difference over the seeds | bound | images decided otherwise | passed |"
    yield "| --- | --- | --- | --- | --- |"
    for entries in zip(*(run["parity"] for run in runs), strict=True):
        yield (
            f"| {entries[0]['engine']} | {max(entry['max_difference'] for entry in entries):.1e} | "
            f"{entries[0]['bound']:g} | {sum(entry['num_other_decisions'] for entry in entries)} of {100 * len(runs)} | "
            f"{sum(entry['passed'] for entry in entries)} of {len(entries)} seeds |"
        )


def training(content: dict[str, Any]) -> Iterator[str]:
    yield "\n## Training throughput on the CPU\n"
    rates = {name: [run["images_per_second"] for run in runs] for name, runs in content["runs"].items()}
    yield (
        f"Default network, batch {content['batch_size']}, {content['threads']} threads, {content['steps']} steps from the same weights on the "
        f"same batches, {len(rates['plain'])} rounds in turns. Plain float32 loop: "
        f"{min(rates['plain']):.1f} to {max(rates['plain']):.1f} images/s. `waferlens train`: "
        f"{min(rates['product']):.1f} to {max(rates['product']):.1f}. **Ratio {content['ratio_median']:.2f}** "
        f"[{content['ratio_min']:.2f}, {content['ratio_max']:.2f}]; final held-out losses differ by at most "
        f"{content['loss_difference_max']:.2%}.\n"
    )


def engines(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield f"\n## Latency of one call, {rows[0]['threads']} thread\n"
    yield (
        "Canonical pixels in, five outputs out; engines take turns. Floor: operations of the batch over the measured "
        "float32 matrix product rate of one thread (8-bit operations are cheaper, so that engine may go below it).\n"
    )
    yield "| engine | batch | mean ms | p50 | p99 | images/s | floor ms | speed-up | file MB | peak MB |"
    yield "| --- |" + " --- |" * 9
    for row in rows:
        name = row["engine"] if row["device"] == "cpu" else f"{row['engine']} ({row['device']})"
        peak = "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
        yield (
            f"| {name} | {row['batch']} | {row['mean_ms']:.1f} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} | "
            f"{row['images_per_second']:.1f} | {row['floor_ms']:.1f} | {row['speedup']:.2f} | {row['size_mb']:.1f} | "
            f"{peak} |"
        )


def gpu(content: dict[str, Any]) -> Iterator[str]:
    yield "\n## GPU\n"
    if content["device"] is None:
        yield (
            "No GPU was on the machine that made this page: training images a second, the projection to 500,000 images "
            "x 50 epochs, and GPU latency were **not measured**. `make results` on a machine with CUDA fills them in.\n"
        )
        return
    yield (
        f"{content['device']}, batch {content['batch']}: {content['images_per_second']:,.0f} training images/s; 500,000 "
        f"images x 50 epochs would take {content['projected_hours']:.2f} hours. Peak memory "
        f"{content['peak_memory_gib']:.1f} GiB.\n"
    )


def _cell(figure: dict[str, float] | None, name: str) -> str:
    if figure is None:
        return "-"
    form = ".1%" if name == "fnr_at_fpr5" else ".4f"
    spread = f" ± {figure['std']:{form}}" if figure["num_seeds"] > 1 else ""
    return f"{figure['mean']:{form}}{spread}"


def _estimate(figure: dict[str, float] | None) -> str:
    return "-" if figure is None else f"{figure['value']:.4f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bench", type=Path, default=Path("runs/bench"))
    arguments.add_argument("--out", type=Path, default=Path("docs/results.md"))
    told = arguments.parse_args()
    parts = {
        "transistor": transistor,
        "features": transistor,
        "training": training,
        "engines": engines,
        "gpu": gpu,
    }
    lines = [
        "# Results\n",
        f"Measured on {datetime.date.today().isoformat()} with Python {platform.python_version()} on: {machine()}. "
        "Brackets are 95 % intervals of one run; ± is the standard deviation over seeds. `make results` makes this page "
        "again. No choice was made on a test set ([how](evaluation.md)).\n",
    ]
    for name, section in parts.items():
        path = told.bench / f"{name}.json"
        lines += section(json.loads(path.read_text())) if path.exists() else [f"\n## {name}\n\nNot run yet.\n"]
    # The watch has benches of its own; what they last wrote stays.
    _, watch, measured = (
        told.out.read_text(encoding="utf-8").partition(BEGINS) if told.out.exists() else ("", "", "")
    )
    told.out.write_text("\n".join(lines).rstrip() + "\n" + (watch and "\n") + watch + measured, encoding="utf-8")


if __name__ == "__main__":
    main()
