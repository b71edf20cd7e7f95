"""PASS, REVIEW or REJECT, and how sure. Knows nothing of images.

Confidence is repeatability: the probability that the same place of the same wafer, imaged again, gets the same
decision. The score of a second image is taken as normal around the first with the standard deviation measured
at calibration on held-out normals that were shifted, rotated and re-noised as a stage and a camera would:

    confidence = P(lower < N(score, repeatability^2) < upper),   lower and upper the bounds of the band
"""

from __future__ import annotations

import math

from waferlens.decision.thresholds import Thresholds
from waferlens.records import Decision, DecisionKind


def decide(score: float, thresholds: Thresholds) -> Decision:
    """The decision on one score. A score that is not finite is REVIEW with the reason, never PASS."""
    if not math.isfinite(score):
        return Decision(kind=DecisionKind.REVIEW, confidence=0.0, reason=f"the score is not finite: {score}")
    if score < thresholds.review:
        kind, lower, upper = DecisionKind.PASS, -math.inf, thresholds.review
    elif score < thresholds.reject:
        kind, lower, upper = DecisionKind.REVIEW, thresholds.review, thresholds.reject
    else:
        kind, lower, upper = DecisionKind.REJECT, thresholds.reject, math.inf
    confidence = _below(upper, score, thresholds.repeatability) - _below(lower, score, thresholds.repeatability)
    return Decision(kind=kind, confidence=confidence)


def _below(bound: float, score: float, deviation: float) -> float:
    """P(N(score, deviation^2) < bound); a step where the deviation is zero."""
    if math.isinf(bound) or deviation == 0:
        return 1.0 if bound > score else 0.0
    return 0.5 * math.erfc((score - bound) / (deviation * math.sqrt(2)))
