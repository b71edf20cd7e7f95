"""What each step of the score buys: the trained network of a bundle, judged with later steps left out.

From a(x) to the calibrated score there are three steps, and a discriminator's suspicion where there is one. The
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
STEPS = (PEAK, BY_POSITION, BY_KIND)
"""What stands between a(x) and the score, which takes both: per position, and for the image."""


def ablate(
    detector: Detector, held_out: Feed, test: TestSet, calibration: CalibrationOptions, count: Count
) -> dict[str, dict[str, Any]]:
    """Metrics of every step on the test set, by its name; ``detector`` is not changed.

    The steps are STEPS, and BY_BOTH where the detector has a discriminator: without one that is its score.
    """
    steps = {
        PEAK: _judged(detector, with_usual=False),
        BY_POSITION: _judged(detector, with_usual=False),
        BY_KIND: _judged(detector, with_usual=True),
    }
    if detector.discriminator is not None:
        steps[BY_BOTH] = _judged(detector, with_usual=True)
        calibrate(steps[BY_BOTH], held_out, calibration)
    calibrate(steps[BY_POSITION], held_out, calibration)
    found = {}
    for name, step in steps.items():
        scored = score_test_set(name, detector_infer(step), test, detector.num_parameters, count)
        found[name] = metrics_for(scored)
    return found


def _judged(detector: Detector, *, with_usual: bool) -> Detector:
    """The same network before an error map that knows nothing of normal images but the region of interest."""
    error_map = ErrorMap(detector.error_map.options, detector.error_map.num_departures)
    error_map.roi.copy_(detector.error_map.roi)
    usual = detector.usual_error if with_usual else None
    return Detector(detector.normalise, detector.network, error_map, usual).eval()
