"""The figure of robustness: one small panel a disturbance, AUROC and overkill over its levels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from waferlens.evaluation.figures import (
    DEFECT_COLOUR,
    INK,
    MUTED,
    NORMAL_COLOUR,
    Picture,
    as_picture,
    label,
    new_figure,
)
from waferlens.evaluation.robustness import MAX_COST, DisturbanceResult, LevelResult, Robustness
from waferlens.images.disturbances import NONE

COLUMNS = 3
_RING: dict[str, Any] = {"marker": "o", "markersize": 9.5, "markerfacecolor": "none", "markeredgecolor": INK}


def robustness_figure(found: Robustness) -> Figure:
    """Blue, left: AUROC with its 95 % band. Orange, right: overkill at the REVIEW threshold with 95 % bars.

    The dotted line is MAX_COST below the undisturbed AUROC; levels under it carry a ring. Axes are common to
    all panels. Without both classes only overkill is drawn.
    """
    rows = math.ceil(len(found.results) / COLUMNS)
    figure, axes = new_figure(height=0.5 + 2.15 * rows, columns=COLUMNS, rows=rows)
    lowest = _lowest(found)
    for number, ax in enumerate(axes):
        if number >= len(found.results):
            ax.set_axis_off()
            continue
        result = found.results[number]
        levels = _from_left_to_right(result)
        right = ax.twinx()
        _draw_overkill(right, levels)
        _draw_auroc(ax, levels)
        ax.set_xticks(range(len(levels)), [level.name for level in levels])
        ax.tick_params(axis="x", labelsize=8)
        ax.set_xlim(-0.3, len(levels) - 0.7)
        _set_scale(ax, lowest, 1.0)
        _set_scale(right, 0.0, 1.0)
        label(ax, title=result.title)
        if number % COLUMNS == 0:
            ax.set_ylabel("AUROC", fontsize=9.5, color=NORMAL_COLOUR)
        else:
            ax.tick_params(axis="y", labelleft=False)
        if number % COLUMNS == COLUMNS - 1 or number == len(found.results) - 1:
            right.set_ylabel("overkill", fontsize=9.5, color=DEFECT_COLOUR)
        else:
            right.tick_params(axis="y", labelright=False)
    _legend(figure)
    return figure


def robustness_picture(found: Robustness) -> Picture:
    """The figure for a page."""
    return as_picture(
        robustness_figure(found),
        alt=f"AUROC and overkill under {len(found.results)} disturbances",
        caption="One panel a disturbance, stronger away from none. Left axis: AUROC. Right axis: overkill at "
        f"REVIEW. Rings: AUROC lower by more than {MAX_COST:g}, that is below the dotted line.",
    )


def _from_left_to_right(result: DisturbanceResult) -> list[LevelResult]:
    """By amount, so that a ladder with two sides has the undisturbed in its middle; else the undisturbed first."""
    levels = sorted(result.levels, key=lambda level: level.amount)
    return levels[::-1] if levels[-1].name == NONE else levels


def _draw_auroc(ax: Axes, levels: list[LevelResult]) -> None:
    aurocs = [level.auroc for level in levels]
    if math.isnan(aurocs[0].value):
        ax.tick_params(axis="y", labelleft=False)
        return
    at = np.arange(len(levels))
    limit = next(level.auroc.value for level in levels if level.name == NONE) - MAX_COST
    ax.fill_between(
        at, [a.low for a in aurocs], [a.high for a in aurocs], color=NORMAL_COLOUR, alpha=0.15, linewidth=0
    )
    ax.axhline(limit, color=MUTED, linewidth=0.9, linestyle=":")
    ax.plot(at, [a.value for a in aurocs], "o-", color=NORMAL_COLOUR, linewidth=1.8, markersize=4)
    costly = [place for place, level in enumerate(levels) if level.is_costly]
    values = [aurocs[place].value for place in costly]
    ax.plot(costly, values, linestyle="", **_RING)


def _draw_overkill(ax: Axes, levels: list[LevelResult]) -> None:
    ax.spines[:].set_visible(False)
    ax.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.tick_params(colors=MUTED, labelsize=9, length=0)
    rates = [level.overkill_rate for level in levels]
    if math.isnan(rates[0].value):
        return
    at = np.arange(len(levels)) + 0.08
    ax.vlines(at, [r.low for r in rates], [r.high for r in rates], color=DEFECT_COLOUR, linewidth=1.6, alpha=0.45)
    ax.plot(at, [r.value for r in rates], "s--", color=DEFECT_COLOUR, linewidth=1.2, markersize=3.5)


def _set_scale(ax: Axes, low: float, high: float) -> None:
    """With the same margin on both axes of a panel, so that their ends stand at the same height."""
    margin = 0.03 * (high - low)
    ax.set_ylim(low - margin, high + margin)


def _lowest(found: Robustness) -> float:
    """Lower end of every AUROC axis: the lowest end of a band, down to the next tenth."""
    ends = [level.auroc.low for result in found.results for level in result.levels]
    ends = [end for end in ends if not math.isnan(end)]
    return math.floor(10 * min(ends)) / 10 if ends else 0.0


def _legend(figure: Figure) -> None:
    handles: list[Artist] = [
        Line2D([], [], color=NORMAL_COLOUR, marker="o", markersize=4, linewidth=1.8, label="AUROC"),
        Patch(color=NORMAL_COLOUR, alpha=0.15, linewidth=0, label="95 % band"),
        Line2D([], [], linestyle="", **_RING, label=f"lower by more than {MAX_COST:g} (dotted)"),
        Line2D(
            [],
            [],
            color=DEFECT_COLOUR,
            marker="s",
            markersize=3.5,
            linewidth=1.2,
            linestyle="--",
            label="overkill at REVIEW, 95 % bars",
        ),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, fontsize=8.5, frameon=False, labelcolor=INK)
