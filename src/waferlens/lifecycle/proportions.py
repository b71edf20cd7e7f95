"""Two rates compared once: the two-sided proportion test, the interval of the difference, the sample that it
takes.

Once: the p-value holds for one look that was fixed beforehand. Whoever looks every hour and stops at the first
p < 0.01 is wrong far more often than once in a hundred; ``sequential`` is for that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import norm

from waferlens.decision.intervals import exact_rate
from waferlens.errors import MetricError
from waferlens.records import Estimate


@dataclass(frozen=True, kw_only=True)
class Count:
    """num_events of num_trials."""

    num_events: int
    num_trials: int

    def __post_init__(self) -> None:
        if not 0 <= self.num_events <= self.num_trials:
            raise MetricError(
                "the counts contradict each other",
                expected="0 <= events <= trials",
                found=f"{self.num_events} of {self.num_trials}",
            )

    @property
    def rate(self) -> float:
        """Events a trial; NaN without a trial."""
        return self.num_events / self.num_trials if self.num_trials else math.nan

    @property
    def estimate(self) -> Estimate | None:
        """The rate with its exact 95 % interval; None without a trial."""
        return exact_rate(self.num_events, self.num_trials) if self.num_trials else None

    def __add__(self, other: Count) -> Count:
        return Count(num_events=self.num_events + other.num_events, num_trials=self.num_trials + other.num_trials)


def proportion_test(a: Count, b: Count) -> tuple[Estimate, float]:
    """(rate of b minus rate of a with its 95 % interval, two-sided p-value of "they are equal").

    The test pools the two samples for its variance; the interval is Newcombe's (1998, method 10), which stays
    inside [-1, 1] and open at rates of zero. NaN where a sample is empty; p = 1 where no trial differs.
    """
    if not a.num_trials or not b.num_trials:
        return Estimate(value=math.nan, low=math.nan, high=math.nan), math.nan
    pooled = (a + b).rate
    spread = math.sqrt(pooled * (1 - pooled) * (1 / a.num_trials + 1 / b.num_trials))
    value = b.rate - a.rate
    p_value = 1.0 if spread == 0 else float(2 * norm.sf(abs(value) / spread))
    (low_a, high_a), (low_b, high_b) = _wilson(a), _wilson(b)
    low = value - math.hypot(b.rate - low_b, high_a - a.rate)
    high = value + math.hypot(high_b - b.rate, a.rate - low_a)
    return Estimate(value=value, low=max(low, -1.0), high=min(high, 1.0)), p_value


def sample_needed(
    rate: float, other: float, *, share: float, p_value: float = 0.01, power: float = 0.9
) -> tuple[int, int]:
    """(trials of the champion, of the canary) after which one look finds ``other`` instead of ``rate``.

    share: of all trials that are the canary's. power: the chance to find it. Fleiss, Levin and Paik (2003), eq.
    4.18, without continuity correction. Raises MetricError for rates that do not differ or lie outside (0, 1).
    """
    if not (0 < rate < 1 and 0 < other < 1 and 0 < share < 1) or rate == other:
        raise MetricError(
            "no sample can be computed", expected="two rates in (0, 1) that differ", found=f"{rate}, {other}"
        )
    pooled = (1 - share) * rate + share * other
    null = math.sqrt(pooled * (1 - pooled) * (1 / share + 1 / (1 - share)))
    true = math.sqrt(other * (1 - other) / share + rate * (1 - rate) / (1 - share))
    reach = float(norm.isf(p_value / 2)) * null + float(norm.isf(1 - power)) * true
    total = (reach / (other - rate)) ** 2
    return math.ceil(total * (1 - share)), math.ceil(total * share)


def _wilson(count: Count, confidence: float = 0.95) -> tuple[float, float]:
    z, n, rate = float(norm.isf((1 - confidence) / 2)), count.num_trials, count.rate
    centre, reach = rate + z * z / (2 * n), z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return (centre - reach) / (1 + z * z / n), (centre + reach) / (1 + z * z / n)
