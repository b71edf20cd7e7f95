"""A histogram of scores with two thresholds, as shapes to draw. Heights are logarithmic: a single defect shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from waferlens.review.what_if import Band
from waferlens.web.station.writing import number

WIDTH, HEIGHT = 900.0, 200.0
_BINS = 60


@dataclass(frozen=True, kw_only=True)
class Column:
    """One bin: from x, so wide and high; look: the decision of its middle."""

    x: float
    width: float
    y: float
    height: float
    look: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """marks: (x, label) of the axis. band: x of both thresholds; other: of the band that is tried, if any."""

    columns: Sequence[Column]
    marks: Sequence[tuple[float, str]]
    band: tuple[float, float]
    other: tuple[float, float] | None
    num_beyond: int


def axis_of(scores: Sequence[npt.NDArray[np.float64]], bands: Sequence[Band]) -> tuple[float, float]:
    """(low, high) of an axis that shows the bands and what lies around them. scores: (n,) each."""
    least = [float(each[np.isfinite(each)].min(initial=0.0)) for each in scores]
    low = min(*least, *(each.review for each in bands))
    high = max(each.reject for each in bands)
    return low, high + (0.6 * (high - low) or 1.0)


def draw_histogram(
    scores: npt.NDArray[np.float64], band: Band, other: Band | None, axis: tuple[float, float] | None = None
) -> Histogram:
    """scores: (n,), those that are not finite are left out. What lies beyond the axis stands in its last bin.

    axis: to share with another histogram; None: of these scores and bands (``axis_of``).
    """
    known = scores[np.isfinite(scores)]
    bands = [band] if other is None else [band, other]
    low, high = axis or axis_of([known], bands)
    edges = np.linspace(low, high, _BINS + 1)
    counts, _ = np.histogram(np.clip(known, low, high), edges)
    most = math.log1p(max(1, counts.max(initial=0)))
    step = WIDTH / _BINS
    shown = other or band
    columns = []
    for bin_number, count in enumerate(counts):
        middle = (edges[bin_number] + edges[bin_number + 1]) / 2
        look = "PASS" if middle < shown.review else "REVIEW" if middle < shown.reject else "REJECT"
        height = HEIGHT * math.log1p(int(count)) / most
        title = f"{count} images from {edges[bin_number]:.2f} to {edges[bin_number + 1]:.2f}"
        columns.append(
            Column(
                x=round(bin_number * step + 0.5, 1),
                width=round(step - 1, 1),
                y=round(HEIGHT - height, 1),
                height=round(height, 1),
                look=look,
                title=title,
            )
        )

    def place(score: float) -> float:
        return round(WIDTH * (score - low) / (high - low), 1)

    ticks = np.linspace(low, high, 7)
    return Histogram(
        columns=columns,
        marks=[(place(float(tick)), number(float(tick), 1)) for tick in ticks],
        band=(place(band.review), place(band.reject)),
        other=None if other is None else (place(other.review), place(other.reject)),
        num_beyond=int((known > high).sum()),
    )
