"""Exact binomial bounds on rates, and the samples that such bounds take.

A rate is ``k`` events in ``n`` independent trials. The bounds are Clopper and Pearson's (1934): they
hold at least their stated confidence for every true rate, at the cost of being a little wide.

*Two-sided* (``clopper_pearson``) is what every printed interval uses: 2.5 % is left out at each end.
*One-sided* (``upper_bound``, ``sample_size_for_bound``) answers "the rate is below ...": all 5 % is
left out above. No miss in 200 gives 1.8 % two-sided and 1.5 % one-sided.

This module does not know what the events are.
"""

from __future__ import annotations

import math

from scipy.stats import beta

from waferlens.errors import MetricError
from waferlens.records import Estimate


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided exact interval of a rate.

    k: events. n: trials. confidence: in (0, 1). Returns (low, high), both in [0, 1].
    Raises MetricError when n < 1, k is outside [0, n] or confidence is outside (0, 1).
    """
    _require_counts(k, n, confidence)
    tail = (1 - confidence) / 2
    low = 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(1 - tail, k + 1, n - k))
    return low, high


def exact_rate(k: int, n: int, confidence: float = 0.95) -> Estimate:
    """A rate with its two-sided exact interval. Raises MetricError as ``clopper_pearson`` does."""
    low, high = clopper_pearson(k, n, confidence)
    return Estimate(value=k / n, low=low, high=high)


def upper_bound(k: int, n: int, confidence: float = 0.95) -> float:
    """One-sided exact upper bound of a rate: the true rate is below it with this confidence.

    Raises MetricError as ``clopper_pearson`` does.
    """
    _require_counts(k, n, confidence)
    return 1.0 if k == n else float(beta.ppf(confidence, k + 1, n - k))


def sample_size_for_bound(rate_bound: float, confidence: float = 0.95) -> int:
    """Smallest number of trials that, *without a single event*, shows a rate of at most ``rate_bound``.

    One-sided: the smallest n with (1 - rate_bound)^n <= 1 - confidence. 0.001 at 95 % takes 2,995.
    Raises MetricError when either argument is outside (0, 1).
    """
    if not 0 < rate_bound < 1:
        raise MetricError("the rate bound is out of range", expected="in (0, 1)", found=str(rate_bound))
    _require_confidence(confidence)
    return math.ceil(math.log(1 - confidence) / math.log1p(-rate_bound))


def _require_counts(k: int, n: int, confidence: float) -> None:
    if n < 1:
        raise MetricError("a rate needs trials", expected="n >= 1", found=f"n = {n}")
    if not 0 <= k <= n:
        raise MetricError("more events than trials, or fewer than none", expected=f"0..{n}", found=str(k))
    _require_confidence(confidence)


def _require_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise MetricError("the confidence is out of range", expected="in (0, 1)", found=str(confidence))
