"""Results as tables for people. Each function takes what the command would print as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waferlens.cli.console import print_table

if TYPE_CHECKING:
    from waferlens.evaluation.benchmark import Spread
    from waferlens.inspection.files import FileResult

_FIGURES = {
    "image_auroc": "image AUROC",
    "image_auprc": "image AUPRC",
    "fnr_at_fpr5": "FNR at FPR 5 %",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
}
_RATES = ("fnr_at_fpr5",)
_METHODS_A_TABLE = 3


def print_metrics(by_method: Mapping[str, Mapping[str, Any]]) -> None:
    """The five figures of every method with their 95 % intervals, for both scores."""
    rows = []
    for method, metrics in by_method.items():
        for key, name in (("score", "calibrated"), ("reconstruction_error", "a(x)")):
            figures = metrics[key]
            if any(figures[figure]["value"] is not None for figure in _FIGURES):
                rows.append([f"{method}, {name}", *(_estimate(figures[f], f in _RATES) for f in _FIGURES)])
    print_table("Figures with 95 % intervals", ["method, score", *_FIGURES.values()], rows)


def print_benchmark(table: Mapping[str, Mapping[str, Spread]]) -> None:
    """A block a method, a line a figure: the columns of the written table would not fit a terminal."""
    from waferlens.evaluation.benchmark import TITLES, rows

    methods = rows(table)
    lines = [[title, *(cells[number] for cells in methods)] for number, title in enumerate(TITLES.values(), 1)]
    shown = [methods[start : start + _METHODS_A_TABLE] for start in range(0, len(methods), _METHODS_A_TABLE)]
    for start, part in zip(range(1, len(methods) + 1, _METHODS_A_TABLE), shown, strict=True):
        columns = ["mean ± deviation over seeds [95 % interval of one]", *(cells[0] for cells in part)]
        print_table("Benchmark", columns, [[line[0], *line[start : start + _METHODS_A_TABLE]] for line in lines])


def print_inspections(results: Sequence[FileResult]) -> None:
    """One row a file."""
    rows = []
    for result in results:
        inspection = result.inspection
        if inspection is None:
            rows.append([_short(result.file), str(result.decision.kind), "", "", "", result.decision.reason or ""])
            continue
        rows.append(
            [
                _short(result.file),
                str(result.decision.kind),
                f"{inspection.inference.score:.2f}",
                f"{inspection.p_value:.3g}",
                f"{result.decision.confidence:.2f}",
                result.decision.reason or "",
            ]
        )
    print_table("Inspections", ["file", "decision", "score", "p-value", "confidence", "reason"], rows)


def print_parity(parity: Mapping[str, Any]) -> None:
    """How far each engine is from PyTorch."""
    rows = [
        [
            entry["engine"],
            f"{entry['max_difference']:.1e}",
            f"{entry['bound']:g}",
            f"{entry['num_other_decisions']} of {entry['num_images']}",
            "passed" if entry["passed"] else "FAILED",
        ]
        for entry in parity["engines"]
    ]
    title = f"Parity with PyTorch, in normal deviations; default engine: {parity['default_engine']}"
    print_table(title, ["engine", "largest difference", "bound", "other decisions", "gate"], rows)


def print_bench(rows: Sequence[Mapping[str, Any]]) -> None:
    """One row an engine and batch size."""
    columns = [
        "engine",
        "batch",
        "mean ms",
        "p50",
        "p99",
        "images/s",
        "floor ms",
        "x PyTorch",
        "MB file",
        "MB peak",
    ]
    cells = [
        [
            row["engine"] if row["device"] == "cpu" else f"{row['engine']} ({row['device']})",
            str(row["batch"]),
            f"{row['mean_ms']:.1f}",
            f"{row['p50_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
            f"{row['images_per_second']:.1f}",
            f"{row['floor_ms']:.1f}",
            f"{row['speedup']:.2f}",
            f"{row['size_mb']:.1f}",
            "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}",
        ]
        for row in rows
    ]
    print_table(f"A call with a whole batch, {rows[0]['threads']} thread(s)", columns, cells)


def print_best_batch(throughput: float, best: Mapping[str, Any] | None) -> None:
    """Which batch size reaches a throughput with the least latency."""
    if best is None:
        print_facts("Best batch", {f"for {throughput:g} images/s": "no batch size reaches it on this machine"})
        return
    reached = f"{best['images_per_second']:.1f} images/s, p99 {best['p99_ms']:.1f} ms a call"
    print_facts(
        "Best batch", {f"for {throughput:g} images/s": f"{best['engine']}, batch {best['batch']}: {reached}"}
    )


def print_robustness(found: Mapping[str, Any]) -> None:
    """One row a level, the undisturbed images first; then the levels that cost more than allowed."""
    kinds = list(found["disturbances"].values())
    rows = [_robustness_row("Undisturbed", kinds[0]["levels"][0])]
    for kind in kinds:
        for level in kind["levels"][1:]:
            mark = " COSTS" if level["is_costly"] else ""
            rows.append(_robustness_row(f"{kind['title']}, {level['name']}{mark}", level))
    counts = found["counts"]
    title = f"{counts['normal']} normal and {counts['defective']} defective images, 95 % intervals"
    print_table(title, ["level", "AUROC", "paired change", "overkill", "escapes"], rows)
    costly = {
        kind["title"]: ", ".join(
            f"{level['name']} ({level['auroc_change']['value']:.4f})"
            for level in kind["levels"]
            if level["is_costly"]
        )
        for kind in kinds
        if kind["costly_levels"]
    }
    print_facts(f"COSTS: AUROC lower by more than {found['max_cost']:g}", costly or {"none": "no level does that"})


def _robustness_row(name: str, level: Mapping[str, Any]) -> list[str]:
    change = level["auroc_change"]
    # Equal rankings have no variance and so no interval: the change is still known.
    unchanged = change["value"] == 0 and change["low"] is None
    return [
        name,
        _estimate(level["auroc"], False),
        "0" if unchanged else _estimate(change, False),
        _estimate(level["overkill_rate"], True),
        _estimate(level["escape_rate"], True),
    ]


def print_pod(found: Mapping[str, Any]) -> None:
    """One row a kind and contrast of planted defects, then what the rows rest on."""
    from waferlens.evaluation.pod_curve import PodSize

    rows = []
    for series in found["series"]:
        contrast = "" if series["contrast"] is None else f", {series['contrast']:.0%}"
        name, curve = f"{series['kind']}{contrast}", series["curve"]
        if curve is None:
            rows.append([name, "0", "", "", "", "not planted"])
            continue
        a50, a90, claimed = (PodSize(**curve[key]) for key in ("a50", "a90", "a90_95"))
        shown = [f"{size} {size.interval}".rstrip() for size in (a50, a90)]
        num_images = max(row["num_trials"] for row in curve["by_size"])
        rows.append([name, str(num_images), *shown, str(claimed), curve["outcome"]])
    decision = "REVIEW or REJECT" if found["alarm"] == "review" else "REJECT"
    title = f"Sizes in pixels that are found with 50 % and 90 %; found is {decision}"
    print_table(title, ["defect", "images", "a50", "a90", "a90/95", "curve"], rows)
    facts = {
        "false calls, unplanted": f"{_estimate(found['false_call_rate'], True)} of {found['num_normals']} images",
        "images": found["source"],
    }
    print_facts("What these rest on", facts)


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """Names and values."""
    print_table(title, ["", ""], [[name, value] for name, value in facts.items()])


def print_data_report(report: Mapping[str, Any]) -> None:
    """What ``data check`` found: figures first, then every problem and warning."""
    counts = {
        f"{part} {kind}": str(number) for part, kinds in report["counts"].items() for kind, number in kinds.items()
    }
    facts = {
        "layout": report["layout"],
        **counts,
        "groups": _listed(report["groups"]),
        "sizes": _listed(report["sizes"]),
        "bits a sample": _listed(report["depths"]),
        "formats": _listed(report["formats"]),
        "masks": str(report["num_masks"]),
        "unreadable": str(report["num_unreadable"]),
        "duplicates in one part": str(len(report["duplicates_inside"])),
        "duplicates across parts": str(len(report["duplicates_across"])),
    }
    print_facts(f"{report['root']}", facts)
    findings = [["problem", text] for text in report["problems"]] + [
        ["warning", text] for text in report["warnings"]
    ]
    if findings:
        print_table("Findings", ["kind", "what"], findings)
    verdict = "can be used" if report["ok"] else f"cannot be used: {len(report['problems'])} problem(s)"
    print_facts("Verdict", {"this data set": verdict})


def _short(file: str) -> str:
    """The file and the folder that holds it: enough to tell images apart in a table."""
    return "/".join(Path(file).parts[-2:])


def _listed(tally: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in tally.items()) or "none"


def _estimate(figure: Mapping[str, float | None], is_rate: bool) -> str:
    value, low, high = figure["value"], figure["low"], figure["high"]
    if value is None or low is None or high is None:
        return "-"
    return f"{value:.1%} [{low:.1%}, {high:.1%}]" if is_rate else f"{value:.4f} [{low:.3f}, {high:.3f}]"
