"""All figures of one method as one JSON-safe mapping: what `metrics.json` holds.

    score                  image_auroc, image_auprc, fnr_at_fpr5, pixel_auroc, aupro; each {value, low, high}
    reconstruction_error   the same five from a(x) and h(x)
    per_defect_type        by type: num_images, auroc, median_score, detection_rates
    operating_point        threshold of the calibrated score at FPR 5 %, the rate it realises
    one_false_alarm        the same at the threshold that passes every normal image but one
    decision               the bundle's own two thresholds and what they do; null without them
    counts, num_parameters

A figure that the test set does not define (one class only, no masks, no maps) is null, never a guess.
"""

from __future__ import annotations

from waferlens.decision.intervals import exact_rate
from waferlens.errors import MetricError
from waferlens.evaluation.image_metrics import fnr_at_fpr, image_auprc, image_auroc
from waferlens.evaluation.per_type import per_defect_type
from waferlens.evaluation.pixel_metrics import pixel_metrics
from waferlens.evaluation.ranking import OperatingPoint, operating_point, split_by_class
from waferlens.evaluation.resampling import UNDEFINED, MetricOptions
from waferlens.evaluation.scored import BoolArray, ScoredImages, Scores
from waferlens.records import Estimate, FloatArray

FIVE_FIGURES = ("image_auroc", "image_auprc", "fnr_at_fpr5", "pixel_auroc", "aupro")
"""Keys of every method's `score` and `reconstruction_error`."""

OPERATING_POINT_NAME = "fpr5"
"""Name of the FPR 5 % threshold among detection rates."""


def metrics_for(
    scored: ScoredImages,
    *,
    review_threshold: float | None = None,
    reject_threshold: float | None = None,
    options: MetricOptions | None = None,
) -> dict[str, object]:
    """Every figure of one method, with intervals, ready for ``json.dump(..., allow_nan=False)``.

    review_threshold, reject_threshold: the bundle's, on the calibrated score; both or neither.
    Raises MetricError when only one is given or reject lies below review.
    """
    options = options or MetricOptions()
    _require_thresholds(review_threshold, reject_threshold)
    point = fpr_operating_point(scored, options)
    thresholds = {} if point is None else {OPERATING_POINT_NAME: point.threshold}
    if review_threshold is not None and reject_threshold is not None:
        thresholds |= {"review": review_threshold, "reject": reject_threshold}
    types = per_defect_type(scored, thresholds, options.confidence) if scored.has_both_classes else ()
    return {
        "score": _figures(scored.scores, scored.heatmaps, scored, options),
        "reconstruction_error": _figures(scored.reconstruction_errors, scored.error_maps, scored, options),
        "per_defect_type": {result.defect_type: result.as_dict() for result in types},
        "operating_point": _point_as_dict(point, options.max_fpr, options.confidence),
        "one_false_alarm": _one_false_alarm(scored, options),
        "decision": _decision(scored, review_threshold, reject_threshold, options.confidence),
        "counts": _counts(scored),
        "num_parameters": scored.num_parameters,
    }


def fpr_operating_point(scored: ScoredImages, options: MetricOptions) -> OperatingPoint | None:
    """The point at FPR <= options.max_fpr of the calibrated score; None with one class only."""
    if not scored.has_both_classes:
        return None
    return operating_point(*split_by_class(scored.scores, scored.defective), options.max_fpr)


def _figures(
    scores: Scores | None, maps: FloatArray | None, scored: ScoredImages, options: MetricOptions
) -> dict[str, dict[str, float | None]]:
    figures = dict.fromkeys(FIVE_FIGURES, UNDEFINED)
    if scores is not None and scored.has_both_classes:
        figures["image_auroc"] = image_auroc(scores, scored.defective, options.confidence)
        figures["image_auprc"] = image_auprc(scores, scored.defective, options)
        figures["fnr_at_fpr5"] = fnr_at_fpr(scores, scored.defective, options)
    if maps is not None and (scored.defective & scored.has_mask).any():
        pixels = pixel_metrics(maps, scored, options)
        figures["pixel_auroc"], figures["aupro"] = pixels.pixel_auroc, pixels.aupro
    return {name: figure.as_dict() for name, figure in figures.items()}


def _one_false_alarm(scored: ScoredImages, options: MetricOptions) -> dict[str, object] | None:
    if not scored.has_both_classes:
        return None
    normal, defective = split_by_class(scored.scores, scored.defective)
    if len(normal) < 2:
        return None
    share = 1 / len(normal)
    return _point_as_dict(operating_point(normal, defective, share), share, options.confidence)


def _point_as_dict(point: OperatingPoint | None, max_fpr: float, confidence: float) -> dict[str, object] | None:
    if point is None:
        return None
    return {
        "max_fpr": max_fpr,
        "threshold": point.threshold,
        "fpr": exact_rate(point.num_false_alarms, point.num_normal, confidence).as_dict(),
        "num_misses": point.num_misses,
        "num_false_alarms": point.num_false_alarms,
    }


def _decision(
    scored: ScoredImages, review: float | None, reject: float | None, confidence: float
) -> dict[str, object] | None:
    """PASS below review, REJECT from reject, REVIEW between."""
    if review is None or reject is None:
        return None
    passed, rejected = scored.scores < review, scored.scores >= reject
    reviewed, defective = ~passed & ~rejected, scored.defective

    def share(event: BoolArray, among: BoolArray) -> dict[str, float | None]:
        n = int(among.sum())
        estimate: Estimate = exact_rate(int((event & among).sum()), n, confidence) if n else UNDEFINED
        return estimate.as_dict()

    return {
        "review_threshold": review,
        "reject_threshold": reject,
        "escape_rate": share(passed, defective),
        "overkill_rate": share(~passed, ~defective),
        "normal_reject_rate": share(rejected, ~defective),
        "normal_review_rate": share(reviewed, ~defective),
        "defective_review_rate": share(reviewed, defective),
        "review_rate": share(reviewed, defective | ~defective),
    }


def _counts(scored: ScoredImages) -> dict[str, int]:
    return {
        "images": scored.num_images,
        "normal": int((~scored.defective).sum()),
        "defective": int(scored.defective.sum()),
        "defective_with_mask": int((scored.defective & scored.has_mask).sum()),
    }


def _require_thresholds(review: float | None, reject: float | None) -> None:
    if (review is None) != (reject is None):
        raise MetricError("the decision has two thresholds", expected="both or neither", found="one")
    if review is not None and reject is not None and not review <= reject:
        raise MetricError(
            "REJECT begins below REVIEW",
            expected="review_threshold <= reject_threshold",
            found=f"{review} and {reject}",
        )
