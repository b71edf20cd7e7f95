"""Draws what an inspector looks at: the image, what was expected, and where the two differ.

The colour scale is fixed for a bundle and never fitted to an image: the same colour always means the same number
of deviations, so a faint map is a faint map. REVIEW and REJECT are marked on the scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from safetensors.numpy import load_file

from waferlens.bundle.contents import load_thresholds
from waferlens.records import IMAGE_SIZE, FloatArray, Inspection, Pixels

_GAP = 8
_BAR = 14
_LABELS = 104
_INK = (32, 36, 44)
_PAPER = (255, 255, 255)
# Dark to light through violet and orange, so that it reads in grey and to colour-blind eyes: position, colour.
STOPS = (
    (0.0, (6, 4, 24)),
    (0.25, (76, 17, 104)),
    (0.5, (176, 44, 86)),
    (0.75, (240, 122, 40)),
    (1.0, (252, 246, 164)),
)


@dataclass(frozen=True, kw_only=True)
class HeatScale:
    """Colours of a bundle's heatmaps, in deviations of normal images at a position.

    review, reject: the deviation at which the peak of a map (the mean of its most deviating boxes) reaches a
    threshold; None where decisions are made on another number. top: the last colour.
    """

    top: float
    review: float | None = None
    reject: float | None = None


def heat_scale_of(bundle: Path) -> HeatScale:
    """The scale that follows from a bundle's thresholds (on its score) and from the score's own scale."""
    learned, thresholds = load_file(bundle / "calibration.safetensors"), load_thresholds(bundle)
    location, scale = float(learned["score_location"]), float(learned["score_scale"])
    if thresholds.score_name != "score":
        return HeatScale(top=location + 9 * scale)
    review, reject = (location + scale * threshold for threshold in (thresholds.review, thresholds.reject))
    return HeatScale(top=max(1.5 * reject, 1e-6), review=review, reject=reject)


def draw_inspection(pixels: Pixels, inspection: Inspection, scale: HeatScale) -> Image.Image:
    """Image, reconstruction and heatmap side by side, with the scale and one line of words; RGB.

    pixels: the canonical image (256, 256) that was inspected.
    """
    full_scale = np.iinfo(pixels.dtype).max
    image = pixels / full_scale
    panels = (
        grey_to_rgb(image),
        grey_to_rgb(with_levels_of(inspection.inference.reconstruction, image)),
        heat_to_rgb(inspection.inference.heatmap, scale),
    )
    width = 3 * IMAGE_SIZE + 4 * _GAP + _BAR + _LABELS
    sheet = Image.new("RGB", (width, IMAGE_SIZE + 2 * _GAP + 34), _PAPER)
    for index, (panel, title) in enumerate(zip(panels, ("image", "expected", "deviation"), strict=True)):
        left = _GAP + index * (IMAGE_SIZE + _GAP)
        sheet.paste(Image.fromarray(panel), (left, _GAP + 14))
        ImageDraw.Draw(sheet).text((left, 4), title, fill=_INK)
    draw_scale(sheet, scale, left=3 * (IMAGE_SIZE + _GAP) + _GAP, top=_GAP + 14)
    decision = inspection.decision
    words = (
        f"{decision.kind}   score {inspection.inference.score:.2f}   p {inspection.p_value:.3g}   "
        f"confidence {decision.confidence:.2f}   {inspection.name}"
    )
    ImageDraw.Draw(sheet).text((_GAP, IMAGE_SIZE + _GAP + 20), words, fill=_INK)
    return sheet


def heat_to_rgb(heatmap: FloatArray, scale: HeatScale) -> npt.NDArray[np.uint8]:
    """(H, W) deviations to (H, W, 3) colours of the fixed scale; below zero is the first colour."""
    place = np.clip(heatmap / scale.top, 0.0, 1.0)
    positions = [position for position, _ in STOPS]
    channels = [np.interp(place, positions, [colour[c] for _, colour in STOPS]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def with_levels_of(reconstruction: FloatArray, image: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """The reconstruction with the brightness and contrast of the image, so that the eye compares patterns.

    The network answers with the normalised image; only the 1st and 99th percentile are matched.
    """
    low, high = np.quantile(reconstruction, (0.01, 0.99))
    target_low, target_high = np.quantile(image, (0.01, 0.99))
    scaled: npt.NDArray[np.floating] = (reconstruction - low) / max(high - low, 1e-6)
    levelled: npt.NDArray[np.floating] = scaled * (target_high - target_low) + target_low
    return levelled


def grey_to_rgb(image: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """(H, W) in [0, 1] to (H, W, 3)."""
    grey = (np.clip(image, 0.0, 1.0) * 255).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def draw_scale(sheet: Image.Image, scale: HeatScale, *, left: int, top: int) -> None:
    """The colours from the top of the scale down to zero, with the thresholds marked."""
    ramp = np.linspace(scale.top, 0.0, IMAGE_SIZE, dtype=np.float32)[:, None].repeat(_BAR, axis=1)
    sheet.paste(Image.fromarray(heat_to_rgb(ramp, scale)), (left, top))
    draw = ImageDraw.Draw(sheet)
    named = (("", 0.0), ("REVIEW ", scale.review), ("REJECT ", scale.reject), ("", scale.top))
    marks = [(value, f"{name}{value:.1f}") for name, value in named if value is not None]
    for value, label in marks:
        y = top + round((1 - value / scale.top) * (IMAGE_SIZE - 1))
        draw.line([(left, y), (left + _BAR + 3, y)], fill=_INK)
        draw.text((left + _BAR + 8, y - 6), label, fill=_INK)
