"""The page of the drift watch: what moved, and every station's statistics over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

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
from waferlens.monitoring.pages import Section
from waferlens.monitoring.points import PointShift
from waferlens.monitoring.wafer_rows import Statistic, WaferRows
from waferlens.monitoring.weekly import Compared
from waferlens.storage.stored import DAY_MS

_BINS = 120


def moment(at_ms: int) -> str:
    """Date and time, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def drift_sections(
    rows: WaferRows,
    since_ms: int,
    drifts: Sequence[Drift],
    week: Sequence[Compared],
    points: Sequence[PointShift],
) -> list[Section]:
    """since_ms: until then the levels were learned."""
    return [
        Section(
            title="What moved",
            text="Each row is one cause, however many streams saw it. A shift of brightness is of the lamp or the"
            " camera: the detector takes it out before it judges.",
            columns=("since", "raised", "what and where", "statistics"),
            rows=[(moment(d.onset_ms), moment(d.raised_ms), d.told(), ", ".join(d.statistics)) for d in drifts],
            nothing="Nothing moved.",
        ),
        Section(
            title="Statistics over time",
            text="Mean over a station's wafers, as its departure from the level of each image's own point.",
            pictures=[_over_time(rows, statistic, since_ms, drifts) for statistic in Statistic],
        ),
        Section(
            title="This week's PASS scores against the reference",
            columns=("station, product", "D", "p (Holm)", "images", "worth", "alarm"),
            rows=[
                (
                    c.name,
                    f"{c.distance:.3f}",
                    f"{c.adjusted_p:.2g}",
                    f"{c.num_images:,}",
                    f"{c.num_effective:,.0f}",
                    "yes" if c.alarm else "no",
                )
                for c in week
            ],
            nothing="No reference was given, or too few images passed this week.",
        ),
        Section(
            title="Inspection points that moved alone",
            columns=("point", "score", "in its deviations", "p (Holm)"),
            rows=[(p.point, f"{p.shift:+.2f}", f"{p.effect:+.2f}", f"{p.adjusted_p:.2g}") for p in points],
            nothing="None.",
        ),
    ]


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
