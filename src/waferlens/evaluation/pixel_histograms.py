"""A test set's pixel values as one small histogram an image: what every pixel metric is computed from.

Shape legend: N images, K bins. Bin edges are common to all images: quantiles of the normal pixels and of
the defective pixels, so that neither the bulk nor the rare high tail is coarse. Within a bin, pixels tie.
Once counted, a bootstrap draw over images is a weighted sum of rows, without touching a pixel again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label

from waferlens.errors import MetricError
from waferlens.evaluation.scored import BoolArray, ScoredImages
from waferlens.records import FloatArray

MAX_EDGE_SAMPLES = 2_000_000
"""Pixels of each class from which the bin edges are taken; all are counted afterwards."""

EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)
"""Pixels that touch by an edge or a corner belong to one defect region."""


@dataclass(frozen=True, kw_only=True)
class PixelHistograms:
    """Counts per image and bin; bin 0 holds the highest values.

    normal, defective: (N, K) pixel counts. coverage: (N, K), for each bin the sum over the image's defect
    regions of the share of that region whose pixels lie in it, so a row sums to its number of regions.
    num_regions: (N,). from_defective: (N,) bool, the stratum of the bootstrap.
    """

    normal: npt.NDArray[np.float32]
    defective: npt.NDArray[np.float32]
    coverage: npt.NDArray[np.float32]
    num_regions: npt.NDArray[np.int64]
    from_defective: BoolArray


def pixel_histograms(maps: FloatArray, scored: ScoredImages, num_bins: int = 2048) -> PixelHistograms:
    """Count the values of ``maps`` (N, 256, 256) over the images of ``scored`` that have a mask.

    num_bins: quantile bins per pixel class. Raises MetricError when no defective image has a mask or a
    value is not finite.
    """
    usable = np.flatnonzero(scored.has_mask)
    if not scored.defective[usable].any():
        raise MetricError(
            "pixel metrics need a defective image with a mask",
            expected="at least one",
            found=f"{int(scored.defective.sum())} defective images, none with a mask",
        )
    _require_finite(maps, scored, usable)
    edges = _quantile_edges(maps, scored.masks, usable, num_bins)
    num_columns = len(edges) + 1
    normal = np.zeros((usable.size, num_columns), dtype=np.float32)
    defective, coverage = np.zeros_like(normal), np.zeros_like(normal)
    num_regions = np.zeros(usable.size, dtype=np.int64)
    for row, index in enumerate(usable):
        # Bins are numbered from the top, so a cumulative sum counts pixels at or above a bin.
        bins = num_columns - 1 - np.searchsorted(edges, np.asarray(maps[index]), side="right")
        mask = np.asarray(scored.masks[index])
        normal[row] = np.bincount(bins[~mask], minlength=num_columns)
        if mask.any():
            defective[row] = np.bincount(bins[mask], minlength=num_columns)
            coverage[row], num_regions[row] = _region_coverage(bins, mask, num_columns)
    return PixelHistograms(
        normal=normal,
        defective=defective,
        coverage=coverage,
        num_regions=num_regions,
        from_defective=scored.defective[usable],
    )


def _region_coverage(
    bins: npt.NDArray[np.int64], mask: BoolArray, num_columns: int
) -> tuple[npt.NDArray[np.float64], int]:
    regions, num_regions = label(mask, structure=EIGHT_CONNECTED)
    region_of_pixel = regions[mask]
    share_of_pixel = 1 / np.bincount(region_of_pixel, minlength=num_regions + 1)[region_of_pixel]
    coverage = np.bincount(bins[mask], weights=share_of_pixel, minlength=num_columns)
    return coverage.astype(np.float64), int(num_regions)


def _require_finite(maps: FloatArray, scored: ScoredImages, usable: npt.NDArray[np.intp]) -> None:
    for index in usable:
        if not np.isfinite(maps[index]).all():
            raise MetricError(
                "a heatmap holds values that are not finite",
                expected="finite numbers",
                found=f"NaN or infinity for {scored.names[index]}",
            )


def _quantile_edges(maps: FloatArray, masks: BoolArray, usable: npt.NDArray[np.intp], num_bins: int) -> FloatArray:
    """Sorted unique inner edges: the quantiles of both pixel classes."""
    probabilities = np.linspace(0, 1, num_bins + 1)[1:-1]
    edges = []
    for defective in (False, True):
        sample = _sample_class(maps, masks, usable, defective)
        if sample.size:
            # "lower" keeps edges on values that occur, so a tie in the data stays a tie in the bins.
            edges.append(np.quantile(sample, probabilities, method="lower"))
    unique: FloatArray = np.unique(np.concatenate(edges)).astype(np.float32)
    return unique


def _sample_class(maps: FloatArray, masks: BoolArray, usable: npt.NDArray[np.intp], defective: bool) -> FloatArray:
    """Every step-th pixel of one class, in image order: deterministic and spread over all images."""
    total = sum(int((masks[index] == defective).sum()) for index in usable)
    step = max(1, -(-total // MAX_EDGE_SAMPLES))
    return np.concatenate([maps[index][masks[index] == defective][::step] for index in usable])
