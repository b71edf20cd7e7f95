"""The likelihood of hits and misses by size: where its maximum is, and how far around it the data allow.

    logit POD(a) = b0 + b1 log(a),   b1 >= 0                        (MIL-HDBK-1823A, hit/miss data, logit link)
    l*(b) = sum(k log POD + (n - k) log(1 - POD)) + 1/2 log |I(b)|  (Firth 1993)

The second term is Firth's correction: it takes the leading bias out of maximum likelihood, fades as trials grow,
and keeps the maximum finite where hits and misses are separated by size and plain maximum likelihood has none
(Heinze & Schemper 2002). Bounds come from ratios of the same likelihood, maximised over what is not asked for
(profile likelihood). Trials on one group of images are not independent: the ratio that a bound asks for is
multiplied by the design effect, the sandwich variance over the model's (Rotnitzky & Jewell 1990).

Legend: G groups, S sizes in ascending order, T points that are asked about. Knows nothing of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_NEWTON_STEPS = 200
_SMALLEST_DETERMINANT = 1e-300
# Slopes that a profile is maximised over, times the range of the log sizes: from flat to a step between two of
# a thousand sizes. A coarse look finds the right stretch, golden sections then the maximum.
_SLOPES = np.concatenate([[0.0], np.geomspace(0.02, 5e3, 48)])
_GOLDEN = (np.sqrt(5) - 1) / 2
_GOLDEN_STEPS = 16


@dataclass(frozen=True, kw_only=True)
class HitMiss:
    """Trials of one curve. sizes: (S,) pixels, ascending. hits, trials: (G, S) counts."""

    sizes: Floats
    hits: Counts
    trials: Counts

    @cached_property
    def x(self) -> Floats:
        """(S,) natural logs of the sizes."""
        return np.asarray(np.log(self.sizes))

    @cached_property
    def k(self) -> Counts:
        """(S,) hits at each size."""
        return np.asarray(self.hits.sum(axis=0))

    @cached_property
    def n(self) -> Counts:
        """(S,) trials at each size."""
        return np.asarray(self.trials.sum(axis=0))

    @property
    def is_clustered(self) -> bool:
        """Whether some group was tried more than once."""
        return bool((self.trials.sum(axis=1) > 1).any())

    @property
    def num_groups(self) -> int:
        """Groups that were tried at all."""
        return int((self.trials.sum(axis=1) > 0).sum())


@dataclass(frozen=True, kw_only=True)
class LogitFit:
    """The maximum of the corrected likelihood. logit POD = intercept + slope * log(size in pixels).

    log_likelihood: its value there. spread: (2, 2), covariance of (intercept, slope) if trials were independent.
    robust_spread: the same from the groups' scores, whatever the trials of one group have in common.
    """

    intercept: float
    slope: float
    log_likelihood: float
    spread: Floats
    robust_spread: Floats

    def design_effect(self, x: Floats | float) -> Floats:
        """How many times the variance of the curve at log size x exceeds that of independent trials; >= 1."""
        direction = np.stack(np.broadcast_arrays(1.0, np.asarray(x, dtype=np.float64)), axis=-1)
        return _ratio(direction, self.robust_spread, self.spread)

    @property
    def slope_design_effect(self) -> float:
        """The same for the slope."""
        return float(_ratio(np.array([0.0, 1.0]), self.robust_spread, self.spread))


def fit_logit(data: HitMiss) -> LogitFit:
    """Maximise l* by Newton's method on Firth's modified score; halve a step that does not climb."""
    x, k, n = data.x, data.k, data.n
    design = np.stack([np.ones_like(x), x], axis=1)
    share = (k.sum() + 0.5) / (n.sum() + 1.0)
    b = np.array([np.log(share / (1 - share)), 0.0])
    value = _corrected(b[0] + b[1] * x, x, k, n)
    for _ in range(_NEWTON_STEPS):
        pod = expit(design @ b)
        spread = np.linalg.inv(_information(design, pod, n))
        leverage = n * pod * (1 - pod) * np.einsum("sp,pq,sq->s", design, spread, design)
        step = spread @ design.T @ (k - n * pod + leverage * (0.5 - pod))
        scale = 1.0
        while scale > 1e-9:
            tried = b + scale * step
            reached = _corrected(tried[0] + tried[1] * x, x, k, n)
            if reached >= value:
                break
            scale /= 2
        else:
            break
        gained, b, value = float(reached - value), tried, reached
        if gained < 1e-12:
            break
    pod = expit(design @ b)
    spread = np.linalg.inv(_information(design, pod, n))
    scores = (data.hits - data.trials * pod) @ design
    groups = data.num_groups
    robust = spread @ (scores.T @ scores) @ spread * groups / max(1, groups - 1)
    return LogitFit(
        intercept=float(b[0]),
        slope=float(b[1]),
        log_likelihood=float(value),
        spread=np.asarray(spread),
        robust_spread=np.asarray(robust),
    )


def profile(data: HitMiss, x: Floats, logit_pod: Floats | float) -> Floats:
    """(T,) largest l* among the rising curves through POD = expit(logit_pod) at log sizes x, both (T,)."""
    at = np.asarray(x, dtype=np.float64)[:, None]
    level = np.broadcast_to(np.asarray(logit_pod, dtype=np.float64), (len(at),))[:, None]
    sizes, k, n = data.x, data.k, data.n

    def value(slopes: Floats) -> Floats:
        """(T, M) of slopes (T, M)."""
        return _corrected(level[..., None] + slopes[..., None] * (sizes - at[..., None]), sizes, k, n)

    coarse = np.broadcast_to(_SLOPES / (sizes[-1] - sizes[0]), (len(at), len(_SLOPES)))
    values = value(coarse)
    best = values.argmax(axis=1)
    rows = np.arange(len(at))
    low, high = coarse[rows, np.maximum(best - 1, 0)], coarse[rows, np.minimum(best + 1, len(_SLOPES) - 1)]
    for _ in range(_GOLDEN_STEPS):
        inner = np.stack([high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)], axis=1)
        left, right = value(inner).T
        low, high = np.where(left >= right, low, inner[:, 0]), np.where(left >= right, inner[:, 1], high)
    return np.asarray(np.maximum(values.max(axis=1), value(((low + high) / 2)[:, None])[:, 0]))


def flat_likelihood(data: HitMiss) -> float:
    """Largest l* of a curve that does not depend on size."""
    levels = np.linspace(-12, 12, 2401)
    return float(_corrected(levels[:, None] + 0.0 * data.x, data.x, data.k, data.n).max())


def _corrected(logits: Floats, x: Floats, k: Counts, n: Counts) -> Floats:
    """l* of curves with these logits, (..., S), at log sizes x, (S,)."""
    # log POD is the logit above log(1 - POD), so one logarithm is enough.
    log_missed = log_expit(-logits)
    plain = logits @ k + log_missed @ n
    missed = np.exp(log_missed)
    weights = n * missed * (1 - missed)
    centred = x - x.mean()
    zeroth, first, second = weights.sum(axis=-1), weights @ centred, weights @ centred**2
    determinant = np.maximum(zeroth * second - first**2, _SMALLEST_DETERMINANT)
    return np.asarray(plain + 0.5 * np.log(determinant))


def _information(design: Floats, pod: Floats, n: Counts) -> Floats:
    return np.asarray((design * (n * pod * (1 - pod))[:, None]).T @ design)


def _ratio(direction: Floats, robust: Floats, model: Floats) -> Floats:
    variances = (np.einsum("...p,pq,...q->...", direction, spread, direction) for spread in (robust, model))
    return np.asarray(np.maximum(1.0, next(variances) / next(variances)))
