"""Would a brightness threshold do? AUROC of simple image statistics, corrected for picking the best.

Each statistic is scored by its distance from the median of the *training* normals, so no direction is
learned from the test set. The best of K is still picked on it; each interval is therefore at confidence
1 - 0.05 / K (Bonferroni), and the interval of the best holds after the picking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from waferlens.evaluation.image_metrics import image_auroc
from waferlens.evaluation.scored import BoolArray, Scores
from waferlens.records import Estimate, FloatArray

STATISTICS = ("mean", "deviation", "darkest 1 %", "median", "brightest 1 %", "dark area", "bright area")
"""Computed per image; the areas are shares of pixels beyond the training normals' outer 1 % of greys."""


@dataclass(frozen=True, kw_only=True)
class Thresholding:
    """auroc: by statistic, with intervals that hold for all together. best: name of the highest."""

    auroc: Mapping[str, Estimate]
    best: str


def measure_thresholding(images: FloatArray, defective: BoolArray, normals: FloatArray) -> Thresholding:
    """images: (T, 256, 256) with both classes; normals: (N, 256, 256) training images.

    Raises MetricError when a class is missing.
    """
    limits = _outer_greys(normals)
    usual = np.median(_statistics(normals, limits), axis=0)
    departures = np.abs(_statistics(images, limits) - usual)
    confidence = 1 - 0.05 / len(STATISTICS)
    figures = {
        name: image_auroc(departures[:, column], defective, confidence) for column, name in enumerate(STATISTICS)
    }
    return Thresholding(auroc=figures, best=max(figures, key=lambda name: figures[name].value))


def _outer_greys(normals: FloatArray) -> tuple[float, float]:
    step = max(1, normals.size // 2_000_000)
    low, high = np.quantile(np.asarray(normals).ravel()[::step], [0.01, 0.99])
    return float(low), float(high)


def _statistics(images: FloatArray, limits: tuple[float, float]) -> Scores:
    """(T, 7), columns as STATISTICS."""
    low, high = limits
    rows = []
    for image in images:
        percentiles = np.percentile(image, [1, 50, 99])
        rows.append([image.mean(), image.std(), *percentiles, (image < low).mean(), (image > high).mean()])
    return np.array(rows, dtype=np.float64)
