"""Paired comparison of two methods on the same images: DeLong on AUROC, McNemar at the operating points.

DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988); McNemar's test in its exact, binomial form.
Knows two score vectors; does not know which method is the favourite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm

from waferlens.errors import MetricError
from waferlens.evaluation.image_metrics import delong_components
from waferlens.evaluation.ranking import OperatingPoint, auroc, operating_point, split_by_class
from waferlens.evaluation.scored import BoolArray, ScoredImages, Scores
from waferlens.records import Estimate


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """Method A against method B on one test set.

    auroc_difference: A minus B with its interval (NaN ends where DeLong's variance vanishes).
    auroc_p_value: two-sided. only_a, only_b: defective images that only A (only B) finds at its own
    operating point. detection_p_value: exact McNemar on those two counts.
    """

    method_a: str
    method_b: str
    auroc_difference: Estimate
    auroc_p_value: float
    only_a: int
    only_b: int
    detection_p_value: float


def compare(
    a: ScoredImages, b: ScoredImages, *, max_fpr: float = 0.05, confidence: float = 0.95
) -> PairedComparison:
    """Compare the calibrated scores of two methods.

    Raises MetricError when the two did not score the same images in the same order, or a class is missing.
    """
    if a.names != b.names or not np.array_equal(a.defective, b.defective):
        raise MetricError(
            "a paired test needs the same images in the same order",
            expected=f"the {a.num_images} images of {a.method}",
            found=f"{b.num_images} images of {b.method}",
        )
    difference, p_value = delong_difference(a.scores, b.scores, a.defective, confidence)
    only_a, only_b, detection_p_value = mcnemar(a.scores, b.scores, a.defective, max_fpr)
    return PairedComparison(
        method_a=a.method,
        method_b=b.method,
        auroc_difference=difference,
        auroc_p_value=p_value,
        only_a=only_a,
        only_b=only_b,
        detection_p_value=detection_p_value,
    )


def delong_difference(
    scores_a: Scores, scores_b: Scores, defective: BoolArray, confidence: float = 0.95
) -> tuple[Estimate, float]:
    """(AUROC of a minus AUROC of b with its interval, two-sided p-value).

    Two equal areas without variance (both perfect, or the same ranking) give p = 1; unequal areas without
    variance give NaN, since the data then hold no evidence about the noise.
    """
    normal_a, bad_a = split_by_class(scores_a, defective)
    normal_b, bad_b = split_by_class(scores_b, defective)
    value = auroc(normal_a, bad_a) - auroc(normal_b, bad_b)
    spread = _spread_of_difference(normal_a, bad_a, normal_b, bad_b)
    if not spread > 0:
        return Estimate(value=value, low=math.nan, high=math.nan), 1.0 if value == 0 else math.nan
    reach = float(norm.ppf((1 + confidence) / 2)) * spread
    p_value = float(2 * norm.sf(abs(value) / spread))
    return Estimate(value=value, low=value - reach, high=value + reach), p_value


def mcnemar(
    scores_a: Scores, scores_b: Scores, defective: BoolArray, max_fpr: float = 0.05
) -> tuple[int, int, float]:
    """(defects only a finds, defects only b finds, exact two-sided p-value), each at its own threshold."""
    found_a = _found(scores_a, defective, max_fpr)
    found_b = _found(scores_b, defective, max_fpr)
    only_a, only_b = int((found_a & ~found_b).sum()), int((found_b & ~found_a).sum())
    discordant = only_a + only_b
    p_value = 1.0 if discordant == 0 else float(binomtest(only_a, discordant, 0.5).pvalue)
    return only_a, only_b, p_value


def _spread_of_difference(normal_a: Scores, bad_a: Scores, normal_b: Scores, bad_b: Scores) -> float:
    if min(len(normal_a), len(bad_a)) < 2:
        return math.nan
    from_normal_a, from_bad_a = delong_components(normal_a, bad_a)
    from_normal_b, from_bad_b = delong_components(normal_b, bad_b)
    variance = (from_normal_a - from_normal_b).var(ddof=1) / len(normal_a)
    variance += (from_bad_a - from_bad_b).var(ddof=1) / len(bad_a)
    return math.sqrt(variance)


def _found(scores: Scores, defective: BoolArray, max_fpr: float) -> BoolArray:
    normal, bad = split_by_class(scores, defective)
    point: OperatingPoint = operating_point(normal, bad, max_fpr)
    found: BoolArray = bad >= point.threshold
    return found
