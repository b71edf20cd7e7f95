"""Image metrics with 95 % intervals: AUROC, AUPRC, and the miss rate at a false positive rate.

Where an interval has a known weak spot a second one stands beside it and the wider end is reported:

======================  ==========================================================================
AUROC                   DeLong, DeLong, Clarke-Pearson (1988) on the logit scale; Newcombe (2006), method 5,
                        which stays open at AUROC = 1 where DeLong's variance vanishes
AUPRC                   stratified bootstrap; exact binomial in the number of defective images after
                        Boyd, Eng, Page (2013), which stays open at 1
FNR at FPR              Clopper-Pearson on the misses, given the threshold; stratified bootstrap, which
                        also draws the normal images that set the threshold
======================  ==========================================================================

Raises MetricError (through `ranking.split_by_class`) when a class is missing.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import beta, norm, rankdata

from waferlens.decision.intervals import clopper_pearson
from waferlens.evaluation.ranking import (
    auroc,
    num_allowed_alarms,
    operating_point,
    split_by_class,
)
from waferlens.evaluation.resampling import (
    MetricOptions,
    percentile_interval,
    stratified_counts,
    widest,
)
from waferlens.evaluation.scored import Scores
from waferlens.records import Estimate

Counts = npt.NDArray[np.int64]


def image_auroc(scores: npt.ArrayLike, defective: npt.ArrayLike, confidence: float = 0.95) -> Estimate:
    """Area under the ROC curve. scores, defective: (N,)."""
    normal, bad = split_by_class(scores, defective)
    value = auroc(normal, bad)
    return widest(
        value,
        _delong_logit_interval(normal, bad, confidence),
        _newcombe_interval(value, len(normal), len(bad), confidence),
    )


def delong_components(normal: Scores, defective: Scores) -> tuple[Scores, Scores]:
    """DeLong's structural components, by midranks (Sun and Xu, 2014): O(N log N).

    Returns (per normal image, per defective image): each image's own share of won comparisons with the
    other class. Both average to the AUROC.
    """
    ranks = rankdata(np.concatenate([normal, defective]))
    m, n = len(normal), len(defective)
    per_normal = 1 - (ranks[:m] - rankdata(normal)) / n
    per_defective = (ranks[m:] - rankdata(defective)) / m
    return per_normal, per_defective


def average_precision(normal: Scores, defective: Scores) -> float:
    """Sum over distinct scores of (gain in recall) x (precision there): no interpolation."""
    order, labels, group_ends = _descending(normal, defective)
    return float(_average_precisions(np.ones((1, order.size), dtype=np.int64), labels, group_ends)[0])


def image_auprc(scores: npt.ArrayLike, defective: npt.ArrayLike, options: MetricOptions | None = None) -> Estimate:
    """Area under the precision-recall curve, as average precision. scores, defective: (N,)."""
    options = options or MetricOptions()
    normal, bad = split_by_class(scores, defective)
    order, labels, group_ends = _descending(normal, bad)
    strata = np.arange(order.size) >= len(normal)
    counts = stratified_counts(strata, options.num_draws, np.random.default_rng(options.seed))
    draws = _average_precisions(counts[:, order], labels, group_ends)
    value = average_precision(normal, bad)
    return widest(
        value,
        percentile_interval(draws, options.confidence),
        _binomial_interval(value, len(bad), options.confidence),
    )


def fnr_at_fpr(scores: npt.ArrayLike, defective: npt.ArrayLike, options: MetricOptions | None = None) -> Estimate:
    """Share of defective images missed at the loosest threshold with FPR <= options.max_fpr.

    The threshold is `ranking.operating_point`'s. scores, defective: (N,).
    """
    options = options or MetricOptions()
    normal, bad = split_by_class(scores, defective)
    point = operating_point(normal, bad, options.max_fpr)
    draws = _fnr_draws(normal, bad, options)
    return widest(
        point.false_negative_rate,
        clopper_pearson(point.num_misses, point.num_defective, options.confidence),
        percentile_interval(draws, options.confidence),
    )


def _delong_logit_interval(normal: Scores, defective: Scores, confidence: float) -> tuple[float, float]:
    value = auroc(normal, defective)
    if min(len(normal), len(defective)) < 2 or not 0 < value < 1:
        return value, value  # no variance to be had; Newcombe's interval stands beside this one
    per_normal, per_defective = delong_components(normal, defective)
    variance = per_normal.var(ddof=1) / len(normal) + per_defective.var(ddof=1) / len(defective)
    reach = float(norm.ppf((1 + confidence) / 2)) * math.sqrt(variance) / (value * (1 - value))
    centre = math.log(value / (1 - value))
    return 1 / (1 + math.exp(reach - centre)), 1 / (1 + math.exp(-reach - centre))


def _newcombe_interval(value: float, m: int, n: int, confidence: float) -> tuple[float, float]:
    """Newcombe (2006), method 5: the areas whose Hanley-McNeil variance just reaches the estimate."""
    z = float(norm.ppf((1 + confidence) / 2))
    size = (m + n) / 2

    def reach(area: float) -> float:
        spread = 1 + (size - 1) * ((1 - area) / (2 - area) + area / (1 + area))
        return z * math.sqrt(max(area * (1 - area), 0.0) * spread / (m * n))

    def lowest(estimate: float) -> float:
        if estimate <= 0:
            return 0.0
        return float(brentq(lambda area: estimate - area - reach(area), 0.0, estimate * (1 - 1e-9)))

    # The variance is symmetric about one half, so the upper end is the lower end of the reversed ranking.
    return lowest(value), 1 - lowest(1 - value)


def _binomial_interval(value: float, n: int, confidence: float) -> tuple[float, float]:
    """Clopper-Pearson with a fractional count of successes, value * n of n."""
    tail = (1 - confidence) / 2
    successes = value * n
    low = 0.0 if successes <= 0 else float(beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes >= n else float(beta.ppf(1 - tail, successes + 1, n - successes))
    return low, high


def _descending(normal: Scores, defective: Scores) -> tuple[Counts, Counts, Counts]:
    """(order by falling score, 1 where defective in that order, last index of each run of ties)."""
    scores = np.concatenate([normal, defective])
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    group_ends = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    return order, (order >= len(normal)).astype(np.int64), group_ends


def _average_precisions(counts: Counts, labels: Counts, group_ends: Counts) -> Scores:
    """One average precision a row of counts (draws, N); columns in falling order of score."""
    hits = np.cumsum(counts * labels, axis=1)[:, group_ends]
    alarms = np.cumsum(counts, axis=1)[:, group_ends]
    gains = np.diff(hits, axis=1, prepend=0)
    precision = hits / np.maximum(alarms, 1)
    total: Scores = (gains * precision).sum(axis=1) / hits[:, -1]
    return total


def _fnr_draws(normal: Scores, defective: Scores, options: MetricOptions) -> Scores:
    m, n = len(normal), len(defective)
    strata = np.arange(m + n) >= m
    counts = stratified_counts(strata, options.num_draws, np.random.default_rng(options.seed))
    descending = np.argsort(-normal, kind="stable")
    alarms = np.cumsum(counts[:, descending], axis=1)
    allowed = num_allowed_alarms(m, options.max_fpr)
    highest_quiet = normal[descending][(alarms > allowed).argmax(axis=1)]
    ascending = np.argsort(defective, kind="stable")
    missed = np.cumsum(counts[:, m + ascending], axis=1)
    num_at_or_below = np.searchsorted(defective[ascending], highest_quiet, side="right")
    padded = np.concatenate([np.zeros((len(missed), 1), dtype=missed.dtype), missed], axis=1)
    draws: Scores = padded[np.arange(len(padded)), num_at_or_below] / n
    return draws
