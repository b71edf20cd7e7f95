"""The stratified bootstrap over images, as counts: how often each image stands in each draw.

Normal and defective images are drawn apart, so every draw has as many of each as the test set.
Counts instead of copies let a metric be computed for all draws at once by sums over images.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from waferlens.evaluation.scored import BoolArray, Scores
from waferlens.records import Estimate

UNDEFINED = Estimate(value=float("nan"), low=float("nan"), high=float("nan"))
"""A figure that the data at hand does not define."""


class MetricOptions(BaseModel, frozen=True, extra="forbid"):
    """How metrics and their intervals are computed."""

    max_fpr: float = Field(0.05, gt=0, lt=1, description="false positive rate of the operating point")
    pro_max_fpr: float = Field(0.30, gt=0, le=1, description="pixel false positive rate AUPRO integrates to")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="confidence of every interval")
    num_draws: int = Field(2000, ge=200, description="bootstrap draws of image metrics")
    num_pixel_draws: int = Field(500, ge=200, description="bootstrap draws of pixel metrics")
    num_bins: int = Field(2048, ge=256, le=16384, description="quantile bins per pixel class")
    seed: int = Field(0, ge=0, description="seed of the bootstrap")


def stratified_counts(strata: BoolArray, num_draws: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(num_draws, N): how often image n stands in draw d; each stratum keeps its size in every draw."""
    counts = np.zeros((num_draws, len(strata)), dtype=np.int64)
    for stratum in (False, True):
        members = np.flatnonzero(strata == stratum)
        if members.size:
            even = np.full(members.size, 1 / members.size)
            counts[:, members] = rng.multinomial(members.size, even, size=num_draws)
    return counts


def percentile_interval(draws: Scores, confidence: float) -> tuple[float, float]:
    """The central ``confidence`` share of the bootstrap draws, (low, high)."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def widest(value: float, *intervals: tuple[float, float]) -> Estimate:
    """The estimate with the outermost ends of several intervals.

    Each interval of this chapter that is combined here fails somewhere: the bootstrap collapses at a
    perfect result, exact intervals ignore that the threshold was estimated. The wider end is the honest one.
    """
    return Estimate(
        value=value,
        low=min([value, *(low for low, _ in intervals)]),
        high=max([value, *(high for _, high in intervals)]),
    )
