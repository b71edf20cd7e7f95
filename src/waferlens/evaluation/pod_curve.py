"""The nouns of probability of detection (POD): an outcome, a size with what is known of it, a curve.

Computes nothing but exact intervals of its own rates.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal

from waferlens.decision.intervals import exact_rate
from waferlens.evaluation.wording import ABSENT
from waferlens.records import Estimate

CONFIDENCE = 0.95
"""Of every interval and bound."""

CLAIMED_POD = 0.90
"""What a90 and a90/95 are about."""


class PodOutcome(StrEnum):
    """What the data say about a curve.

    FITTED: hits and misses overlap, and the curve describes them.
    SEPARATED: at most one size has both hits and misses: the curve rises faster than these sizes can resolve.
    ALL_FOUND, NONE_FOUND: nothing to fit.
    NO_SLOPE: larger defects are not found significantly more often (likelihood ratio, one-sided, 5 %).
    MISFIT: rates like these would be rare if the curve held (p < 5 %), often because they level off below 100 %.
    """

    FITTED = "fitted"
    SEPARATED = "separated"
    ALL_FOUND = "all found"
    NONE_FOUND = "none found"
    NO_SLOPE = "no slope"
    MISFIT = "misfit"


@dataclass(frozen=True, kw_only=True)
class PodSize:
    """A size in pixels. relation: '=' measured; '<=' or '>' all that the sizes tried can say; '?' not shown.

    value: None when not shown. low, high: ends of the two-sided 95 % interval, None beyond the sizes tried and for
    a90/95, which is one-sided.
    """

    relation: Literal["=", "<=", ">", "?"]
    value: float | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """Such as '7.1', '≤ 3.0', '> 48.0', or a dash."""
        if self.value is None:
            return ABSENT
        return {"=": "", "<=": "≤ ", ">": "> "}.get(self.relation, "") + f"{self.value:.1f}"

    @property
    def interval(self) -> str:
        """Such as '[6.2, 8.4]', with a dash for an open end; empty where it adds nothing to the size."""
        if {self.low, self.high} <= {None, None if self.relation == "=" else self.value}:
            return ""
        low, high = (ABSENT if end is None else f"{end:.1f}" for end in (self.low, self.high))
        return f"[{low}, {high}]"


NOT_SHOWN = PodSize(relation="?")


@dataclass(frozen=True, kw_only=True)
class DrawnCurve:
    """Points of a curve and of its lower 95 % bound, for drawing. (T,) each; sizes in pixels, others in [0, 1]."""

    sizes: tuple[float, ...]
    pod: tuple[float, ...]
    lower: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PodCurve:
    """One curve. sizes: S, pixels, ascending; num_trials, num_found: at each of them.

    a50, a90: with two-sided intervals. a90_95: one-sided; what may be claimed. Without a curve all three come from
    `pod_exact`. intercept, slope: of the logit in the natural log of the size. design_effect: at a90, how many
    times the variance of independent trials; 1 where trials on one group have nothing in common. fit_p_value: of
    rates like these, if the curve held. drawn: points of the curve. The last five are None without a curve, except
    the p-value of one that does not fit.
    """

    outcome: PodOutcome
    sizes: tuple[float, ...]
    num_trials: tuple[int, ...]
    num_found: tuple[int, ...]
    num_groups: int
    a50: PodSize
    a90: PodSize
    a90_95: PodSize
    intercept: float | None = None
    slope: float | None = None
    design_effect: float | None = None
    fit_p_value: float | None = None
    drawn: DrawnCurve | None = None

    @property
    def found_rates(self) -> tuple[Estimate, ...]:
        """Hits among the trials at each size, with exact intervals."""
        return tuple(exact_rate(k, n) for k, n in zip(self.num_found, self.num_trials, strict=True))

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the points that are only drawn."""
        rows = zip(self.sizes, self.num_trials, self.num_found, self.found_rates, strict=True)
        return {
            "outcome": str(self.outcome),
            "a50": asdict(self.a50),
            "a90": asdict(self.a90),
            "a90_95": asdict(self.a90_95),
            "intercept": self.intercept,
            "slope": self.slope,
            "design_effect": self.design_effect,
            "fit_p_value": self.fit_p_value,
            "num_groups": self.num_groups,
            "by_size": [
                {"size": size, "num_trials": n, "num_found": k, "found_rate": found.as_dict()}
                for size, n, k, found in rows
            ],
        }
