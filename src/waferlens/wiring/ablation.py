"""What each step of the score buys: the trained network of a bundle, judged with later steps left out.

From a(x) to the calibrated score there are three steps, and what judges beside the network where there is any. The
network stays as it is; what comes after it is learned again on the same held-out normals, as it would have been
without the step.
"""

from __future__ import annotations

from typing import Any

from waferlens.evaluation.summary import metrics_for
from waferlens.models.detector import Detector
from waferlens.models.error_map import ErrorMap
from waferlens.training.calibrate import CalibrationOptions, calibrate
from waferlens.training.feed import Feed
from waferlens.wiring.scoring import Count, TestSet, detector_infer, score_test_set

PEAK = "peak of the smoothed error"
BY_POSITION = "peak, in deviations of normals per position"
BY_KIND = "peak, error over what is usual for the image"
BY_BOTH = "peak, per position and usual, without the discriminator"
WITHOUT_BANK = "peak, per position and usual, without the bank of features"
ALONE = "peak, per position and usual, without discriminator and bank"
STEPS = (PEAK, BY_POSITION, BY_KIND)
"""What stands between a(x) and the score, which takes both: per position, and for the image."""


def ablate(
    detector: Detector, held_out: Feed, test: TestSet, calibration: CalibrationOptions, count: Count
) -> dict[str, dict[str, Any]]:
    """Metrics of every step on the test set, by its name; ``detector`` is not changed.

    The steps are STEPS, and what is left without a discriminator or a bank of features where the detector has one.
    """
    steps = {
        PEAK: _judged(detector, with_usual=False),
        BY_POSITION: _judged(detector, with_usual=False),
        BY_KIND: _judged(detector, with_usual=True),
    }
    calibrated = {BY_POSITION: steps[BY_POSITION], **_without(detector)}
    for step in calibrated.values():
        calibrate(step, held_out, calibration)
    steps |= calibrated
    found = {}
    for name, step in steps.items():
        scored = score_test_set(name, detector_infer(step), test, detector.num_parameters, count)
        found[name] = metrics_for(scored)
    return found


def _without(detector: Detector) -> dict[str, Detector]:
    """The detector without what judges beside its network, by name; nothing where that is its score."""
    judge, bank = detector.discriminator, detector.feature_bank
    if judge is not None and bank is not None:
        return {
            WITHOUT_BANK: _judged(detector, with_usual=True, with_discriminator=True),
            ALONE: _judged(detector, with_usual=True),
        }
    if judge is None and bank is None:
        return {}
    return {BY_BOTH if bank is None else WITHOUT_BANK: _judged(detector, with_usual=True)}


def _judged(detector: Detector, *, with_usual: bool, with_discriminator: bool = False) -> Detector:
    """The same network before an error map that knows nothing of normal images but the region of interest."""
    old = detector.error_map
    error_map = ErrorMap(old.options, old.num_departures, with_suspicion=with_discriminator)
    error_map.roi.copy_(old.roi)
    usual = detector.usual_error if with_usual else None
    judge = detector.discriminator if with_discriminator else None
    return Detector(detector.normalise, detector.network, error_map, usual, judge).eval()
