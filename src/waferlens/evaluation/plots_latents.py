"""The map of the latents as a picture: normal images in grey, each defect type with a colour and a marker."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from waferlens.evaluation.figures import INK, MUTED, SERIES, Picture, as_picture, label, new_figure
from waferlens.evaluation.latent_map import LatentMap, Points
from waferlens.evaluation.scored import BoolArray

TYPE_COLOURS = SERIES[:-1]
"""Grey, the last of the line colours, belongs to the normal images here."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Seven markers beside six colours: no two of 42 types look alike, in print and to colour-blind readers."""

MAX_NAME = 24
LEGEND_WIDTH = 115
"""Characters that fit below the two panels, a marker taking nine."""


def latent_map_figure(found: LatentMap) -> Picture:
    """Principal components on the left, t-SNE on the right, one legend below."""
    names = sorted(set(found.types[found.types != ""].tolist()))
    widest = max(len(_short(name)) for name in names) + 9
    columns = min(len(names) + 1, LEGEND_WIDTH // widest)
    legend_rows = -(-(len(names) + 1) // columns)
    figure, (left, right) = new_figure(height=3.9 + 0.22 * legend_rows, columns=2)
    for ax, points in ((left, found.components), (right, found.neighbours)):
        normal = found.types == ""
        _scatter(ax, points, normal, f"normal ({int(normal.sum())})", colour=MUTED, marker="o", size=18, alpha=0.5)
        for number, name in enumerate(names):
            members = found.types == name
            text = f"{_short(name)} ({int(members.sum())})"
            colour, marker = TYPE_COLOURS[number % len(TYPE_COLOURS)], MARKERS[number % len(MARKERS)]
            _scatter(ax, points, members, text, colour=colour, marker=marker, size=42, alpha=0.9)
    first, second = (f"{100 * share:.0f} % of variance" for share in found.explained)
    label(left, title="Principal components", x=f"first component, {first}", y=f"second component, {second}")
    label(right, title="t-SNE: neighbourhoods only")
    left.set_aspect("equal", adjustable="datalim")
    right.set_xticks([])
    right.set_yticks([])
    handles, texts = left.get_legend_handles_labels()
    figure.legend(
        handles,
        texts,
        loc="outside lower center",
        ncols=columns,
        fontsize=8.5,
        frameon=False,
        labelcolor=INK,
    )
    return as_picture(
        figure,
        alt=f"Two maps of the latents of {len(found.types)} test images, by defect type",
        caption="Latents of the test images in standard deviations of the normal ones. Left: their first two "
        "principal components; distances count, as far as two directions show them. Right: t-SNE, which keeps "
        "near neighbours together: distances between groups, their sizes and the axes mean nothing.",
    )


def _scatter(
    ax: Axes, points: Points, members: BoolArray, text: str, *, colour: str, marker: str, size: float, alpha: float
) -> None:
    if not np.any(members):
        return
    ax.scatter(
        points[members, 0],
        points[members, 1],
        s=size,
        c=colour,
        marker=marker,
        alpha=alpha,
        edgecolors="white",
        linewidths=0.5,
        label=text,
    )


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"
