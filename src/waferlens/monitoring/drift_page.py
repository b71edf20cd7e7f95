"""The page of the drift watch: what moved, and every station's statistics over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from waferlens.evaluation.figures import (
    DEFECT_COLOUR,
    MUTED,
    Picture,
    as_picture,
    label,
    legend,
    new_figure,
    series_colour,
)
from waferlens.monitoring.drift import Drift
from waferlens.monitoring.drift_tables import drift_tables
from waferlens.monitoring.pages import Section
from waferlens.monitoring.points import PointShift
from waferlens.monitoring.wafer_rows import Statistic, WaferRows
from waferlens.monitoring.weekly import Compared
from waferlens.storage.stored import DAY_MS

_BINS = 120


def drift_sections(
    rows: WaferRows,
    since_ms: int,
    drifts: Sequence[Drift],
    week: Sequence[Compared],
    points: Sequence[PointShift],
) -> list[Section]:
    """The page's sections, with plots. since_ms: until then the levels were learned."""
    moved, *tests = drift_tables(drifts, week, points)
    plots = Section(
        title="Statistics over time",
        text="Mean over a station's wafers, as its departure from the level of each image's own point.",
        pictures=[_over_time(rows, statistic, since_ms, drifts) for statistic in Statistic],
    )
    return [moved, plots, *tests]


def _over_time(rows: WaferRows, statistic: Statistic, since_ms: int, drifts: Sequence[Drift]) -> Picture:
    figure, (ax,) = new_figure(height=2.6)
    column = list(Statistic).index(statistic)
    days = (rows.at_ms - rows.at_ms[0]) / DAY_MS
    edges = np.linspace(0, max(float(days[-1]), 1e-6), min(_BINS, max(2, len(rows) // 10)) + 1)
    for index, station in enumerate(np.unique(rows.station)):
        own = (rows.station == station) & np.isfinite(rows.values[:, column])
        which = np.clip(np.digitize(days[own], edges) - 1, 0, len(edges) - 2)
        num = np.bincount(which, minlength=len(edges) - 1)
        total = np.bincount(which, rows.values[own, column], minlength=len(edges) - 1)
        there = num > 0
        middle = 0.5 * (edges[1:] + edges[:-1])
        ax.plot(middle[there], total[there] / num[there], color=series_colour(index), lw=1.2, label=str(station))
    ax.axvline((since_ms - rows.at_ms[0]) / DAY_MS, color=MUTED, lw=0.8, ls=":", label="levels learned until here")
    for drift in drifts:
        if statistic in drift.statistics:
            ax.axvline((drift.raised_ms - rows.at_ms[0]) / DAY_MS, color=DEFECT_COLOUR, lw=1.0)
    label(ax, title=str(statistic), x="days")
    legend(ax, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return as_picture(figure, alt=f"{statistic} of each station over time; red lines are alarms")
