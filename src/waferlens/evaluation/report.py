"""The report: one self-contained HTML file that an engineer can hand on.

`write_report` puts figures, sentences and tables in order and renders ``report.html.j2``. The file asks
nothing of the network: style sheet and pictures are inside it.
"""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

from waferlens.evaluation import wording
from waferlens.evaluation.answers import answers
from waferlens.evaluation.exploration import ExplorationData, explore
from waferlens.evaluation.failures import ErrorAnalysis, FailureCase, analyse_errors, describe
from waferlens.evaluation.figures import Picture
from waferlens.evaluation.novel_defects import THRESHOLD_TITLES
from waferlens.evaluation.paired import PairedComparison, compare
from waferlens.evaluation.per_type import per_defect_type
from waferlens.evaluation.report_content import ReportContent
from waferlens.evaluation.report_figures import exploration_pictures, result_pictures
from waferlens.evaluation.resampling import MetricOptions
from waferlens.evaluation.scored import ScoredImages
from waferlens.evaluation.summary import FIVE_FIGURES, fpr_operating_point
from waferlens.evaluation.tiles import case_strip, heat_scale
from waferlens.evaluation.verdicts import best_provable_rate, estimate_of, sample_rows, target_rows

REPORT, EXPLORATION = "report.html.j2", "exploration.html.j2"
TEMPLATES = (
    REPORT,
    EXPLORATION,
    "exploration_section.html.j2",
    "novelty_section.html.j2",
    "robustness_section.html.j2",
    "pod_section.html.j2",
    "picture.html.j2",
)
STYLE_SHEET = "report.css"
FPR_NAME, REVIEW_NAME, REJECT_NAME = "FPR 5\N{NO-BREAK SPACE}%", "REVIEW", "REJECT"

FIGURE_TITLES = dict(
    zip(FIVE_FIGURES, ("Image AUROC", "Image AUPRC", "FNR at FPR 5 %", "Pixel AUROC", "AUPRO"), strict=True)
)


def write_report(content: ReportContent, out: Path) -> None:
    """Write the report to ``out`` (UTF-8 HTML). The same content gives the same bytes."""
    out.write_text(render_report(content), encoding="utf-8")


def render_report(content: ReportContent) -> str:
    """The HTML of the report."""
    return _rendered(REPORT, _view(content))


def write_exploration(data: ExplorationData, title: str, out: Path, *, seed: int = 0) -> None:
    """The exploration section of the report as a page of its own, before there is any model."""
    exploration = explore(data, seed=seed)
    view = {
        "title": title,
        "answers": answers(exploration),
        "pictures": exploration_pictures(data, exploration),
    }
    out.write_text(_rendered(EXPLORATION, view), encoding="utf-8")


def _rendered(template: str, view: dict[str, Any]) -> str:
    folder = files("waferlens.evaluation")
    sources = {name: (folder / name).read_text(encoding="utf-8") for name in TEMPLATES}
    environment = Environment(
        loader=DictLoader(sources),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        figure=wording.with_interval,
        value=wording.value,
        interval=wording.interval,
        percent=wording.percent,
        number=wording.number,
    )
    style_sheet = (folder / STYLE_SHEET).read_text(encoding="utf-8")
    return environment.get_template(template).render(style_sheet=style_sheet, **view)


def _view(content: ReportContent) -> dict[str, Any]:
    """What the template may name."""
    thresholds = _thresholds(content)
    detector = content.detector
    exploration = explore(content.exploration, seed=content.seed)
    types = per_defect_type(detector, thresholds) if detector.has_both_classes else ()
    # Rejection misses on purpose what it leaves to review, so errors are counted at the other thresholds.
    error_limits = {name: value for name, value in thresholds.items() if name != REJECT_NAME}
    errors = analyse_errors(detector, error_limits, exploration.reference)
    metrics = content.metrics[detector.method]
    return {
        "content": content,
        "targets": target_rows(metrics, latency_ms=content.latency_ms, latency_note=content.latency_note),
        "figure_titles": FIGURE_TITLES,
        "comparison": _comparison(content),
        "ablation": _ablation(content),
        "exploration": exploration,
        "answers": answers(exploration),
        "pictures": exploration_pictures(content.exploration, exploration)
        | result_pictures(content, thresholds, types)
        | ({} if content.novel_defects is None else content.novel_defects.pictures()),
        "novelty": content.novel_defects,
        "novelty_titles": THRESHOLD_TITLES,
        "types": types,
        "threshold_names": list(thresholds),
        "tests": _paired_tests(content),
        "errors": errors,
        "strips": _strips(detector, errors),
        "describe": describe,
        "decision": metrics["decision"],
        "counts": metrics["counts"],
        "samples": sample_rows(metrics["counts"]["defective"]),
        "best_provable": best_provable_rate(metrics["counts"]["defective"]),
        "estimate_of": estimate_of,
    }


def _thresholds(content: ReportContent) -> dict[str, float]:
    point = fpr_operating_point(content.detector, MetricOptions())
    named = {
        FPR_NAME: None if point is None else point.threshold,
        REVIEW_NAME: content.review_threshold,
        REJECT_NAME: content.reject_threshold,
    }
    return {name: value for name, value in named.items() if value is not None}


def _comparison(content: ReportContent) -> list[dict[str, Any]]:
    """One row a method and score: the detector's two first, then the baselines'."""
    rows = []
    for name in (content.detector.method, *content.baselines):
        for key, title in (("score", "calibrated score"), ("reconstruction_error", "a(x)")):
            figures = {figure: estimate_of(value) for figure, value in content.metrics[name][key].items()}
            if not all(math.isnan(figure.value) for figure in figures.values()):
                rows.append({"method": name, "score": title, "figures": figures})
    return rows


def _ablation(content: ReportContent) -> list[dict[str, Any]]:
    """From a(x) to the calibrated score, step by step; empty where no step was left out."""
    if not content.ablation:
        return []
    own = content.metrics[content.detector.method]
    steps = {
        "a(x)": own["reconstruction_error"],
        **{name: metrics["score"] for name, metrics in content.ablation.items()},
        "calibrated score, all of it": own["score"],
    }
    return [
        {"step": name, "figures": {figure: estimate_of(value) for figure, value in figures.items()}}
        for name, figures in steps.items()
    ]


def _paired_tests(content: ReportContent) -> list[PairedComparison]:
    if not content.detector.has_both_classes:
        return []
    return [compare(content.detector, baseline) for baseline in content.baselines.values()]


def _strips(detector: ScoredImages, errors: ErrorAnalysis) -> dict[str, Picture]:
    """By image name: image, reconstruction, heatmap and mask of every failure and closest call."""
    scale = heat_scale(detector)
    shown: tuple[FailureCase, ...] = errors.cases + errors.closest
    return {case.name: case_strip(detector, case.index, scale) for case in shown}
