"""The figure of a POD study: a panel a kind, POD by size, with what was found at every size."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from waferlens.evaluation.figures import (
    INK,
    MUTED,
    SVG_SETTINGS,
    Picture,
    as_picture,
    label,
    new_figure,
    series_colour,
)
from waferlens.evaluation.pod_curve import CLAIMED_POD, PodCurve
from waferlens.evaluation.pod_study import SIZE_NAMES, PodSeries, PodStudy
from waferlens.images.planting import PlantKind

_COLUMNS = 3
_DOTS_PER_INCH = 150
# Series of one panel stand a little apart, as a factor on the size, so that none hides another's intervals.
_APART = 1.05


def pod_figure(study: PodStudy) -> Figure:
    """Line: the curve. Band: down to its lower 95 % bound. Dots with bars: found at a size, exact 95 % interval.

    A triangle stands at a90/95. A series without a curve has its dots joined by a thin dotted line.
    Colours tell contrasts apart; kinds without contrast are black.
    """
    kinds = list(dict.fromkeys(series.kind for series in study.series))
    rows = -(-len(kinds) // _COLUMNS)
    figure, axes = new_figure(width=9.6, height=0.5 + 2.75 * rows, columns=_COLUMNS, rows=rows)
    for number, ax in enumerate(axes):
        if number >= len(kinds):
            ax.set_axis_off()
            continue
        kind = kinds[number]
        _draw_kind(ax, kind, [series for series in study.series if series.kind is kind])
        if number % _COLUMNS == 0:
            ax.set_ylabel("found", fontsize=9.5, color=INK)
        else:
            ax.tick_params(axis="y", labelleft=False)
    _draw_legend(figure, study)
    return figure


def pod_picture(study: PodStudy) -> Picture:
    """The figure for a page."""
    return as_picture(
        pod_figure(study),
        alt="Probability of detection by size of planted defects, a panel a kind",
        caption="Line: POD by size, with the band down to its lower 95 % bound. Dots: share found at that size, "
        "with the exact 95 % interval; dotted where there is no curve. Triangles: a90/95. Sizes in pixels.",
    )


def save_figure(figure: Figure, folder: Path) -> None:
    """Write ``pod.svg`` and ``pod.png``; the same figure gives the same bytes."""
    with matplotlib.rc_context(SVG_SETTINGS):
        figure.savefig(folder / "pod.svg", metadata={"Date": None, "Creator": None})
    figure.savefig(folder / "pod.png", dpi=_DOTS_PER_INCH)


def _draw_kind(ax: Axes, kind: PlantKind, all_series: list[PodSeries]) -> None:
    ax.axhline(CLAIMED_POD, color=MUTED, linewidth=0.9, linestyle=":")
    middle = (len(all_series) - 1) / 2
    for number, series in enumerate(all_series):
        if series.curve is not None:
            colour = INK if series.contrast is None else series_colour(number)
            _draw_series(ax, series.curve, colour, _APART ** (number - middle))
    ax.set_xscale("log")
    sizes = sorted({size for series in all_series if series.curve for size in series.curve.sizes})
    if sizes:
        ax.set_xlim(sizes[0] / 1.25, sizes[-1] * 1.25)
        ax.xaxis.set_major_locator(FixedLocator(sizes[::2]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:g}"))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_ylim(-0.03, 1.03)
    ax.set_yticks(np.linspace(0, 1, 6))
    label(ax, title=str(kind), x=f"{SIZE_NAMES[kind]}, pixels")


def _draw_series(ax: Axes, curve: PodCurve, colour: str, shift: float) -> None:
    sizes, rates = np.asarray(curve.sizes) * shift, curve.found_rates
    ax.vlines(sizes, [r.low for r in rates], [r.high for r in rates], color=colour, linewidth=1.4, alpha=0.45)
    ax.plot(sizes, [r.value for r in rates], "o", color=colour, markersize=4, markeredgewidth=0)
    if curve.drawn is None:
        ax.plot(sizes, [r.value for r in rates], ":", color=colour, linewidth=1.0)
    else:
        ax.plot(curve.drawn.sizes, curve.drawn.pod, color=colour, linewidth=1.8)
        ax.fill_between(
            curve.drawn.sizes, curve.drawn.lower, curve.drawn.pod, color=colour, alpha=0.15, linewidth=0
        )
    if curve.a90_95.value is not None and curve.a90_95.relation != ">":
        ax.plot(
            curve.a90_95.value, CLAIMED_POD, "v", color=colour, markersize=8, markeredgecolor="white", zorder=5
        )


def _draw_legend(figure: Figure, study: PodStudy) -> None:
    contrasts = list(dict.fromkeys(series.contrast for series in study.series if series.contrast is not None))
    handles: list[Artist] = [
        Line2D([], [], color=series_colour(number), linewidth=1.8, label=f"contrast {100 * contrast:g} %")
        for number, contrast in enumerate(contrasts)
    ]
    handles += [
        Patch(color=INK, alpha=0.15, linewidth=0, label="down to the 95 % bound"),
        Line2D([], [], color=INK, marker="o", markersize=4, linewidth=0, label="found, 95 % bars"),
        Line2D([], [], color=INK, linestyle=":", linewidth=1.0, label="no curve"),
        Line2D([], [], color=INK, marker="v", markersize=7, linewidth=0, label="a90/95"),
    ]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=len(handles),
        fontsize=8.5,
        frameon=False,
        labelcolor=INK,
        handlelength=1.4,
        columnspacing=1.3,
    )
