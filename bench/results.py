"""Writes docs/results.md from what the benchmarks left in runs. Computes nothing but differences and means.

make results        runs the benchmarks that are missing, then this

A part whose measurement is not in runs stays as the page has it, with the machine and the day that it names.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from watch_results import BEGINS

from waferlens.evaluation.benchmark import Spread, markdown

SETS = {
    "transistor": "MVTec AD transistor",
    "transistor-pixel": "MVTec AD transistor, from scratch",
    "transistor-20": "MVTec AD transistor, 20 normal images",
    "fab": "The synthetic fab",
    "fab-moved": "The synthetic fab, stage jitter of 8 pixels and 2 degrees",
    "cells": "Electroluminescence cells",
}
"""Folders of runs/benchmark, and what is in them."""

NOVEL = ("residue", "void", "haze_ring")
_BUSY = " It did other work at the time: seconds and milliseconds are upper bounds."
_NOT_TYPES = ("defective", "defect")


def machine() -> str:
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    model = next(
        (line.split(":")[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")), "?"
    )
    flags = [flag for flag in ("avx512_bf16", "avx512_vnni", "amx_bf16") if flag in cpuinfo]
    return f"{model}, {cpuinfo.count('processor')} cores, {', '.join(flags) or 'no bf16 or int8 instructions'}"


def benchmarked(name: str, content: dict[str, Any]) -> Iterator[str]:
    """What ``waferlens benchmark`` found on one data set."""
    data, runs = content["data"], content["runs"]
    yield f"\n## {SETS[name]}\n"
    yield (
        f"`{_as_told(content['command'])}`: {len(runs)} seed(s) from 0, each with its own split of {data['num_normals']} normal images, its own "
        f"weights and augmentation; baselines learn from the same images. Test set: {data['num_test_normal']} normal and "
        f"{data['num_test_defective']} defective images. Mean ± standard deviation over seeds, in brackets the 95 % interval of one "
        f"run. *Behind the first*: difference in image AUROC, seed by seed. *One image*: median, one thread, detectors in their "
        f"default engine, baselines in PyTorch.\n"
    )
    yield from markdown({method: _spreads(row) for method, row in content["table"].items()})
    yield "\nImage AUROC of the calibrated score, seed by seed:\n"
    yield "| method | " + " | ".join(f"seed {seed}" for seed in range(len(runs))) + " |"
    yield "| --- |" + " --- |" * len(runs)
    for method in (name for name in content["table"] if ", " not in name):
        cells = [_estimate(run[method]["score"]["image_auroc"]) if method in run else "-" for run in runs]
        yield f"| {method} | " + " | ".join(cells) + " |"
    yield from _by_type(content)
    yield from _parity(runs)


def _by_type(content: dict[str, Any]) -> Iterator[str]:
    """Mean image AUROC of every defect type over the seeds; known and novel types of the fab apart."""
    types = sorted(
        {name for run in content["runs"] for method in run.values() for name in method["per_defect_type"]}
    )
    if set(types) <= set(_NOT_TYPES):
        return
    groups = {name: (name,) for name in types}
    if set(NOVEL) < set(types):
        groups |= {"**known**": tuple(set(types) - set(NOVEL)), "**novel**": NOVEL}
    yield "\nImage AUROC by defect type, mean over the seeds:\n"
    yield "| method | " + " | ".join(groups) + " |"
    yield "| --- |" + " --- |" * len(groups)
    for method in content["table"]:
        cells = [
            statistics.fmean(
                run[method]["per_defect_type"][name]["auroc"]["value"]
                for run in content["runs"]
                if method in run
                for name in members
            )
            for members in groups.values()
        ]
        yield f"| {method} | " + " | ".join(f"{cell:.4f}" for cell in cells) + " |"


def _parity(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Every engine of every detector against eager PyTorch, on held-out normal images, as the gate saw it."""
    yield "\nEvery engine against eager PyTorch on held-out normal images (differences in normal deviations):\n"
    yield "| detector | engine | largest difference over the seeds | bound | passed |"
    yield "| --- | --- | --- | --- | --- |"
    for method in (name for name in runs[0] if runs[0][name].get("parity")):
        for entries in zip(*(run[method]["parity"] for run in runs), strict=True):
            yield (
                f"| {method} | {entries[0]['engine']} | {max(entry['max_difference'] for entry in entries):.1e} | "
                f"{entries[0]['bound']:g} | {sum(entry['passed'] for entry in entries)} of {len(entries)} |"
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


def _as_told(command: str) -> str:
    """Without where things lie on the machine that measured."""
    words = command.split()
    if "--out" in words:
        at = words.index("--out")
        del words[at : at + 2]
    return " ".join(Path(word).name if word.startswith(("/", "..")) else word for word in words)


def measured_here() -> str:
    today = datetime.date.today().isoformat()
    return f"Measured on {today} with Python {platform.python_version()} on: {machine()}."


def kept(page: str, heading: str) -> str:
    """The part of the page under this heading, up to the next one."""
    _, found, rest = page.partition(f"\n## {heading}")
    content = rest.partition("\n## ")[0].rstrip() if found else "\n\nNot run yet."
    return f"\n## {heading}{content}"


def _spreads(row: dict[str, Any]) -> dict[str, Spread]:
    return {figure: Spread(**values) for figure, values in row.items()}


def _estimate(figure: dict[str, float] | None) -> str:
    return "-" if figure is None else f"{figure['value']:.4f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bench", type=Path, default=Path("runs/bench"))
    arguments.add_argument("--sets", type=Path, default=Path("runs/benchmark"))
    arguments.add_argument("--out", type=Path, default=Path("docs/results.md"))
    arguments.add_argument("--busy", action="store_true", help="say that the benchmarks shared the machine")
    told = arguments.parse_args()
    here = measured_here() + (_BUSY if told.busy else "")
    parts = {
        "training": (training, "Training throughput on the CPU"),
        "engines": (engines, "Latency of one call, 1 thread"),
        "gpu": (gpu, "GPU"),
    }
    lines = [
        "# Results\n",
        "Brackets are 95 % intervals of one run; ± is the standard deviation over seeds. `make results` makes this page "
        "again. How choices are made without a test set, and the one where that was not kept: [evaluation.md](evaluation.md).\n",
    ]
    # The watch has benches of its own; what they last wrote stays.
    before = told.out.read_text(encoding="utf-8") if told.out.exists() else ""
    page, watch, measured = before.partition(BEGINS)
    for name, title in SETS.items():
        path = told.sets / name / "benchmark.json"
        if path.exists():
            lines += [*benchmarked(name, json.loads(path.read_text())), f"\n{here}"]
        elif f"\n## {title}\n" in page:
            lines.append(kept(page, title))
    for name, (section, heading) in parts.items():
        path = told.bench / f"{name}.json"
        fresh = path.exists()
        lines += [*section(json.loads(path.read_text())), measured_here()] if fresh else [kept(page, heading)]
    told.out.write_text("\n".join(lines).rstrip() + "\n" + (watch and "\n") + watch + measured, encoding="utf-8")


if __name__ == "__main__":
    main()
