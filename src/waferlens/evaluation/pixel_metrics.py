"""Localisation metrics with intervals: pixel AUROC and AUPRO.

AUPRO (Bergmann et al., CVPR 2019): per-region overlap, averaged over all 8-connected defect regions so
that a small defect weighs as much as a large one, integrated over the pixel false positive rate up to
0.30 and divided by 0.30. Pixels of one image are not independent, so the bootstrap draws whole images.
Computed from `pixel_histograms`; the error of the binning is below one bin of false positive rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from waferlens.evaluation.pixel_histograms import PixelHistograms, pixel_histograms
from waferlens.evaluation.resampling import MetricOptions, percentile_interval, stratified_counts
from waferlens.evaluation.scored import ScoredImages, Scores
from waferlens.records import Estimate, FloatArray

DRAWS_AT_ONCE = 50
"""Bootstrap draws held in memory together: 50 x 4,096 bins x 3 histograms is 5 MB."""


@dataclass(frozen=True, kw_only=True)
class PixelMetrics:
    """num_images, num_regions: what the two figures rest on."""

    pixel_auroc: Estimate
    aupro: Estimate
    num_images: int
    num_regions: int


def pixel_metrics(maps: FloatArray, scored: ScoredImages, options: MetricOptions | None = None) -> PixelMetrics:
    """Pixel AUROC and AUPRO of ``maps`` (N, 256, 256; higher is more anomalous).

    Images without a drawn mask are left out. With a single masked defective image there is nothing to
    resample, and the ends of the intervals are NaN. Raises MetricError as `pixel_histograms` does.
    """
    options = options or MetricOptions()
    histograms = pixel_histograms(maps, scored, options.num_bins)
    once = np.ones((1, len(histograms.num_regions)), dtype=np.float32)
    auroc_value, aupro_value = (float(x[0]) for x in _figures(once, histograms, options.pro_max_fpr))
    if histograms.from_defective.sum() < 2:
        nowhere = (math.nan, math.nan)
        auroc_interval, aupro_interval = nowhere, nowhere
    else:
        auroc_draws, aupro_draws = _draws(histograms, options)
        auroc_interval = percentile_interval(auroc_draws, options.confidence)
        aupro_interval = percentile_interval(aupro_draws, options.confidence)
    return PixelMetrics(
        pixel_auroc=Estimate(value=auroc_value, low=auroc_interval[0], high=auroc_interval[1]),
        aupro=Estimate(value=aupro_value, low=aupro_interval[0], high=aupro_interval[1]),
        num_images=len(histograms.num_regions),
        num_regions=int(histograms.num_regions.sum()),
    )


def _draws(histograms: PixelHistograms, options: MetricOptions) -> tuple[Scores, Scores]:
    rng = np.random.default_rng(options.seed)
    counts = stratified_counts(histograms.from_defective, options.num_pixel_draws, rng).astype(np.float32)
    parts = [
        _figures(counts[start : start + DRAWS_AT_ONCE], histograms, options.pro_max_fpr)
        for start in range(0, len(counts), DRAWS_AT_ONCE)
    ]
    return np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts])


def _figures(
    weights: npt.NDArray[np.float32], histograms: PixelHistograms, max_fpr: float
) -> tuple[Scores, Scores]:
    """(pixel AUROC, AUPRO) for each row of image weights (D, N)."""
    # (D, N) @ (N, K) -> (D, K), then cumulative from the highest bin down; column 0 is "above everything".
    false_alarm_rate = _cumulative_share(weights @ histograms.normal)
    hit_rate = _cumulative_share(weights @ histograms.defective)
    overlap = _cumulative_share(weights @ histograms.coverage)
    areas = (np.diff(false_alarm_rate, axis=1) * (hit_rate[:, 1:] + hit_rate[:, :-1]) / 2).sum(axis=1)
    return areas, _partial_area(false_alarm_rate, overlap, max_fpr)


def _cumulative_share(counts: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    total = np.cumsum(counts, axis=1, dtype=np.float64)
    return np.pad(total / total[:, -1:], ((0, 0), (1, 0)))


def _partial_area(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], limit: float) -> Scores:
    """Trapezoid area under each row of y over x in [0, limit], divided by limit."""
    left, right = np.minimum(x[:, :-1], limit), np.minimum(x[:, 1:], limit)
    width = np.maximum(x[:, 1:] - x[:, :-1], np.finfo(np.float64).tiny)
    # Where the limit falls inside a step, the step is cut on the straight line between its ends.
    end = y[:, :-1] + (y[:, 1:] - y[:, :-1]) * (right - left) / width
    area: Scores = ((right - left) * (y[:, :-1] + end) / 2).sum(axis=1) / limit
    return area
