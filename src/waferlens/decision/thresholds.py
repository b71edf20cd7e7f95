"""Where PASS ends and REJECT begins, learned from the scores of held-out normal images alone.

Without defects nothing can be said about escapes; what can be promised is *overkill*, the share of normal
images that do not pass. A threshold is the score that a stated share of normals exceeds.

- Inside the data the threshold is conformal: the k-th largest of n held-out scores, k = floor((n + 1) rate). A new
  normal image exceeds it with probability k / (n + 1) at most, whatever the distribution; ``false_alarms`` says
  between which bounds the rate of one bundle lies.
- Beyond the data (rate < 1 / (n + 1)) no such promise exists. The upper tail is continued as an exponential
  fitted to the largest scores (peaks over threshold, Pickands 1975, with shape 0), and the result is marked
  ``extrapolated``.

With labelled defects a threshold can promise escapes instead: ``escape_threshold``.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, model_validator

from waferlens.decision.false_alarms import num_left_above
from waferlens.decision.intervals import sample_size_for_bound, upper_bound
from waferlens.errors import BundleError, DataError, OptionsError

Scores = npt.NDArray[np.float64]
ScoreName = Literal["score", "reconstruction_error"]


class ThresholdOptions(BaseModel, frozen=True, extra="forbid"):
    """How thresholds are found. ``fixed`` takes two numbers instead, such as the case study's 0.02 and 0.05."""

    policy: Literal["normals", "fixed"] = "normals"
    review_overkill_rate: float = Field(0.05, gt=0, lt=1, description="normals that leave PASS, of all normals")
    reject_overkill_rate: float = Field(0.001, gt=0, lt=1, description="normals that reach REJECT, of all normals")
    overkill_confidence: float | None = Field(
        None, gt=0, lt=1, description="that this bundle keeps both rates; none: kept on average over bundles"
    )
    tail_share: float = Field(
        0.25, gt=0, lt=1, description="share of the largest scores that the tail is fitted to"
    )
    score_name: ScoreName = Field("score", description="which output decisions use; 'fixed' only")
    review_threshold: float | None = Field(
        None, allow_inf_nan=False, description="first REVIEW score; 'fixed' only"
    )
    reject_threshold: float | None = Field(
        None, allow_inf_nan=False, description="first REJECT score; 'fixed' only"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        fixed = (self.review_threshold, self.reject_threshold)
        if self.policy == "fixed":
            if fixed[0] is None or fixed[1] is None or fixed[0] > fixed[1]:
                raise ValueError("policy 'fixed' needs review_threshold <= reject_threshold")
        elif fixed != (None, None) or self.score_name != "score":
            raise ValueError("review_threshold, reject_threshold and score_name belong to policy 'fixed'")
        if self.reject_overkill_rate > self.review_overkill_rate:
            raise ValueError("reject_overkill_rate must not exceed review_overkill_rate")
        return self


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Two scores and where they come from. PASS < review <= REVIEW < reject <= REJECT.

    score_name: the output they apply to. num_normals: how many held-out normals they were learned from.
    *_overkill_rate: normal images at or above the threshold; overkill_confidence: that they are no more in
    this bundle, None where the rate is an average over bundles.
    *_extrapolated: the threshold lies beyond what num_normals scores can promise.
    repeatability: standard deviation of the score when the same place is imaged again.
    """

    review: float
    reject: float
    score_name: ScoreName = "score"
    policy: str = "normals"
    review_overkill_rate: float | None = None
    reject_overkill_rate: float | None = None
    overkill_confidence: float | None = None
    review_extrapolated: bool = False
    reject_extrapolated: bool = False
    num_normals: int = 0
    repeatability: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For thresholds.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """From thresholds.json. Raises BundleError on unknown, missing or unordered entries."""
        try:
            thresholds = cls(**content)
            in_order = thresholds.review <= thresholds.reject and thresholds.repeatability >= 0
        except TypeError as error:
            raise BundleError("thresholds.json does not fit this version", found=str(error)) from error
        if not in_order:
            raise BundleError(
                "thresholds.json is out of order",
                expected="review <= reject, repeatability >= 0",
                found=f"{thresholds.review}, {thresholds.reject}, {thresholds.repeatability}",
            )
        return thresholds


def learn_thresholds(scores: Scores, repeatability: float, options: ThresholdOptions) -> Thresholds:
    """Thresholds for new normal images from out-of-fold scores of held-out normals, (n,)."""
    if options.policy == "fixed":
        assert options.review_threshold is not None
        assert options.reject_threshold is not None
        return Thresholds(
            review=options.review_threshold,
            reject=options.reject_threshold,
            score_name=options.score_name,
            policy="fixed",
            num_normals=len(scores),
            repeatability=repeatability,
        )
    review, review_extrapolated = _first_above(scores, options.review_overkill_rate, options)
    reject, reject_extrapolated = _first_above(scores, options.reject_overkill_rate, options)
    return Thresholds(
        review=review,
        reject=max(review, reject),
        review_overkill_rate=options.review_overkill_rate,
        reject_overkill_rate=options.reject_overkill_rate,
        overkill_confidence=options.overkill_confidence,
        review_extrapolated=review_extrapolated,
        reject_extrapolated=reject_extrapolated,
        num_normals=len(scores),
        repeatability=repeatability,
    )


def _first_above(scores: Scores, rate: float, options: ThresholdOptions) -> tuple[float, bool]:
    """The least score of the band above: the promise counts what *exceeds* the quantile, ties included or not."""
    quantile, extrapolated = upper_quantile(scores, rate, options.tail_share, options.overkill_confidence)
    return math.nextafter(quantile, math.inf), extrapolated


def upper_quantile(
    scores: Scores, rate: float, tail_share: float, confidence: float | None = None
) -> tuple[float, bool]:
    """The score that a new normal image exceeds with probability ``rate``, and whether it is extrapolated.

    confidence: of ``false_alarms.num_left_above``; None promises the rate on average.
    Raises DataError when there are fewer than two scores or one is not finite.
    """
    if len(scores) < 2 or not np.isfinite(scores).all():
        raise DataError(
            "thresholds cannot be learned from these scores",
            expected="two or more finite scores of held-out normals",
            found=f"{len(scores)}, {int((~np.isfinite(scores)).sum())} of them not finite",
        )
    ordered = np.sort(scores)
    num_above = num_left_above(rate, len(ordered), confidence)
    if num_above > 0:
        return float(ordered[-num_above]), False
    num_tail = max(2, round(tail_share * len(ordered)))
    start = ordered[-min(num_tail + 1, len(ordered))]
    mean_excess = float(np.mean(ordered[-num_tail:] - start))
    extrapolated = start + mean_excess * math.log(num_tail / (len(ordered) * rate))
    return float(max(extrapolated, ordered[-1])), True


def escape_threshold(defect_scores: Scores, escape_rate: float, confidence: float = 0.95) -> float:
    """The largest threshold below which at most ``escape_rate`` of new defects score, with this confidence.

    defect_scores: (n,) of labelled defective images that no other choice was made on. The threshold is the
    (j + 1)-th smallest of them, j the most misses of n whose exact one-sided bound stays within the rate; j
    depends on n alone, so the bound is not spoilt by looking at the scores. It holds for defects that come in the
    proportions of the sample; for a bound per type, ask for each type and take the least threshold.

    >>> scores = np.array([detector.inspect_file(path).inference.score for path in paths])  # doctest: +SKIP
    >>> first = escape_threshold(scores, 0.05)                                              # doctest: +SKIP
    >>> learned = detector.thresholds                                                       # doctest: +SKIP
    >>> detector.thresholds = replace(learned, review=first, reject=max(first, learned.reject),  # doctest: +SKIP
    ...                               policy="escapes", review_overkill_rate=None, review_extrapolated=False)

    Raises OptionsError when rate or confidence is outside (0, 1); DataError when a score is not finite, or when
    the defects are too few to show the bound, with the number it takes.
    """
    for name, value in (("escape rate", escape_rate), ("confidence", confidence)):
        if not 0 < value < 1:
            raise OptionsError(f"the {name} is out of range", expected="above 0, below 1", found=str(value))
    if not np.isfinite(defect_scores).all():
        raise DataError("scores of defects are not all finite", expected="finite scores, or leave the images out")
    n = len(defect_scores)
    if n == 0 or upper_bound(0, n, confidence) > escape_rate:
        raise DataError(
            f"an escape rate of at most {escape_rate:.3%} cannot be shown with {confidence:.0%} confidence",
            expected=f"{sample_size_for_bound(escape_rate, confidence):,} or more labelled defective images",
            found=f"{n:,}",
        )
    num_missed = 0
    while num_missed + 1 < n and upper_bound(num_missed + 1, n, confidence) <= escape_rate:
        num_missed += 1
    return float(np.sort(defect_scores)[num_missed])


def p_values(scores: Scores, normals: Scores) -> Scores:
    """Conformal p-values of scores (m,) against held-out normals (n,): (1 + #{normals >= score}) / (n + 1)."""
    ordered = np.sort(normals)
    not_below = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return np.asarray((1 + not_below) / (len(ordered) + 1), dtype=np.float64)
