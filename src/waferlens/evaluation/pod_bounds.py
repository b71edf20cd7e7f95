"""Confidence bounds of a fitted POD curve.

A point (size, POD) belongs to the confidence region when a curve through it is not much less likely than the best:

    2 (l* at its maximum - l* of the best curve through the point) <= q^2 design effect

q is the normal quantile, or Student's with one degree of freedom less than there are groups where groups were
tried more than once. Read across at one POD, the region bounds a size; read upwards at one size, a POD. Wald
bounds are not used: with few trials the likelihood is far from a parabola.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import logit
from scipy.stats import norm, t

from waferlens.evaluation.pod_curve import CLAIMED_POD, CONFIDENCE, NOT_SHOWN, PodSize
from waferlens.evaluation.pod_likelihood import Floats, HitMiss, LogitFit, flat_likelihood, profile

_TWO_SIDED = 1 - (1 - CONFIDENCE) / 2
# Halvings of the stretch of logits in which a lower bound is looked for: 40 logits down to 1e-6.
_HALVINGS, _DEEPEST = 25, 40.0


def rises_significantly(data: HitMiss, fit: LogitFit) -> bool:
    """Whether larger is found more often: likelihood ratio against a flat curve, one-sided."""
    ratio = 2 * (fit.log_likelihood - flat_likelihood(data))
    return fit.slope > 0 and ratio > _quantile(data, CONFIDENCE) ** 2 * fit.slope_design_effect


def size_at(data: HitMiss, fit: LogitFit, pod: float) -> PodSize:
    """The size that is found with probability pod; interval ends only inside the sizes tried."""
    low, high = _ends(data, fit, pod, _TWO_SIDED)
    estimate = _placed((float(logit(pod)) - fit.intercept) / fit.slope, data)
    return PodSize(
        relation=estimate.relation,
        value=estimate.value,
        low=None if math.isinf(low) else round(math.exp(low), 6),
        high=None if math.isinf(high) else round(math.exp(high), 6),
    )


def a90_95(data: HitMiss, fit: LogitFit) -> PodSize:
    """The size at which the lower bound of the curve reaches 90 %; not shown when no size tried does."""
    _, high = _ends(data, fit, CLAIMED_POD, CONFIDENCE)
    return NOT_SHOWN if math.isinf(high) else _placed(high, data)


def lower_logits(data: HitMiss, fit: LogitFit, x: Floats) -> Floats:
    """(T,) one-sided lower bounds of the curve at log sizes x, as logits."""
    best = fit.intercept + fit.slope * x
    outside, inside = best - _DEEPEST, best
    allowed = _allowed(data, fit, x, CONFIDENCE)
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        belongs = 2 * (fit.log_likelihood - profile(data, x, middle)) <= allowed
        outside, inside = np.where(belongs, outside, middle), np.where(belongs, middle, inside)
    return inside


def _ends(data: HitMiss, fit: LogitFit, pod: float, confidence: float) -> tuple[float, float]:
    """Log sizes between which the region lies at this POD; infinite where the sizes tried do not enclose it."""

    def outside(x: float) -> float:
        """Above 0 outside the region."""
        at = np.array([x])
        ratio = 2 * (fit.log_likelihood - profile(data, at, float(logit(pod))))
        return float((ratio - _allowed(data, fit, at, confidence))[0])

    best = (float(logit(pod)) - fit.intercept) / fit.slope
    smallest, largest = data.x[[0, -1]]
    # The best curve passes here, inside the region; beyond the sizes tried, nothing is looked for but their edge.
    start = min(max(best, smallest), largest)
    low, high = -math.inf, math.inf
    if outside(start) > 0:
        # The whole region lies beyond one end of the sizes tried.
        return (-math.inf, float(smallest)) if best < smallest else (float(largest), math.inf)
    if outside(smallest) > 0:
        low = brentq(outside, smallest, start, xtol=1e-6)
    if outside(largest) > 0:
        high = brentq(outside, start, largest, xtol=1e-6)
    return low, high


def _placed(x: float, data: HitMiss) -> PodSize:
    """A log size, or on which side of the sizes tried it lies."""
    smallest, largest = float(data.sizes[0]), float(data.sizes[-1])
    size = math.exp(min(max(x, -50.0), 50.0))
    if size <= smallest * (1 + 1e-9):
        return PodSize(relation="<=", value=smallest)
    return PodSize(relation=">", value=largest) if size > largest else PodSize(relation="=", value=size)


def _allowed(data: HitMiss, fit: LogitFit, x: Floats, confidence: float) -> Floats:
    return np.asarray(_quantile(data, confidence) ** 2 * fit.design_effect(x))


def _quantile(data: HitMiss, confidence: float) -> float:
    if data.is_clustered and data.num_groups > 1:
        return float(t.ppf(confidence, data.num_groups - 1))
    return float(norm.ppf(confidence))
