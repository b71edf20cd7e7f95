"""How each defect type fares: which are easy, which are hard, and how sure that is.

Types are taken as the data set names them. With ten images a type, an interval spans half the scale:
it is printed so that nobody ranks types by noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from waferlens.decision.intervals import exact_rate
from waferlens.evaluation.image_metrics import image_auroc
from waferlens.evaluation.scored import BoolArray, ScoredImages
from waferlens.records import Estimate

UNNAMED = "unnamed"
"""Where a defective image came without a type."""


@dataclass(frozen=True, kw_only=True)
class TypeResult:
    """One defect type. detection_rates: by threshold name, detected images among this type's images."""

    defect_type: str
    num_images: int
    auroc: Estimate
    median_score: float
    detection_rates: Mapping[str, Estimate]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "num_images": self.num_images,
            "auroc": self.auroc.as_dict(),
            "median_score": self.median_score,
            "detection_rates": {name: rate.as_dict() for name, rate in self.detection_rates.items()},
        }


def per_defect_type(
    scored: ScoredImages, thresholds: Mapping[str, float], confidence: float = 0.95
) -> tuple[TypeResult, ...]:
    """Results by type, hardest (lowest AUROC against all normal images) first.

    thresholds: name to score; an image at or above it counts as detected.
    Raises MetricError when there is no normal or no defective image.
    """
    types = [t or UNNAMED for t in scored.defect_types]
    found = sorted({t for t, bad in zip(types, scored.defective, strict=True) if bad})
    results = []
    for defect_type in found:
        of_type: BoolArray = scored.defective & np.array([t == defect_type for t in types])
        results.append(_one_type(scored, defect_type, of_type, thresholds, confidence))
    return tuple(sorted(results, key=lambda result: result.auroc.value))


def _one_type(
    scored: ScoredImages,
    defect_type: str,
    of_type: BoolArray,
    thresholds: Mapping[str, float],
    confidence: float,
) -> TypeResult:
    kept = of_type | ~scored.defective
    scores = scored.scores[of_type]
    return TypeResult(
        defect_type=defect_type,
        num_images=len(scores),
        auroc=image_auroc(scored.scores[kept], of_type[kept], confidence),
        median_score=float(np.median(scores)),
        detection_rates={
            name: exact_rate(int((scores >= threshold).sum()), len(scores), confidence)
            for name, threshold in thresholds.items()
        },
    )
