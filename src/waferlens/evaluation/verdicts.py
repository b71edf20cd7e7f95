"""Targets against measurements: met, not met, or not shown by this many images.

A target is *met* when the whole 95 % interval lies on its good side, *not met* when the whole interval lies
on its bad side, and *not shown* in between: the figure may look good, but the sample does not prove it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from waferlens.decision.intervals import sample_size_for_bound, upper_bound
from waferlens.records import Estimate

MAX_PARAMETERS = 15_000_000


class Verdict(StrEnum):
    """How a measurement stands to its target."""

    MET = "met"
    NOT_MET = "not met"
    NOT_SHOWN = "not shown"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class TargetRow:
    """One line of the summary. measured: NaN ends where there is no interval. note: how it was measured."""

    name: str
    target: str
    measured: Estimate
    verdict: Verdict
    percent: bool
    note: str


@dataclass(frozen=True, kw_only=True)
class SampleRow:
    """To show a miss rate below rate_bound takes num_needed defects without a miss (one-sided, 95 %)."""

    rate_bound: float
    num_needed: int
    enough: bool


def verdict(measured: Estimate, target: float, *, higher_is_better: bool) -> Verdict:
    """Judge an estimate. A figure without an interval is judged by its value: it was counted, not sampled."""
    if math.isnan(measured.value):
        return Verdict.NOT_MEASURED
    low = measured.value if math.isnan(measured.low) else measured.low
    high = measured.value if math.isnan(measured.high) else measured.high
    if higher_is_better:
        low, high, target = -high, -low, -target
    if high < target:
        return Verdict.MET
    return Verdict.NOT_MET if low >= target else Verdict.NOT_SHOWN


def target_rows(
    metrics: Mapping[str, Any], *, latency_ms: Estimate | None = None, latency_note: str = ""
) -> tuple[TargetRow, ...]:
    """The case study's targets against `summary.metrics_for` of the detector."""
    score = metrics["score"]
    decision = metrics["decision"] or {}
    fnr_note = "miss rate where 5 % of normal images alarm"
    escape_note = "defective images that PASS at the thresholds of the bundle"
    parameters = Estimate(value=float(metrics["num_parameters"]), low=math.nan, high=math.nan)
    rows = [
        _row("Image AUROC", score["image_auroc"], 0.95, higher=True, note="primary metric"),
        _row("Image AUPRC", score["image_auprc"], 0.85, higher=True, note="average precision"),
        _row("FNR at FPR 5 %", score["fnr_at_fpr5"], 0.005, higher=False, percent=True, note=fnr_note),
        _row("Pixel AUROC", score["pixel_auroc"], 0.90, higher=True, note="localisation"),
        _row("Escape rate", decision.get("escape_rate"), 0.001, higher=False, percent=True, note=escape_note),
        TargetRow(
            name="Parameters",
            target="< 15 M",
            measured=parameters,
            verdict=verdict(parameters, MAX_PARAMETERS, higher_is_better=False),
            percent=False,
            note="counted",
        ),
    ]
    latency = latency_ms or Estimate(value=math.nan, low=math.nan, high=math.nan)
    latency_verdict = verdict(latency, 50, higher_is_better=False)
    note = latency_note or "see the benchmark"
    rows.append(
        TargetRow(
            name="Latency, ms", target="< 50", measured=latency, verdict=latency_verdict, percent=False, note=note
        )
    )
    return tuple(rows)


def sample_rows(num_defective: int) -> tuple[SampleRow, ...]:
    """What it takes to show miss rates of 5, 1, 0.5 and 0.1 %."""
    needed = {bound: sample_size_for_bound(bound) for bound in (0.05, 0.01, 0.005, 0.001)}
    return tuple(
        SampleRow(rate_bound=bound, num_needed=num, enough=num_defective >= num) for bound, num in needed.items()
    )


def best_provable_rate(num_defective: int) -> float:
    """The lowest miss rate that num_defective images could show if none were missed; NaN without any."""
    return upper_bound(0, num_defective) if num_defective else math.nan


def estimate_of(figure: Mapping[str, float | None] | None) -> Estimate:
    """An Estimate from its JSON form; null becomes NaN."""
    if figure is None:
        return Estimate(value=math.nan, low=math.nan, high=math.nan)
    numbers = {key: figure[key] for key in ("value", "low", "high")}
    return Estimate(**{key: math.nan if number is None else number for key, number in numbers.items()})


def _row(
    name: str,
    figure: Mapping[str, float | None] | None,
    target: float,
    *,
    higher: bool,
    percent: bool = False,
    note: str,
) -> TargetRow:
    measured = estimate_of(figure)
    number = f"{100 * target:.1f} %" if percent else f"{target:.2f}"
    return TargetRow(
        name=name,
        target=f"{'>' if higher else '<'} {number}",
        measured=measured,
        verdict=verdict(measured, target, higher_is_better=higher),
        percent=percent,
        note=note,
    )
