"""A stream is watched from one value to the next: Page's CUSUM, two-sided, with a stated run length. Numpy and
scipy only.

    up(t)   = max(0, up(t-1)   + z(t) - k)        z: the value in deviations of the baseline
    down(t) = max(0, down(t-1) - z(t) - k)        alarm when either exceeds h

k is half of the shift that is found soonest. The average run length without a shift (ARL) follows from k and h by
Siegmund's approximation (1985); here it is given, and h follows. CUSUM rather than EWMA: among tests of the same
ARL none finds the shift 2k sooner in the worst case (Moustakides 1986), and its start of the excess dates the
onset.

Values are cut at ``cut`` deviations: one freak lot cannot raise an alarm, a shift needs two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field
from scipy.special import ndtri

from waferlens.errors import DataError, OptionsError

Floats = npt.NDArray[np.float64]
_OVERSHOOT = 1.166
"""What a random walk of unit steps leaps over its bound, on average twice (Siegmund 1985)."""


class CusumOptions(BaseModel, frozen=True, extra="forbid"):
    """One stream's watch."""

    slack: float = Field(1.0, gt=0, le=3, description="k: half of the shift that is found soonest, deviations")
    cut: float = Field(4.0, gt=1, description="values are cut at so many deviations")
    run_length: float = Field(2e5, gt=10, description="values between two alarms without a shift, on average")


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a stream was when all was well, learned from num_values of its values."""

    mean: float
    deviation: float
    num_values: int

    @classmethod
    def learn(cls, values: Floats) -> Baseline:
        """From (n,) values. Raises DataError for fewer than eight, or when they do not vary."""
        if len(values) < 8 or not np.isfinite(values).all():
            raise DataError(
                "a baseline needs more", expected="eight or more finite values", found=f"{len(values)}"
            )
        # The next value lies around an estimated mean: its deviation is larger by that, and by Student's
        # correction.
        n = len(values)
        deviation = float(np.std(values, ddof=1)) * math.sqrt((1 + 1 / n) * (n - 1) / (n - 3))
        if deviation <= 0:
            raise DataError("a baseline does not vary", expected="values that differ", found=f"all {values[0]}")
        return cls(mean=float(np.mean(values)), deviation=deviation, num_values=n)


@dataclass(frozen=True, kw_only=True)
class Excursion:
    """An alarm. index: of the value that raised it. onset: of the excess's first value. shift: their mean z."""

    index: int
    onset: int
    shift: float


def bound_for(run_length: float, slack: float) -> float:
    """h for a two-sided CUSUM with this average run length.

    One side's: ARL = (exp(2 k b) - 2 k b - 1) / (2 k^2), b = h + 1.166; two sides alarm twice as often.
    """
    if run_length <= 1 or slack <= 0:
        raise OptionsError("run length and slack of a CUSUM", expected="> 1, > 0", found=f"{run_length}, {slack}")
    low, high = 0.0, 200.0 / slack
    for _ in range(100):
        middle = 0.5 * (low + high)
        x = 2 * slack * (middle + _OVERSHOOT)
        if x < 600 and (math.expm1(x) - x) / (2 * slack**2) < 2 * run_length:
            low = middle
        else:
            high = middle
    return high


def watch(values: Floats, baseline: Baseline, options: CusumOptions | None = None) -> list[Excursion]:
    """Every alarm of a stream (n,), oldest first; after one the sums start again at zero."""
    options = options or CusumOptions()
    bound = bound_for(options.run_length, options.slack)
    z = np.clip((values - baseline.mean) / baseline.deviation, -options.cut, options.cut)
    found: list[Excursion] = []
    up = down = 0.0
    since_up = since_down = 0
    for index, value in enumerate(z.tolist()):
        up = max(0.0, up + value - options.slack)
        down = max(0.0, down - value - options.slack)
        since_up = since_up if up > 0 else index + 1
        since_down = since_down if down > 0 else index + 1
        if max(up, down) > bound:
            onset = since_up if up > bound else since_down
            found.append(Excursion(index=index, onset=onset, shift=float(z[onset : index + 1].mean())))
            up = down = 0.0
            since_up = since_down = index + 1
    return found


def normal_scores(values: Floats, num_baseline: int) -> Floats:
    """(n,) values to the quantiles of a normal law that they have among the first ``num_baseline`` of them.

    Whatever the law of the values, the baseline's are normal then, and one that lies beyond all of them is only
    as far as so many can tell.
    """
    ordered = np.sort(values[:num_baseline])
    below = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return np.asarray(ndtri((below / 2 + 0.5) / (len(ordered) + 1)), dtype=np.float64)


def group_means(values: Floats, size: int) -> Floats:
    """(n // size, ...) means of consecutive values (n, ...); a last group that is not full waits."""
    whole = len(values) // size * size
    return np.asarray(values[:whole].reshape(-1, size, *values.shape[1:]).mean(axis=1), dtype=np.float64)


def group_ends(moments: Sequence[int] | npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    """(n // size,) the moment of the last value of every full group."""
    whole = len(moments) // size * size
    return np.asarray(moments, dtype=np.int64)[:whole].reshape(-1, size)[:, -1]
