"""From measured causes to a failure mode, by stated rules; to each mode, what to do about it.

The rules are tried in the order of `MISS_MODES` and `ALARM_MODES`; the first that holds names the mode.
They sort failures into groups that call for different work; they do not prove a cause.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, Field

from waferlens.evaluation.failure_causes import AlarmCauses, MissCauses


class FailureRules(BaseModel, frozen=True, extra="forbid"):
    """The limits of the rules."""

    seen_rank: float = Field(0.95, ge=0, le=1, description="heatmap on the defect beats this share of normals")
    small_area: float = Field(0.005, gt=0, lt=1, description="below this share of the image a defect is small")
    faint_contrast: float = Field(1.5, gt=0, description="below this many normal deviations a defect is faint")
    busy_rank: float = Field(0.9, ge=0, le=1, description="model error above this share of positions is high")
    border_px: float = Field(8, ge=0, description="nearer than this to the image border, pixels")
    unusual_rank: float = Field(0.95, ge=0, le=1, description="farther from its neighbours than this share")
    illumination: float = Field(3.5, gt=0, description="robust deviations at which brightness is an outlier")


@dataclass(frozen=True, kw_only=True)
class FailureMode:
    """A group of failures. rule: what was measured to be so. mitigation: what to try first."""

    key: str
    title: str
    rule: str
    mitigation: str


MISS_MODES = {
    mode.key: mode
    for mode in (
        FailureMode(
            key="unmeasured",
            title="Missed, cause not measurable",
            rule="no mask was drawn or the method has no heatmap",
            mitigation="Draw the missing masks, so that the cause can be measured.",
        ),
        FailureMode(
            key="below_threshold",
            title="Shown, but below the threshold",
            rule="the heatmap beats nearly all normals on the defect and peaks there; the score is too low",
            mitigation="The map is right and the margin is not: add normal training images so that the normal "
            "scores spread less, and let a lower REVIEW threshold send these to an inspector.",
        ),
        FailureMode(
            key="outshouted",
            title="Seen, but outshouted elsewhere",
            rule="the heatmap beats nearly all normals on the defect, but peaks elsewhere",
            mitigation="Calibrate the map per position on more normal images, and exclude by an ROI mask places "
            "that do not matter.",
        ),
        FailureMode(
            key="small",
            title="Too small to be seen",
            rule="not seen, and the defect covers less than the stated share of the image",
            mitigation="Inspect at a higher resolution or in overlapping tiles, and smooth the error map less.",
        ),
        FailureMode(
            key="faint",
            title="Too faint to be seen",
            rule="not seen, and inside the mask the image departs little from normals",
            mitigation="Raise contrast at the source (illumination, focus), and score features of a pretrained "
            "backbone instead of grey values.",
        ),
        FailureMode(
            key="busy_place",
            title="In a place that is reconstructed badly anyway",
            rule="not seen, and the model error of normal images is high there",
            mitigation="Align images before the network and train with small shifts, so that the normal error "
            "in this place falls.",
        ),
        FailureMode(
            key="border",
            title="At the image border",
            rule="not seen, and the mask lies at the border",
            mitigation="Acquire with a margin and let inspection points overlap, so that no defect lies at "
            "a border only.",
        ),
        FailureMode(
            key="reconstructed",
            title="Reconstructed as if it were normal",
            rule="not seen, although large and strong enough",
            mitigation="Give the model less room to copy: fewer latents or a larger beta, and synthetic "
            "defects of this kind in validation to watch it.",
        ),
    )
}

ALARM_MODES = {
    mode.key: mode
    for mode in (
        FailureMode(
            key="unusual_normal",
            title="Unusual but valid normal",
            rule="its nearest normal neighbour is farther than nearly all normals' are",
            mitigation="Let an inspector confirm it and add it, and images like it, to the training normals.",
        ),
        FailureMode(
            key="illumination",
            title="Illumination outlier",
            rule="its brightness or contrast is an outlier among the training normals",
            mitigation="Switch on flat-field and percentile normalisation, and train with gain and offset "
            "augmentation.",
        ),
        FailureMode(
            key="alarm_at_border",
            title="Alarm at the image border",
            rule="the heatmap peaks at the border",
            mitigation="Mask the border out by an ROI, or crop after registration.",
        ),
        FailureMode(
            key="alarm_at_busy_place",
            title="Alarm where normals vary",
            rule="the heatmap peaks where the model error of normal images is high",
            mitigation="Train with small shifts and rotations, and calibrate that place on more normals.",
        ),
        FailureMode(
            key="tail",
            title="Tail of the normal scores",
            rule="nothing about the image is out of the ordinary",
            mitigation="Some alarms are the price of the threshold; more calibration normals place it better, "
            "and REVIEW, not REJECT, should take them.",
        ),
    )
}


def mode_of_miss(causes: MissCauses, rules: FailureRules) -> FailureMode:
    """The first rule that holds for a missed defect."""
    if math.isnan(causes.peak_inside):
        return MISS_MODES["unmeasured"]
    seen = causes.peak_inside_rank >= rules.seen_rank
    tests: dict[str, Callable[[], bool]] = {
        "below_threshold": lambda: seen and not causes.peak_outside > causes.peak_inside,
        "outshouted": lambda: seen,
        "small": lambda: causes.area_fraction < rules.small_area,
        "faint": lambda: causes.contrast < rules.faint_contrast,
        "busy_place": lambda: causes.place_error_rank >= rules.busy_rank,
        "border": lambda: causes.border_px < rules.border_px,
    }
    return MISS_MODES[next((key for key, holds in tests.items() if holds()), "reconstructed")]


def mode_of_alarm(causes: AlarmCauses, rules: FailureRules) -> FailureMode:
    """The first rule that holds for a false alarm."""
    departures = (abs(causes.brightness_departure), abs(causes.contrast_departure))
    tests: dict[str, Callable[[], bool]] = {
        "unusual_normal": lambda: (
            causes.unusual_rank >= rules.unusual_rank or causes.latent_rank >= rules.unusual_rank
        ),
        "illumination": lambda: any(departure >= rules.illumination for departure in departures),
        "alarm_at_border": lambda: causes.border_px < rules.border_px,
        "alarm_at_busy_place": lambda: causes.place_error_rank >= rules.busy_rank,
    }
    return ALARM_MODES[next((key for key, holds in tests.items() if holds()), "tail")]
