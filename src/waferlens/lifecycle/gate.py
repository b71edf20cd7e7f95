"""The gate: which figures a model must reach before it may be tried, and that it is no worse than the champion.

The limits are the case study's, and belong to a recipe's line like thresholds do. Every figure is printed with its
interval. A test set that is too small to show a limit is said so: ``shown`` is whether the interval's worse end
keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field
from scipy.stats import fisher_exact

from waferlens.errors import GateRefused
from waferlens.records import Estimate


class GateOptions(BaseModel, frozen=True, extra="forbid"):
    """Limits of a challenger on the frozen test set."""

    min_auroc: float = Field(0.95, ge=0, le=1)
    min_auprc: float = Field(0.85, ge=0, le=1)
    max_fnr_at_fpr5: float = Field(0.005, ge=0, le=1)
    min_pixel_auroc: float = Field(0.90, ge=0, le=1)
    max_latency_ms: float = Field(50.0, gt=0, description="99th percentile of one image on this machine")
    max_parameters: int = Field(15_000_000, gt=0)
    judge: Literal["estimate", "bound"] = Field("estimate", description="what must keep the limit")
    max_auroc_loss: float = Field(0.01, ge=0, description="against the champion, on the same images")
    max_type_loss: float = Field(0.05, ge=0, description="of detected images of one defect type, and two images")
    regression_p_value: float = Field(0.05, gt=0, lt=1, description="of all defects together, Fisher's exact test")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the gate. found: with its interval where it has one; None where it could not be measured."""

    name: str
    limit: float
    found: Estimate | float | None
    passed: bool
    shown: bool
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        value = self.found.as_dict() if isinstance(self.found, Estimate) else self.found
        return {**vars(self), "found": value}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Every check."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether all did."""
        return all(check.passed for check in self.checks)

    def require(self) -> None:
        """Raises GateRefused naming every check that did not pass."""
        if not self.passed:
            failed = [f"{each.name}: {each.reason}" for each in self.checks if not each.passed]
            raise GateRefused("the gate refuses this model", expected="every limit kept", found="; ".join(failed))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"passed": self.passed, "checks": [check.as_dict() for check in self.checks]}


def judge(
    challenger: Mapping[str, Any],
    champion: Mapping[str, Any] | None,
    latency_ms: float,
    options: GateOptions,
) -> Verdict:
    """Hold the content of ``metrics.json`` to the limits, and to the champion's on the same images, if there
    is one.
    """
    score = challenger["score"]
    checks = [
        _bounded("image AUROC", score.get("image_auroc"), options.min_auroc, options, at_least=True),
        _bounded("image AUPRC", score.get("image_auprc"), options.min_auprc, options, at_least=True),
        _bounded("FNR at FPR 5 %", score.get("fnr_at_fpr5"), options.max_fnr_at_fpr5, options, at_least=False),
        _bounded("pixel AUROC", score.get("pixel_auroc"), options.min_pixel_auroc, options, at_least=True),
        _number("latency", latency_ms, options.max_latency_ms, "ms"),
        _number("parameters", float(challenger["num_parameters"]), float(options.max_parameters), ""),
    ]
    if champion is not None:
        checks += _regressions(challenger, champion, options)
    return Verdict(checks=tuple(checks))


def _bounded(name: str, told: Any, limit: float, options: GateOptions, *, at_least: bool) -> Check:
    found = _estimate(told)
    if found is None:
        return _missing(name, limit)

    def keeps(value: float) -> bool:
        return value >= limit if at_least else value <= limit

    worse_end = found.low if at_least else found.high
    passed = keeps(found.value if options.judge == "estimate" else worse_end)
    asked = "at least" if at_least else "at most"
    return Check(
        name=name,
        limit=limit,
        found=found,
        passed=passed,
        shown=keeps(worse_end),
        reason="" if passed else f"{_words(found)}, {asked} {limit:g} asked",
    )


def _number(name: str, value: float, limit: float, unit: str) -> Check:
    keeps = value <= limit
    reason = "" if keeps else f"{value:,.1f} {unit}, at most {limit:,.0f} asked"
    return Check(name=name, limit=limit, found=value, passed=keeps, shown=keeps, reason=reason)


def _regressions(challenger: Mapping[str, Any], champion: Mapping[str, Any], options: GateOptions) -> list[Check]:
    old, new = (_estimate(each["score"].get("image_auroc")) for each in (champion, challenger))
    loss = None if old is None or new is None else old.value - new.value
    kept = loss is not None and loss <= options.max_auroc_loss
    checks = [
        Check(
            name="AUROC against the champion",
            limit=options.max_auroc_loss,
            found=loss,
            passed=kept,
            shown=kept,
            reason="" if kept else f"{loss} lower than the champion's",
        )
    ]
    before, after = (_detected(each) for each in (champion, challenger))
    checks += [_one_type(name, before.get(name), after.get(name), options) for name in sorted({*before, *after})]
    (k_old, n_old), (k_new, n_new) = (
        (sum(k for k, _ in each.values()), sum(n for _, n in each.values())) for each in (before, after)
    )
    p_value = float(fisher_exact([[k_new, n_new - k_new], [k_old, n_old - k_old]], alternative="less").pvalue)
    fine = p_value >= options.regression_p_value
    checks.append(
        Check(
            name="all defects against the champion",
            limit=options.regression_p_value,
            found=p_value,
            passed=fine,
            shown=fine,
            reason=""
            if fine
            else f"{k_new} of {n_new} detected, the champion {k_old} of {n_old} (p = {p_value:.2g})",
        )
    )
    return checks


def _one_type(name: str, old: tuple[int, int] | None, new: tuple[int, int] | None, options: GateOptions) -> Check:
    if old is None or new is None or old[1] != new[1]:
        return _missing(f"defect type {name}", options.max_type_loss, "not the same images as the champion's")
    lost = old[0] - new[0]
    passed = lost < 2 or lost / old[1] <= options.max_type_loss
    return Check(
        name=f"defect type {name}",
        limit=options.max_type_loss,
        found=lost / old[1],
        passed=passed,
        shown=lost <= 0,
        reason="" if passed else f"{new[0]} of {new[1]} detected, the champion {old[0]}",
    )


def _detected(metrics: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """(detected, images) of each defect type at the model's own REVIEW threshold."""
    found = {}
    for name, told in metrics["per_defect_type"].items():
        rates = told["detection_rates"]
        rate = rates.get("review") or rates["fpr5"]
        found[name] = round(rate["value"] * told["num_images"]), int(told["num_images"])
    return found


def _missing(name: str, limit: float, reason: str = "the test set has nothing to measure it on") -> Check:
    return Check(name=name, limit=limit, found=None, passed=False, shown=False, reason=reason)


def _estimate(told: Any) -> Estimate | None:
    if told is None or told.get("value") is None:
        return None
    ends = [float("nan") if told[end] is None else float(told[end]) for end in ("low", "high")]
    return Estimate(value=float(told["value"]), low=ends[0], high=ends[1])


def _words(found: Estimate) -> str:
    return f"{found.value:.4g} [{found.low:.4g}, {found.high:.4g}]"
