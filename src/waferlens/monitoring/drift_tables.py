"""What the drift watch found: words, tables, streams over time. ``drift_page`` and the station draw it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from waferlens.monitoring.drift import Drift, stream_names
from waferlens.monitoring.pages import Section
from waferlens.monitoring.points import PointShift
from waferlens.monitoring.wafer_rows import Statistic, WaferRows
from waferlens.monitoring.weekly import Compared

_BINS = 120


def moment(at_ms: int) -> str:
    """Date and time, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def drift_tables(drifts: Sequence[Drift], week: Sequence[Compared], points: Sequence[PointShift]) -> list[Section]:
    """What moved and why, then the tests with their effect sizes: the words of the page."""
    return [
        Section(
            title="What moved",
            text="Each row is one cause, however many streams saw it. A shift of brightness is of the lamp or the"
            " camera: the detector takes it out before it judges.",
            columns=("since", "raised", "cause", "by how much", "statistics"),
            rows=[
                (moment(d.onset_ms), moment(d.raised_ms), d.where(), d.amount(), ", ".join(d.statistics))
                for d in drifts
            ],
            nothing="Nothing moved.",
        ),
        Section(
            title="This week's PASS scores against the reference",
            text="D is the size of the difference, the largest of the two shares below a score; p is how easily"
            " chance makes it. An alarm needs both.",
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


def drift_series(rows: WaferRows, since_ms: int) -> dict[str, Any]:
    """Every stream over time, for JSON and a plot: begin and end of the time in ms, and a list of lines.

    A line has station, product, statistic and (bin, mean) pairs; means are in deviations of that stream's own
    wafers before ``since_ms``, so that every statistic has the same unit, that of the effect.
    """
    begin, end = int(rows.at_ms[0]), max(int(rows.at_ms[-1]), int(rows.at_ms[0]) + 1)
    num = min(_BINS, max(2, len(rows) // 10))
    bins = np.minimum((rows.at_ms - begin) * num // (end - begin), num - 1)
    lines = []
    for station, product in stream_names(rows):
        own = (rows.station == station) & (rows.product == product)
        for column, statistic in enumerate(Statistic):
            values = rows.values[:, column]
            there = own & np.isfinite(values)
            normal = values[there & (rows.at_ms < since_ms)]
            if len(normal) < 2 or normal.std() == 0:
                continue
            apart = (values[there] - normal.mean()) / normal.std()
            count = np.bincount(bins[there], minlength=num)
            total = np.bincount(bins[there], apart, minlength=num)
            pairs = [[int(b), round(float(total[b] / count[b]), 3)] for b in np.flatnonzero(count)]
            lines.append({"station": station, "product": product, "statistic": str(statistic), "means": pairs})
    return {"begin_ms": begin, "end_ms": end, "since_ms": since_ms, "num_bins": num, "lines": lines}
