"""What hits and misses say of a POD without any curve, only that a larger defect is not found less often.

Used where no curve can be fitted or the fitted one does not describe the data. Takes more trials than a curve.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from waferlens.decision.intervals import upper_bound
from waferlens.evaluation.pod_curve import CLAIMED_POD, CONFIDENCE, NOT_SHOWN, PodSize
from waferlens.evaluation.pod_likelihood import HitMiss

_EACH_SIDE = 1 - (1 - CONFIDENCE) / 2


def exact_size_at(data: HitMiss, pod: float) -> PodSize:
    """The size that is found with probability pod, by the rates made monotone and joined in log size.

    low: the largest size that is shown to be found less often; high: the smallest that is shown to be found more
    often; each at 97.5 %, None where no size tried is.
    """
    rates = isotonic_regression(data.k / data.n, weights=data.n).x
    low, high = _largest_below(data, pod, _EACH_SIDE), _smallest_above(data, pod, _EACH_SIDE)
    if rates[0] >= pod:
        return PodSize(relation="<=", value=float(data.sizes[0]), high=high)
    if rates[-1] < pod:
        return PodSize(relation=">", value=float(data.sizes[-1]), low=low)
    above = int(np.argmax(rates >= pod))
    size = np.exp(np.interp(pod, rates[above - 1 : above + 1], data.x[above - 1 : above + 1]))
    return PodSize(relation="=", value=float(size), low=low, high=high)


def exact_a90_95(data: HitMiss) -> PodSize:
    """The smallest size from which on 90 % is shown with 95 % confidence. 29 groups without a miss can show it."""
    size = _smallest_above(data, CLAIMED_POD, CONFIDENCE)
    if size is None:
        return NOT_SHOWN
    return PodSize(relation="<=" if size == data.sizes[0] else "=", value=size)


def _smallest_above(data: HitMiss, pod: float, confidence: float) -> float | None:
    """The smallest size whose POD is shown to be at least ``pod``, at every size from the largest down to it.

    Each size is tested by the exact one-sided bound, and testing ends with the first that fails: in a fixed order
    all tests together err no more often than one. A group counts as one trial, found when all its trials at that
    size are: that happens no more often than that one of them is.
    """
    missed = (data.trials > 0) & (data.hits < data.trials)
    shown = None
    for column in range(len(data.sizes) - 1, -1, -1):
        if _upper_rate(missed[:, column], data.trials[:, column], confidence) > 1 - pod:
            break
        shown = float(data.sizes[column])
    return shown


def _largest_below(data: HitMiss, pod: float, confidence: float) -> float | None:
    """The largest size whose POD is shown to be at most ``pod``: the same from the smallest size upwards."""
    found = data.hits > 0
    shown = None
    for column in range(len(data.sizes)):
        if _upper_rate(found[:, column], data.trials[:, column], confidence) > pod:
            break
        shown = float(data.sizes[column])
    return shown


def _upper_rate(events: npt.NDArray[np.bool_], trials: npt.NDArray[np.int64], confidence: float) -> float:
    return upper_bound(int(events.sum()), int((trials > 0).sum()), confidence)
