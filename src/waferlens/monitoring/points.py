"""One inspection point that moved alone: a week of it against its own baseline, and against the other points.

A point is one of two hundred: the mean of a wafer hardly notices it, so each is tested by itself. Images of one
point lie on different wafers and are independent; what moved all points alike is taken out first (their median).
Welch's t, Holm over all points, and an effect of at least so many deviations of that point's own images. Numpy
and scipy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field
from scipy.stats import t as student

from waferlens.monitoring.weekly import holm

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.str_]


class PointOptions(BaseModel, frozen=True, extra="forbid"):
    """When one point's week is an alarm."""

    alpha: float = Field(0.002, gt=0, lt=0.5, description="chance of any false alarm in one week, over all points")
    effect: float = Field(0.5, ge=0, description="least shift, in deviations of the point's own images")
    least_images: int = Field(8, ge=3, description="images of a point that either side needs")


@dataclass(frozen=True, kw_only=True)
class PointShift:
    """A point that moved. effect: shift in deviations of its own images."""

    point: str
    shift: float
    effect: float
    adjusted_p: float


def moved_points(
    before: tuple[Floats, Texts], now: tuple[Floats, Texts], options: PointOptions | None = None
) -> list[PointShift]:
    """The points that moved apart from the rest, the surest first.

    before, now: value (n,) and point (n,) of each image; values that are not finite are left out.
    """
    options = options or PointOptions()
    old, new = _by_point(*before), _by_point(*now)
    tested = []
    for point in sorted(old.keys() & new.keys()):
        a, b = old[point], new[point]
        if min(len(a), len(b)) >= options.least_images and a.var() > 0:
            tested.append((point, float(b.mean() - a.mean()), a, b))
    if not tested:
        return []
    common = float(np.median([shift for _, shift, _, _ in tested]))
    p_values = [_welch(shift - common, a, b) for _, shift, a, b in tested]
    found = [
        PointShift(
            point=point, shift=shift - common, effect=(shift - common) / float(a.std(ddof=1)), adjusted_p=corrected
        )
        for (point, shift, a, _), corrected in zip(tested, holm(p_values), strict=True)
    ]
    alarming = [p for p in found if p.adjusted_p < options.alpha and abs(p.effect) >= options.effect]
    return sorted(alarming, key=lambda each: each.adjusted_p)


def _by_point(values: Floats, points: Texts) -> dict[str, Floats]:
    known = np.isfinite(values)
    names, index = np.unique(points[known], return_inverse=True)
    order = np.argsort(index, kind="stable")
    parts = np.split(values[known][order], np.cumsum(np.bincount(index, minlength=len(names)))[:-1])
    return dict(zip(map(str, names), parts, strict=True)) if len(names) else {}


def _welch(shift: float, a: Floats, b: Floats) -> float:
    parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    freedom = sum(parts) ** 2 / max(parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1), 1e-300)
    return float(2 * student.sf(abs(shift) / max(sum(parts) ** 0.5, 1e-300), freedom))
