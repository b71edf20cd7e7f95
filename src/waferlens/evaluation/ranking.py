"""Ranking normal against defective scores: ROC and PR curves and the operating point.

An image raises an alarm when its score is *at or above* a threshold. Ties are never broken by the order
of the images. Knows scores and labels only; intervals are `image_metrics`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from waferlens.errors import MetricError
from waferlens.evaluation.scored import BoolArray, Scores


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """A threshold on the score and what it does to a test set.

    num_false_alarms of num_normal normal images and num_misses of num_defective defective ones.
    """

    threshold: float
    num_false_alarms: int
    num_normal: int
    num_misses: int
    num_defective: int

    @property
    def false_positive_rate(self) -> float:
        """False alarms among normal images."""
        return self.num_false_alarms / self.num_normal

    @property
    def false_negative_rate(self) -> float:
        """Misses among defective images."""
        return self.num_misses / self.num_defective


def split_by_class(scores: npt.ArrayLike, defective: npt.ArrayLike) -> tuple[Scores, Scores]:
    """(scores of normal images, scores of defective images).

    Raises MetricError when the shapes differ, a score is not finite, or one class is missing.
    """
    values = np.asarray(scores, dtype=np.float64)
    labels = np.asarray(defective, dtype=bool)
    if values.shape != labels.shape or values.ndim != 1:
        raise MetricError("scores and labels do not pair up", expected=str(labels.shape), found=str(values.shape))
    if not np.isfinite(values).all():
        raise MetricError("a score must be a finite number", found=str(values[~np.isfinite(values)][0]))
    if labels.all() or not labels.any():
        raise MetricError(
            "ranking needs normal and defective images",
            expected="at least one of each",
            found=f"{int((~labels).sum())} normal, {int(labels.sum())} defective",
        )
    return values[~labels], values[labels]


def auroc(normal: Scores, defective: Scores) -> float:
    """Probability that a defective score exceeds a normal one, ties counting half (Mann-Whitney)."""
    ranks = rankdata(np.concatenate([normal, defective]))
    num_defective = len(defective)
    rank_sum = float(ranks[len(normal) :].sum())
    return (rank_sum - num_defective * (num_defective + 1) / 2) / (len(normal) * num_defective)


def roc_curve(normal: Scores, defective: Scores) -> tuple[Scores, Scores]:
    """(false positive rate, true positive rate), each from 0 to 1, one point per distinct score."""
    false_alarms, hits = _alarms_per_threshold(normal, defective)
    return (
        np.concatenate([[0.0], false_alarms / len(normal)]),
        np.concatenate([[0.0], hits / len(defective)]),
    )


def precision_recall_curve(normal: Scores, defective: Scores) -> tuple[Scores, Scores]:
    """(recall, precision) at each distinct score, from the strictest threshold to the loosest."""
    false_alarms, hits = _alarms_per_threshold(normal, defective)
    return hits / len(defective), hits / (hits + false_alarms)


def operating_point(normal: Scores, defective: Scores, max_fpr: float = 0.05) -> OperatingPoint:
    """The loosest threshold that alarms on at most ``max_fpr`` of the normal images.

    At most floor(max_fpr * M) of M normal images may alarm, so the threshold is the next float above the
    (that + 1)-th highest normal score. A defective image that ties with that score is a miss.
    """
    allowed = num_allowed_alarms(len(normal), max_fpr)
    highest_quiet = np.sort(normal)[::-1][allowed]
    return point_at(float(np.nextafter(highest_quiet, np.inf)), normal, defective)


def point_at(threshold: float, normal: Scores, defective: Scores) -> OperatingPoint:
    """What a given threshold does."""
    return OperatingPoint(
        threshold=threshold,
        num_false_alarms=int((normal >= threshold).sum()),
        num_normal=len(normal),
        num_misses=int((defective < threshold).sum()),
        num_defective=len(defective),
    )


def num_allowed_alarms(num_normal: int, max_fpr: float) -> int:
    """floor(max_fpr * num_normal), safe against 0.05 * 60 falling just short of 3."""
    if not 0 <= max_fpr < 1:
        raise MetricError("the false positive rate is out of range", expected="in [0, 1)", found=str(max_fpr))
    return math.floor(max_fpr * num_normal + 1e-9)


def _alarms_per_threshold(normal: Scores, defective: Scores) -> tuple[Scores, Scores]:
    thresholds = np.unique(np.concatenate([normal, defective]))[::-1]
    return _count_at_or_above(normal, thresholds), _count_at_or_above(defective, thresholds)


def _count_at_or_above(scores: Scores, thresholds: Scores) -> Scores:
    below = np.searchsorted(np.sort(scores), thresholds, side="left")
    counts: BoolArray | npt.NDArray[np.int64] = len(scores) - below
    return counts.astype(np.float64)
