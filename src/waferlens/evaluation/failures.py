"""Error analysis: every miss and every false alarm at each threshold, why, and what to do about it.

An image is alarmed on when its score is at or above a threshold. Where nothing fails, the images that came
nearest to failing are shown instead, and the interval of the rate says how little "nothing" proves.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from waferlens.decision.intervals import exact_rate
from waferlens.evaluation.failure_causes import AlarmCauses, CauseMeter, MissCauses
from waferlens.evaluation.failure_modes import FailureMode, FailureRules, mode_of_alarm, mode_of_miss
from waferlens.evaluation.reference import NormalReference
from waferlens.evaluation.resampling import UNDEFINED
from waferlens.evaluation.scored import ScoredImages
from waferlens.evaluation.wording import percent
from waferlens.records import Estimate

NUM_CLOSEST = 4
"""Closest calls of each class."""


class CaseKind(StrEnum):
    """Why an image is in the error analysis."""

    MISS = "miss"
    FALSE_ALARM = "false alarm"
    CLOSE_DEFECT = "nearly missed"
    CLOSE_NORMAL = "nearly a false alarm"


@dataclass(frozen=True, kw_only=True)
class FailureCase:
    """One image. fails_at: names of the thresholds at which it fails (empty for a closest call)."""

    index: int
    name: str
    defect_type: str | None
    kind: CaseKind
    score: float
    fails_at: tuple[str, ...]
    causes: MissCauses | AlarmCauses
    mode: FailureMode


@dataclass(frozen=True, kw_only=True)
class ThresholdResult:
    """What one threshold does. miss_rate: misses among defective images; false_alarm_rate: alarms among
    normal ones; UNDEFINED where the class is absent."""

    name: str
    threshold: float
    num_misses: int
    num_false_alarms: int
    miss_rate: Estimate
    false_alarm_rate: Estimate


@dataclass(frozen=True, kw_only=True)
class ErrorAnalysis:
    """cases: all failures, misses first, each in rising distance from PASS (misses) or falling (alarms).
    top_modes: up to three modes with the number of failing images, most frequent first."""

    thresholds: tuple[ThresholdResult, ...]
    cases: tuple[FailureCase, ...]
    closest: tuple[FailureCase, ...]
    top_modes: tuple[tuple[FailureMode, int], ...]


def analyse_errors(
    scored: ScoredImages,
    thresholds: Mapping[str, float],
    reference: NormalReference,
    rules: FailureRules | None = None,
) -> ErrorAnalysis:
    """Find, measure and group the failures of one method.

    thresholds: name to calibrated score, such as {"FPR 5 %": ..., "REVIEW": ...}. reference: from the
    training normals, seen through the same preprocessing as ``scored.images``.
    """
    rules = rules or FailureRules()
    meter = CauseMeter(scored, reference)
    failing = {index: _fails_at(scored, index, thresholds) for index in range(scored.num_images)}
    ordered = sorted(
        (index for index, names in failing.items() if names),
        key=lambda index: (not scored.defective[index], _ease(scored, index)),
    )
    cases = tuple(_case(scored, index, failing[index], meter, rules) for index in ordered)
    closest = _closest(scored, [index for index, names in failing.items() if not names])
    counted = Counter(case.mode.key for case in cases)
    modes = {case.mode.key: case.mode for case in cases}
    return ErrorAnalysis(
        thresholds=tuple(_result(scored, name, value) for name, value in thresholds.items()),
        cases=cases,
        closest=tuple(_case(scored, index, (), meter, rules) for index in closest),
        top_modes=tuple((modes[key], count) for key, count in counted.most_common(3)),
    )


def _fails_at(scored: ScoredImages, index: int, thresholds: Mapping[str, float]) -> tuple[str, ...]:
    """A defective image fails when it is quiet, a normal one when it is alarmed on."""
    score, defective = scored.scores[index], bool(scored.defective[index])
    return tuple(name for name, limit in thresholds.items() if bool(score < limit) == defective)


def _ease(scored: ScoredImages, index: int) -> float:
    """Rising from the gravest: the lowest defective score, the highest normal one."""
    score = float(scored.scores[index])
    return score if scored.defective[index] else -score


def _closest(scored: ScoredImages, quiet: list[int]) -> list[int]:
    """Of the images that fail nowhere, the few of each class with the least margin."""
    defective = sorted((i for i in quiet if scored.defective[i]), key=lambda i: _ease(scored, i))
    normal = sorted((i for i in quiet if not scored.defective[i]), key=lambda i: _ease(scored, i))
    return defective[:NUM_CLOSEST] + normal[:NUM_CLOSEST]


def _case(
    scored: ScoredImages, index: int, fails_at: tuple[str, ...], meter: CauseMeter, rules: FailureRules
) -> FailureCase:
    causes: MissCauses | AlarmCauses
    if scored.defective[index]:
        causes = meter.of_miss(index)
        mode, kind = mode_of_miss(causes, rules), CaseKind.MISS if fails_at else CaseKind.CLOSE_DEFECT
    else:
        causes = meter.of_alarm(index)
        mode, kind = mode_of_alarm(causes, rules), CaseKind.FALSE_ALARM if fails_at else CaseKind.CLOSE_NORMAL
    return FailureCase(
        index=index,
        name=scored.names[index],
        defect_type=scored.defect_types[index],
        kind=kind,
        score=float(scored.scores[index]),
        fails_at=fails_at,
        causes=causes,
        mode=mode,
    )


def _result(scored: ScoredImages, name: str, threshold: float) -> ThresholdResult:
    alarmed, defective = scored.scores >= threshold, scored.defective
    num_misses, num_alarms = int((~alarmed & defective).sum()), int((alarmed & ~defective).sum())
    num_defective, num_normal = int(np.count_nonzero(defective)), int(np.count_nonzero(~defective))
    return ThresholdResult(
        name=name,
        threshold=threshold,
        num_misses=num_misses,
        num_false_alarms=num_alarms,
        miss_rate=exact_rate(num_misses, num_defective) if num_defective else UNDEFINED,
        false_alarm_rate=exact_rate(num_alarms, num_normal) if num_normal else UNDEFINED,
    )


def describe(case: FailureCase) -> str:
    """The measured causes of one case in a sentence; what was not measured is left out."""
    causes = case.causes
    if isinstance(causes, MissCauses):
        facts = [
            (causes.area_fraction, f"covers {percent(causes.area_fraction, 2)} of the image"),
            (causes.contrast, f"departs {causes.contrast:.1f} normal deviations inside the mask"),
            (causes.peak_inside, f"heatmap peaks at {causes.peak_inside:.3g} on the defect"),
            (causes.peak_outside, f"{causes.peak_outside:.3g} elsewhere"),
            (
                causes.peak_inside_rank,
                f"higher there than on {percent(causes.peak_inside_rank, 0)} of normals",
            ),
            (causes.place_error_rank, f"model error rank of the place {percent(causes.place_error_rank, 0)}"),
        ]
    else:
        facts = [
            (causes.peak_row, f"heatmap peaks at row {causes.peak_row:.0f}, column {causes.peak_column:.0f}"),
            (causes.place_error_rank, f"model error rank of the place {percent(causes.place_error_rank, 0)}"),
            (causes.brightness_departure, f"brightness {causes.brightness_departure:+.1f} robust deviations"),
            (causes.contrast_departure, f"contrast {causes.contrast_departure:+.1f}"),
            (
                causes.unusual_rank,
                f"farther from its nearest normal than {percent(causes.unusual_rank, 0)} of normals",
            ),
            (causes.latent_rank, f"in latent space than {percent(causes.latent_rank, 0)}"),
        ]
    known = [text for value, text in facts if not math.isnan(value)]
    sentence = "; ".join(known) + "."
    return sentence[0].upper() + sentence[1:] if known else "No cause could be measured."
