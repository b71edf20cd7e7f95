"""The look of every figure, and the way from a figure to an inline picture.

One palette (Okabe and Ito, safe for colour-blind readers), figures as objects: no pyplot, no global style.
Pictures are data URIs inside ``<img>``, so that a report asks nothing of the network.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

NORMAL_COLOUR = "#0072B2"
DEFECT_COLOUR = "#D55E00"
ACCENT_COLOUR = "#009E73"
INK, MUTED, FAINT = "#1f2933", "#5f6b76", "#d9dee3"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5f6b76")
"""Line colours in order; after them the line style changes."""
LINE_STYLES = ("-", "--", ":")

SVG_SETTINGS: dict[Any, Any] = {"svg.fonttype": "path", "svg.hashsalt": "waferlens"}
"""Glyphs as paths: the same on every machine. A fixed salt: the same report has the same bytes."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """uri: data URI. alt: what a reader who cannot see it should know. caption: shown below it."""

    uri: str
    alt: str
    caption: str = ""


def new_figure(
    width: float = 8.4, height: float = 3.4, *, columns: int = 1, rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """A white figure (inches) with tidy axes, row by row."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(rows * columns)]
    for ax in axes:
        tidy(ax)
    return figure, axes


def tidy(ax: Axes) -> None:
    """Two spines, small grey ticks, a faint grid behind the data."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(MUTED)
        ax.spines[side].set_linewidth(0.8)
    ax.tick_params(colors=MUTED, labelsize=9, length=3)
    ax.grid(visible=True, color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)


def label(ax: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Title to the left, axis names in ink."""
    if title:
        ax.set_title(title, loc="left", fontsize=10.5, color=INK, fontweight="bold")
    ax.set_xlabel(x, fontsize=9.5, color=INK)
    ax.set_ylabel(y, fontsize=9.5, color=INK)


def legend(ax: Axes, **placement: Any) -> None:
    """A frameless legend, if anything is labelled. placement: matplotlib's legend keywords."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=8.5, frameon=False, labelcolor=INK, **placement)


def series_colour(index: int) -> str:
    """Colour of the index-th line."""
    return SERIES[index % len(SERIES)]


def series_line(index: int) -> str:
    """Line style of the index-th line: it changes once the colours are used up."""
    return LINE_STYLES[index // len(SERIES) % len(LINE_STYLES)]


def heavy_tailed(values: Sequence[float]) -> bool:
    """Whether a linear axis would squeeze the bulk: all positive, the largest over 30 times the smallest."""
    return min(values) > 0 and max(values) > 30 * min(values)


def as_picture(figure: Figure, *, alt: str, caption: str = "") -> Picture:
    """The figure as an inline SVG picture."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(SVG_SETTINGS):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(uri=f"data:image/svg+xml;base64,{encoded}", alt=alt, caption=caption)
