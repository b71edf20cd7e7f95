"""Figures of scores: their distributions, ROC and precision-recall curves, detection by defect type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from waferlens.evaluation.figures import (
    ACCENT_COLOUR,
    DEFECT_COLOUR,
    INK,
    MUTED,
    NORMAL_COLOUR,
    Picture,
    as_picture,
    heavy_tailed,
    label,
    legend,
    new_figure,
    series_colour,
    series_line,
)
from waferlens.evaluation.per_type import UNNAMED, TypeResult
from waferlens.evaluation.ranking import (
    auroc,
    operating_point,
    precision_recall_curve,
    roc_curve,
    split_by_class,
)
from waferlens.evaluation.scored import BoolArray, ScoredImages, Scores

JITTER_SEED = 0


def score_distributions(scored: ScoredImages, thresholds: Mapping[str, float], *, caption: str = "") -> Picture:
    """Histogram by class above, every image as a dot by defect type below; thresholds as lines."""
    rows = _rows_by_type(scored)
    figure, (above, below) = new_figure(height=3.0 + 0.26 * len(rows), rows=2)
    logarithmic = heavy_tailed([float(score) for score in scored.scores])
    bins = _bins(scored.scores, logarithmic)
    for defective, name, colour in ((False, "normal", NORMAL_COLOUR), (True, "defective", DEFECT_COLOUR)):
        scores = scored.scores[scored.defective == defective]
        if scores.size:
            above.hist(scores, bins=bins.tolist(), color=colour, alpha=0.55, label=f"{name} ({scores.size})")
    jitter = np.random.default_rng(JITTER_SEED).uniform(-0.28, 0.28, scored.num_images)
    for row, (name, members) in enumerate(rows):
        colour = NORMAL_COLOUR if name == "normal" else DEFECT_COLOUR
        below.plot(scored.scores[members], row + jitter[members], "o", color=colour, alpha=0.6, ms=3.5, mew=0)
    below.set_yticks(range(len(rows)), [name for name, _ in rows])
    below.invert_yaxis()
    for ax in (above, below):
        ax.set_xscale("log" if logarithmic else "linear")
        _draw_thresholds(ax, thresholds, named=ax is above)
    below.set_xlim(above.get_xlim())
    label(above, y="images")
    label(below, x="score (higher is more anomalous)" + (", logarithmic" if logarithmic else ""))
    legend(above)
    alt = f"Distribution of {scored.method} scores of {scored.num_images} images by class and defect type"
    return as_picture(figure, alt=alt, caption=caption)


def roc_figure(
    methods: Mapping[str, Scores],
    defective: BoolArray,
    *,
    highlight: str | None = None,
    max_fpr: float = 0.05,
    title: str = "",
    caption: str = "",
) -> Picture:
    """ROC curves: whole on the left, false positive rates up to 0.2 on the right.

    The region up to max_fpr is shaded and each method's operating point is marked; ``highlight`` is drawn
    heavier than the rest.
    """
    figure, (whole, corner) = new_figure(height=3.9, columns=2)
    for number, (name, scores) in enumerate(methods.items()):
        normal, bad = split_by_class(scores, defective)
        point = operating_point(normal, bad, max_fpr)
        width = 2.4 if name == highlight or highlight is None else 1.3
        for ax in (whole, corner):
            text = f"{name}: {auroc(normal, bad):.3f}"
            ax.plot(
                *roc_curve(normal, bad),
                label=text,
                linewidth=width,
                color=series_colour(number),
                linestyle=series_line(number),
            )
            ax.plot(
                point.false_positive_rate,
                1 - point.false_negative_rate,
                "o",
                color=series_colour(number),
                markersize=8 if name == highlight else 5,
                markeredgecolor="white",
                clip_on=False,
                zorder=5,
            )
    for ax in (whole, corner):
        ax.axvspan(0, max_fpr, color=ACCENT_COLOUR, alpha=0.10, linewidth=0)
        ax.set_ylim(-0.02, 1.02)
    whole.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
    whole.set_xlim(-0.01, 1.01)
    corner.set_xlim(-0.004, 0.2)
    corner.set_xticks([0, 0.05, 0.1, 0.15, 0.2])
    label(whole, title=title or "ROC", x="false positive rate", y="true positive rate")
    label(corner, title=f"Enlarged; dots: FPR ≤ {100 * max_fpr:.0f} %", x="false positive rate")
    legend(whole, loc="lower right")
    alt = "ROC curves of " + ", ".join(methods)
    return as_picture(figure, alt=alt, caption=caption)


def pr_figure(
    methods: Mapping[str, Scores], defective: BoolArray, *, highlight: str | None = None, caption: str = ""
) -> Picture:
    """Precision against recall of each method; the dotted line is chance."""
    figure, (ax,) = new_figure(width=5.6, height=3.7)
    for number, (name, scores) in enumerate(methods.items()):
        recall, precision = precision_recall_curve(*split_by_class(scores, defective))
        recall, precision = np.append(0, recall), np.append(precision[:1], precision)
        width = 2.4 if name == highlight or highlight is None else 1.3
        ax.step(
            recall,
            precision,
            where="pre",
            label=name,
            linewidth=width,
            color=series_colour(number),
            linestyle=series_line(number),
        )
    ax.axhline(float(defective.mean()), color=MUTED, linewidth=0.8, linestyle=":")
    ax.set_xlim(-0.01, 1.01)
    ax.set_ylim(0, 1.03)
    label(ax, title="Precision and recall", x="recall", y="precision")
    legend(ax, loc="lower left")
    return as_picture(figure, alt="Precision-recall curves of " + ", ".join(methods), caption=caption)


def type_rates_figure(results: Sequence[TypeResult], names: Mapping[str, str], *, caption: str = "") -> Picture:
    """Detection rate by defect type, a dot with its 95 % interval for each threshold.

    names: threshold key in the results to its name in the legend.
    """
    figure, (ax,) = new_figure(height=1.3 + 0.55 * len(results))
    spread = np.linspace(-0.18, 0.18, len(names)) if len(names) > 1 else np.zeros(1)
    for number, (key, name) in enumerate(names.items()):
        rates = [result.detection_rates[key] for result in results]
        rows = np.arange(len(results)) + spread[number]
        colour = series_colour(number)
        ax.hlines(rows, [r.low for r in rates], [r.high for r in rates], color=colour, linewidth=2, alpha=0.6)
        ax.plot([r.value for r in rates], rows, "o", color=colour, ms=6.5, mec="white", label=name, clip_on=False)
    ax.set_yticks(range(len(results)), [f"{r.defect_type} ({r.num_images})" for r in results])
    ax.set_ylim(len(results) - 0.5, -0.5)
    ax.set_xlim(0, 1)
    label(ax, x="share of this type's images detected, with 95 % interval")
    if len(names) > 1:
        legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return as_picture(figure, alt="Detection rates by defect type", caption=caption)


def _rows_by_type(scored: ScoredImages) -> list[tuple[str, BoolArray]]:
    types = np.array([t or UNNAMED for t in scored.defect_types])
    rows = [("normal", ~scored.defective)] if not scored.defective.all() else []
    found = sorted(set(types[scored.defective].tolist()))
    return rows + [(name, scored.defective & (types == name)) for name in found]


def _bins(scores: Scores, logarithmic: bool) -> Scores:
    low, high = float(scores.min()), float(scores.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges: Scores = np.geomspace(low, high, 41) if logarithmic else np.linspace(low, high, 41)
    return edges


def _draw_thresholds(ax: Axes, thresholds: Mapping[str, float], *, named: bool) -> None:
    for number, (name, value) in enumerate(thresholds.items()):
        style = ("-", "--", ":")[number % 3]
        ax.axvline(
            value, color=INK, linewidth=1.1, linestyle=style, label=f"{name}: {value:.3g}" if named else None
        )
