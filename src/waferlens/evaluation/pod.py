"""Probability of detection (POD) by size, from hits and misses, as in MIL-HDBK-1823A. Knows nothing of images.

a50 and a90 are the sizes at which half and nine tenths of the defects are found. a90/95 is the size from which on
the lower 95 % confidence bound of the curve lies above 90 %: what may be claimed.

The curve is a logit in log size (`pod_likelihood`). Where the data do not carry one, none is made up: the outcome
says so, and sizes come from `pod_exact`, which needs no curve.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from waferlens.errors import MetricError
from waferlens.evaluation.pod_bounds import a90_95, lower_logits, rises_significantly, size_at
from waferlens.evaluation.pod_curve import CLAIMED_POD, DrawnCurve, PodCurve, PodOutcome
from waferlens.evaluation.pod_exact import exact_a90_95, exact_size_at
from waferlens.evaluation.pod_likelihood import Floats, HitMiss, LogitFit, fit_logit

FIT_DRAWS = 1999
MISFIT_P_VALUE = 0.05
_DRAWN_POINTS = 61
_NEVER_FITTED = (PodOutcome.ALL_FOUND, PodOutcome.NONE_FOUND, PodOutcome.NO_SLOPE)


def fit_pod(
    sizes: npt.ArrayLike, found: npt.ArrayLike, groups: Sequence[Hashable] | None = None, *, seed: int = 0
) -> PodCurve:
    """The curve of N trials.

    sizes: (N,) pixels, above 0. found: (N,) bool. groups: N names; trials of one group (an image, a wafer) may
    have something in common. None: all are independent. seed: of the draws behind ``fit_p_value``.
    Raises MetricError for other shapes, sizes that are not positive, or fewer than two sizes.
    """
    data = _tabulated(np.asarray(sizes, dtype=np.float64), np.asarray(found, dtype=np.bool_), groups)
    fit = fit_logit(data)
    p_value = _fit_p_value(data, fit, seed)
    outcome = _outcome(data, fit, p_value)
    without_curve = PodCurve(
        outcome=outcome,
        sizes=tuple(data.sizes.tolist()),
        num_trials=tuple(data.n.tolist()),
        num_found=tuple(data.k.tolist()),
        num_groups=data.num_groups,
        a50=exact_size_at(data, 0.5),
        a90=exact_size_at(data, CLAIMED_POD),
        a90_95=exact_a90_95(data),
        fit_p_value=None if outcome in _NEVER_FITTED else p_value,
    )
    if outcome not in (PodOutcome.FITTED, PodOutcome.SEPARATED):
        return without_curve
    return replace(
        without_curve,
        a50=size_at(data, fit, 0.5),
        a90=size_at(data, fit, CLAIMED_POD),
        a90_95=a90_95(data, fit),
        intercept=fit.intercept,
        slope=fit.slope,
        design_effect=float(fit.design_effect((logit(CLAIMED_POD) - fit.intercept) / fit.slope)),
        drawn=_drawn(data, fit),
    )


def _outcome(data: HitMiss, fit: LogitFit, fit_p_value: float) -> PodOutcome:
    if (data.k == data.n).all():
        return PodOutcome.ALL_FOUND
    if not data.k.any():
        return PodOutcome.NONE_FOUND
    if not rises_significantly(data, fit):
        return PodOutcome.NO_SLOPE
    if fit_p_value < MISFIT_P_VALUE:
        return PodOutcome.MISFIT
    num_mixed = int(((data.k > 0) & (data.k < data.n)).sum())
    is_rising = bool((np.diff(data.k / data.n) >= 0).all())
    return PodOutcome.SEPARATED if num_mixed <= 1 and is_rising else PodOutcome.FITTED


def _fit_p_value(data: HitMiss, fit: LogitFit, seed: int) -> float:
    """How often rates drawn from the curve lie at least as far from it, by Pearson's statistic.

    Draws are not fitted again, and trials count as independent at each size: slow to accuse, never hasty.
    """
    pod = expit(fit.intercept + fit.slope * data.x).clip(1e-9, 1 - 1e-9)
    expected, variance = data.n * pod, data.n * pod * (1 - pod)
    drawn = np.random.default_rng(seed).binomial(data.n, pod, (FIT_DRAWS, len(pod)))
    distances = (np.square(drawn - expected) / variance).sum(axis=1)
    found = float((np.square(data.k - expected) / variance).sum())
    return float((1 + (distances >= found - 1e-9).sum()) / (1 + FIT_DRAWS))


def _drawn(data: HitMiss, fit: LogitFit) -> DrawnCurve:
    x = np.linspace(data.x[0], data.x[-1], _DRAWN_POINTS)
    return DrawnCurve(
        sizes=tuple(np.exp(x).tolist()),
        pod=tuple(expit(fit.intercept + fit.slope * x).tolist()),
        lower=tuple(expit(lower_logits(data, fit, x)).tolist()),
    )


def _tabulated(sizes: Floats, found: npt.NDArray[np.bool_], groups: Sequence[Hashable] | None) -> HitMiss:
    names = range(len(sizes)) if groups is None else groups
    if sizes.ndim != 1 or sizes.shape != found.shape or len(names) != len(sizes):
        raise MetricError(
            "trials do not fit each other",
            expected="one size, one hit or miss and one group each",
            found=f"{sizes.shape} sizes, {found.shape} found, {len(names)} groups",
        )
    levels, columns = np.unique(sizes, return_inverse=True)
    if not (np.isfinite(sizes).all() and (sizes > 0).all()) or len(levels) < 2:
        raise MetricError(
            "a curve by size needs sizes",
            expected="two or more different ones, finite and above 0",
            found=", ".join(f"{level:g}" for level in levels[:5]) or "none",
        )
    row_of = {name: row for row, name in enumerate(dict.fromkeys(names))}
    rows = np.asarray([row_of[name] for name in names])
    hits, trials = (np.zeros((len(row_of), len(levels)), dtype=np.int64) for _ in range(2))
    np.add.at(trials, (rows, columns), 1)
    np.add.at(hits, (rows, columns), found.astype(np.int64))
    return HitMiss(sizes=levels, hits=hits, trials=trials)
