"""Several methods over several seeds as one table: means, spreads, intervals, and what each method costs.

Knows metrics as ``summary.metrics_for`` writes them, a mapping a run; fits and scores nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from waferlens.evaluation.summary import FIVE_FIGURES

TITLES = {
    "image_auroc": "image AUROC",
    "image_auprc": "image AUPRC",
    "fnr_at_fpr5": "FNR at FPR 5 %",
    "misses_at_one_false_alarm": "missed at one false alarm",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "ahead": "image AUROC behind the first",
    "num_parameters": "parameters",
    "fit_seconds": "fitting, s",
    "latency_ms": "one image, ms",
}
"""Columns of the table, in order."""

_SHARES = ("fnr_at_fpr5",)
_COUNTS = ("misses_at_one_false_alarm",)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One figure over the seeds.

    deviation: sample standard deviation, 0 with one seed. low, high: the ends of each run's own 95 % interval,
    averaged over the runs; what the number of test images leaves open. None where a run has no interval.
    """

    mean: float
    deviation: float
    least: float
    most: float
    low: float | None
    high: float | None
    num_seeds: int

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON."""
        return asdict(self)


def spreads(runs: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Spread]]:
    """Method to figure to spread, in the order in which the methods come.

    runs: one mapping a seed from method to its metrics, to which ``fit_seconds`` and ``latency_ms`` were added. A
    figure that no run defines is absent. ``ahead`` is how far the first method's image AUROC lies above, seed by
    seed: seeds draw the split, so differences spread less than levels.
    """
    methods = list(dict.fromkeys(method for run in runs for method in run))
    table: dict[str, dict[str, Spread]] = {}
    for method in methods:
        found = [run[method] for run in runs if method in run]
        row = {figure: _spread([one["score"][figure] for one in found]) for figure in FIVE_FIGURES}
        row["misses_at_one_false_alarm"] = _spread([_misses(one) for one in found])
        for name in ("num_parameters", "fit_seconds", "latency_ms"):
            row[name] = _spread([_plain(one.get(name)) for one in found])
        if method != methods[0]:
            row["ahead"] = _spread([_lead(run, methods[0], method) for run in runs if method in run])
        table[method] = {figure: spread for figure, spread in row.items() if spread is not None}
    return table


def markdown(table: Mapping[str, Mapping[str, Spread]]) -> Iterator[str]:
    """The lines of a table for people: a row a method, a column a figure."""
    yield "| method | " + " | ".join(TITLES.values()) + " |"
    yield "| --- |" + " --- |" * len(TITLES)
    for cells in rows(table):
        yield "| " + " | ".join(cells) + " |"


def rows(table: Mapping[str, Mapping[str, Spread]]) -> list[list[str]]:
    """Cells of every row: the method, then every column of TITLES."""
    return [[method, *(_cell(figure, row.get(figure)) for figure in TITLES)] for method, row in table.items()]


def _spread(figures: Sequence[Mapping[str, float | None]]) -> Spread | None:
    known = [figure for figure in figures if figure["value"] is not None]
    if not known:
        return None
    values = np.asarray([figure["value"] for figure in known], dtype=np.float64)
    low, high = (_mean([figure.get(end) for figure in known]) for end in ("low", "high"))
    return Spread(
        mean=float(values.mean()),
        deviation=float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        least=float(values.min()),
        most=float(values.max()),
        low=low,
        high=high,
        num_seeds=len(values),
    )


def _mean(ends: Sequence[float | None]) -> float | None:
    numbers = [end for end in ends if end is not None]
    return float(np.mean(numbers)) if len(numbers) == len(ends) else None


def _plain(value: float | None) -> dict[str, float | None]:
    return {"value": value}


def _misses(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    point = metrics["one_false_alarm"]
    return _plain(None if point is None else point["num_misses"])


def _lead(run: Mapping[str, Mapping[str, Any]], first: str, method: str) -> dict[str, float | None]:
    ahead, behind = (
        run[name]["score"]["image_auroc"]["value"] if name in run else None for name in (first, method)
    )
    return _plain(None if ahead is None or behind is None else ahead - behind)


def _cell(figure: str, spread: Spread | None) -> str:
    if spread is None:
        return "-"
    if figure == "num_parameters":
        return "none" if spread.mean == 0 else f"{spread.mean / 1e6:.2f} M"
    if figure in ("fit_seconds", "latency_ms"):
        return f"{spread.mean:.0f}" if spread.mean >= 100 else f"{spread.mean:.1f}"
    form = ".1%" if figure in _SHARES else ".1f" if figure in _COUNTS else "+.3f" if figure == "ahead" else ".4f"
    around = f" ± {spread.deviation:{form.lstrip('+')}}" if spread.num_seeds > 1 else ""
    short = ".0%" if figure in _SHARES else ".3f"
    interval = "" if spread.low is None else f" [{spread.low:{short}}, {spread.high:{short}}]"
    return f"{spread.mean:{form}}{around}{interval}"
