"""A canary against its champion: what each decided, whether the difference is real, and how much more it takes
to know.

Three rates: wafers with a REJECT, wafers with a REVIEW, overrides of settled REJECTs. Wafers are counted, not
images: those of one wafer are alike, and a test that takes 200 of them for independent finds differences where
there are none (docs/lifecycle.md has the simulation). Each has the fixed test that the case study asks for, for
a look at the planned end, and the sequential one, for every hour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from waferlens.lifecycle.proportions import Count, proportion_test, sample_needed
from waferlens.lifecycle.sequential import Block, two_rates_p_value
from waferlens.records import Estimate
from waferlens.storage.model_figures import WaferFigures
from waferlens.storage.stored import HOUR_MS


class Finding(StrEnum):
    """What may be said about a difference."""

    DIFFERS = "differs"
    NO_DIFFERENCE = "no difference of interest"
    NOT_ENOUGH_DATA = "not enough data"


class CanaryOptions(BaseModel, frozen=True, extra="forbid"):
    """How a canary is judged."""

    share: float = Field(0.1, gt=0, le=0.5, description="of wafers, by a stable hash")
    p_value: float = Field(0.01, gt=0, lt=0.5, description="below it a difference is real")
    power: float = Field(0.9, gt=0.5, lt=1, description="chance to find a difference of interest in the sample")
    ratio: float = Field(1.5, gt=1, description="a rate this many times the champion's is of interest")


@dataclass(frozen=True, kw_only=True)
class Hour:
    """What one model decided in one hour.

    Counts of wafers and of inspections; of REJECTs that have a verdict, and of them overridden.
    """

    hour_ms: int
    num_wafers: int
    num_wafers_reject: int
    num_wafers_review: int
    num_inspections: int
    num_failed: int = 0
    num_slow: int = 0
    num_settled: int = 0
    num_overridden: int = 0


@dataclass(frozen=True, kw_only=True)
class RateComparison:
    """One rate of both. p_value: for one look at the end. sequential_p_value: for every look.

    needed: canary's trials that find a rate ``ratio`` times the champion's; None where the champion's rate is
    zero.
    """

    name: str
    champion: Count
    canary: Count
    difference: Estimate
    p_value: float
    sequential_p_value: float
    needed: int | None
    finding: Finding

    def as_dict(self) -> dict[str, Any]:
        """For JSON; NaN becomes None."""
        return {
            "name": self.name,
            "champion": vars(self.champion),
            "canary": vars(self.canary),
            "difference": self.difference.as_dict(),
            "p_value": None if math.isnan(self.p_value) else self.p_value,
            "sequential_p_value": self.sequential_p_value,
            "needed": self.needed,
            "finding": str(self.finding),
        }


@dataclass(frozen=True, kw_only=True)
class _Rate:
    name: str
    events: str
    trials: str = "num_wafers"


_RATES = (
    _Rate(name="REJECT", events="num_wafers_reject"),
    _Rate(name="REVIEW", events="num_wafers_review"),
    _Rate(name="override", events="num_overridden", trials="num_settled"),
)


@dataclass(frozen=True, kw_only=True)
class CanaryComparison:
    """All rates of a canary."""

    rates: tuple[RateComparison, ...] = field(default_factory=tuple)

    def of(self, name: str) -> RateComparison:
        """The comparison of this rate."""
        return next(each for each in self.rates if each.name == name)


def compare_hours(
    champion: Sequence[Hour], canary: Sequence[Hour], options: CanaryOptions | None = None
) -> CanaryComparison:
    """Champion and canary over the same time, hour by hour."""
    told = options or CanaryOptions()
    return CanaryComparison(rates=tuple(_compare(rate, champion, canary, told) for rate in _RATES))


def hours_of(wafers: Sequence[WaferFigures]) -> list[Hour]:
    """The wafers of one model, hour by hour; a wafer counts in the hour in which its first image came."""
    by_hour: dict[int, list[WaferFigures]] = {}
    for wafer in wafers:
        by_hour.setdefault(wafer.first_ms // HOUR_MS * HOUR_MS, []).append(wafer)
    return [
        Hour(
            hour_ms=hour,
            num_wafers=len(found),
            num_wafers_reject=sum(wafer.num_reject > 0 for wafer in found),
            num_wafers_review=sum(wafer.num_review > 0 for wafer in found),
            num_inspections=sum(wafer.num_inspections for wafer in found),
            num_failed=sum(wafer.num_failed for wafer in found),
            num_slow=sum(wafer.num_slow for wafer in found),
            num_settled=sum(wafer.num_settled for wafer in found),
            num_overridden=sum(wafer.num_overridden for wafer in found),
        )
        for hour, found in sorted(by_hour.items())
    ]


def _compare(
    rate: _Rate, champion: Sequence[Hour], canary: Sequence[Hour], options: CanaryOptions
) -> RateComparison:
    by_hour: tuple[Mapping[int, Count], Mapping[int, Count]] = (_counts(rate, champion), _counts(rate, canary))
    none = Count(num_events=0, num_trials=0)
    hours = sorted({*by_hour[0], *by_hour[1]})
    blocks = [Block(champion=by_hour[0].get(h, none), canary=by_hour[1].get(h, none)) for h in hours]
    a = sum((block.champion for block in blocks), none)
    b = sum((block.canary for block in blocks), none)
    difference, p_value = proportion_test(a, b)
    sequential = two_rates_p_value(blocks)
    needed = None
    if 0 < a.rate * options.ratio < 1:
        share = b.num_trials / (a.num_trials + b.num_trials) if b.num_trials else options.share
        _, needed = sample_needed(
            a.rate, a.rate * options.ratio, share=share, p_value=options.p_value, power=options.power
        )
    of_interest = a.rate * (options.ratio - 1)
    if sequential < options.p_value:  # the one p-value that may be looked at again and again
        finding = Finding.DIFFERS
    elif needed is None or b.num_trials < needed or difference.high >= of_interest:
        finding = Finding.NOT_ENOUGH_DATA
    else:
        finding = Finding.NO_DIFFERENCE
    return RateComparison(
        name=rate.name,
        champion=a,
        canary=b,
        difference=difference,
        p_value=p_value,
        sequential_p_value=sequential,
        needed=needed,
        finding=finding,
    )


def _counts(rate: _Rate, hours: Sequence[Hour]) -> dict[int, Count]:
    return {
        hour.hour_ms: Count(num_events=getattr(hour, rate.events), num_trials=getattr(hour, rate.trials))
        for hour in hours
    }
