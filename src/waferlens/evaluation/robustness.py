"""What a disturbance costs: ranking and decisions on the same images, undisturbed and disturbed.

For every level: the AUROC, its *paired* change against the undisturbed images (DeLong, `paired`), and what the
bundle's thresholds, which nobody would set anew on such a day, then do. The change is the sharper figure: an
image that is hard either way widens the interval of the AUROC, not that of the change.

Shape legend: N images. Knows scores and labels; the images were disturbed and scored before. A figure that the
labels do not define (one class only) is NaN, null in JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from waferlens.decision.intervals import exact_rate
from waferlens.errors import MetricError
from waferlens.evaluation.image_metrics import image_auroc
from waferlens.evaluation.paired import delong_difference
from waferlens.evaluation.resampling import UNDEFINED
from waferlens.evaluation.scored import BoolArray, Scores
from waferlens.images.disturbances import NONE, Disturbance
from waferlens.records import Estimate

MAX_COST = 0.02
"""A level that lowers the AUROC by more than this is marked."""

_ROUNDING = 1e-9  # exactly MAX_COST is not more than MAX_COST, whichever way a difference of floats falls

LevelScores = Mapping[str, Scores]
"""Scores (N,) by the names of a ladder's levels; ``none`` may be left out."""


@dataclass(frozen=True, kw_only=True)
class LevelResult:
    """What one level does. amount: in the unit of its disturbance.

    auroc_change: this level minus undisturbed, paired; p_value: of no change, two-sided. overkill_rate,
    normal_reject_rate: normal images that do not pass, that are rejected; escape_rate: defective ones that pass.
    """

    name: str
    amount: float
    auroc: Estimate
    auroc_change: Estimate
    p_value: float
    overkill_rate: Estimate
    normal_reject_rate: Estimate
    escape_rate: Estimate

    @property
    def is_costly(self) -> bool:
        """Whether the AUROC fell by more than MAX_COST. The measured value decides, not its interval."""
        return self.auroc_change.value < -MAX_COST - _ROUNDING

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "name": self.name,
            "amount": self.amount,
            "auroc": self.auroc.as_dict(),
            "auroc_change": self.auroc_change.as_dict(),
            "p_value": None if math.isnan(self.p_value) else self.p_value,
            "overkill_rate": self.overkill_rate.as_dict(),
            "normal_reject_rate": self.normal_reject_rate.as_dict(),
            "escape_rate": self.escape_rate.as_dict(),
            "is_costly": self.is_costly,
        }


@dataclass(frozen=True, kw_only=True)
class DisturbanceResult:
    """One disturbance. levels: in the order of its ladder, the undisturbed first."""

    key: str
    title: str
    unit: str
    levels: tuple[LevelResult, ...]

    @property
    def costly(self) -> tuple[LevelResult, ...]:
        """Levels that are marked."""
        return tuple(level for level in self.levels if level.is_costly)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "title": self.title,
            "unit": self.unit,
            "costly_levels": [level.name for level in self.costly],
            "levels": [level.as_dict() for level in self.levels],
        }


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """Every disturbance on one set of num_normal normal and num_defective defective images.

    score_name: the output that was scored, which is the one that the thresholds apply to.
    """

    results: tuple[DisturbanceResult, ...]
    num_normal: int
    num_defective: int
    review_threshold: float
    reject_threshold: float
    score_name: str

    @property
    def max_cost(self) -> float:
        """By how much the AUROC may fall before a level is marked."""
        return MAX_COST

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "counts": {"normal": self.num_normal, "defective": self.num_defective},
            "score_name": self.score_name,
            "review_threshold": self.review_threshold,
            "reject_threshold": self.reject_threshold,
            "max_cost": MAX_COST,
            "disturbances": {result.key: result.as_dict() for result in self.results},
        }


def robustness(
    defective: BoolArray,
    undisturbed: Scores,
    disturbed: Sequence[tuple[Disturbance, LevelScores]],
    *,
    review_threshold: float,
    reject_threshold: float,
    score_name: str = "score",
    confidence: float = 0.95,
) -> Robustness:
    """Compare every level with the undisturbed images.

    defective: (N,) bool. undisturbed: (N,) scores of the images as they are. disturbed: each disturbance with
    the scores of the same images, in the same order, at each of its levels. review_threshold,
    reject_threshold: on these scores; below the first an image passes, from the second it is rejected.
    score_name: for the record.

    Raises MetricError when there is no image, a level was not scored, scores and labels do not pair up or are
    not finite, or reject lies below review.
    """
    if not review_threshold <= reject_threshold:
        raise MetricError(
            "REJECT begins below REVIEW",
            expected="review_threshold <= reject_threshold",
            found=f"{review_threshold} and {reject_threshold}",
        )
    measure = _Measure(defective, undisturbed, review_threshold, reject_threshold, confidence)
    return Robustness(
        results=tuple(_one_disturbance(kind, scores, undisturbed, measure) for kind, scores in disturbed),
        num_normal=int((~defective).sum()),
        num_defective=int(defective.sum()),
        review_threshold=review_threshold,
        reject_threshold=reject_threshold,
        score_name=score_name,
    )


def _one_disturbance(
    kind: Disturbance, scores: LevelScores, undisturbed: Scores, measure: _Measure
) -> DisturbanceResult:
    missing = [level.name for level in kind.levels if level.name != NONE and level.name not in scores]
    if missing:
        raise MetricError(
            f"{kind.key}: a level was not scored", expected="scores of every level", found=f"none of {missing[0]}"
        )
    levels = tuple(
        measure(level.name, level.amount, undisturbed if level.is_none else scores[level.name])
        for level in kind.levels
    )
    return DisturbanceResult(key=kind.key, title=kind.title, unit=kind.unit, levels=levels)


@dataclass(frozen=True)
class _Measure:
    """One level against the undisturbed images. Called with name, amount and scores (N,)."""

    defective: BoolArray
    undisturbed: Scores
    review: float
    reject: float
    confidence: float

    def __call__(self, name: str, amount: float, scores: Scores) -> LevelResult:
        if scores.shape != self.defective.shape or not scores.size:
            raise MetricError(
                f"{name}: scores and labels do not pair up",
                expected=f"one score for each of {self.defective.size} images",
                found=str(scores.shape),
            )
        if not np.isfinite(scores).all():
            raise MetricError(
                f"{name}: a score must be a finite number", found=str(scores[~np.isfinite(scores)][0])
            )
        auroc, change, p_value = UNDEFINED, UNDEFINED, math.nan
        if self.defective.any() and not self.defective.all():
            auroc = image_auroc(scores, self.defective, self.confidence)
            change, p_value = delong_difference(scores, self.undisturbed, self.defective, self.confidence)
        passed, normal = scores < self.review, ~self.defective
        return LevelResult(
            name=name,
            amount=amount,
            auroc=auroc,
            auroc_change=change,
            p_value=p_value,
            overkill_rate=self._share(~passed, normal),
            normal_reject_rate=self._share(scores >= self.reject, normal),
            escape_rate=self._share(passed, self.defective),
        )

    def _share(self, event: BoolArray, among: BoolArray) -> Estimate:
        n = int(among.sum())
        return exact_rate(int((event & among).sum()), n, self.confidence) if n else UNDEFINED
