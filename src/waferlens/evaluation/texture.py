"""What pattern normal images carry: period, direction, smoothness and alignment, as numbers.

Power spectrum: each image minus its mean, Hann-windowed, |FFT|^2, averaged over images; frequencies in
cycles per image width. Direction: the gradient structure tensor (Bigun and Granlund, 1987).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from waferlens.evaluation.reference import sample_indices
from waferlens.records import IMAGE_SIZE, FloatArray

MAX_IMAGES = 64
"""Images that are looked at; the figures are averages and settle long before."""

LOWEST_FREQUENCY = 4
"""Below four cycles an image, the window and the illumination speak louder than the texture."""

AXIS_TOLERANCE_DEG = 10.0

Plane = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Texture:
    """Figures of the normal texture.

    period_px: of the strongest spectral peak. line_angle_deg: direction of its lines, 0 = horizontal,
    counter-clockwise, in [0, 180). peak_share: of the power from 4 cycles up that the peak holds.
    peak_prominence: peak power over the median power at the same frequency radius.
    spectral_slope: exponent of power against frequency (-2 to -3 natural scenes, 0 white noise).
    coherence: 0 no preferred direction, 1 a single one. axis_aligned_share: of gradient energy within 10
    degrees of an image axis (0.22 when no direction is preferred).
    alignment: mean correlation between two images, 1 = the same scene every time; NaN for one image.
    """

    num_images: int
    period_px: float
    line_angle_deg: float
    peak_share: float
    peak_prominence: float
    spectral_slope: float
    coherence: float
    axis_aligned_share: float
    alignment: float


def measure_texture(images: FloatArray, *, seed: int = 0) -> Texture:
    """Measure (N, 256, 256) normal images; at most 64 of them, chosen by seed."""
    chosen = np.asarray(images[sample_indices(len(images), MAX_IMAGES, seed)], dtype=np.float64)
    power = mean_power_spectrum(chosen)
    period, angle, share, prominence = _strongest_peak(power)
    coherence, axis_aligned_share = _directions(chosen)
    return Texture(
        num_images=len(chosen),
        period_px=period,
        line_angle_deg=angle,
        peak_share=share,
        peak_prominence=prominence,
        spectral_slope=_spectral_slope(power),
        coherence=coherence,
        axis_aligned_share=axis_aligned_share,
        alignment=_alignment(chosen),
    )


def mean_power_spectrum(images: Plane) -> Plane:
    """(256, 256) mean power, zero frequency at [128, 128]."""
    window = np.outer(np.hanning(IMAGE_SIZE), np.hanning(IMAGE_SIZE))
    centred = (images - images.mean(axis=(1, 2), keepdims=True)) * window
    power: Plane = np.fft.fftshift((np.abs(np.fft.fft2(centred)) ** 2).mean(axis=0))
    return power


def _radius() -> Plane:
    offset = np.arange(IMAGE_SIZE) - IMAGE_SIZE // 2
    return np.hypot(offset[:, None], offset[None, :])


def _strongest_peak(power: Plane) -> tuple[float, float, float, float]:
    """(period px, line angle deg, share of power, prominence); NaN for constant images."""
    radius = _radius()
    textured = (radius >= LOWEST_FREQUENCY) & (radius < IMAGE_SIZE // 2)
    total = float(power[textured].sum())
    if total <= 0:
        return (math.nan,) * 4
    row, column = np.unravel_index(np.where(textured, power, 0).argmax(), power.shape)
    ring = np.rint(radius) == np.rint(radius[row, column])
    around = power[row - 1 : row + 2, column - 1 : column + 2]
    down, right = row - IMAGE_SIZE // 2, column - IMAGE_SIZE // 2
    # Lines run at a right angle to their wave vector; rows count downwards, angles counter-clockwise.
    angle = (math.degrees(math.atan2(-down, right)) + 90) % 180
    share = min(1.0, 2 * float(around.sum()) / total)  # the peak and its mirror image
    prominence = float(power[row, column] / max(np.median(power[ring]), np.finfo(float).tiny))
    return IMAGE_SIZE / float(radius[row, column]), angle, share, prominence


def _spectral_slope(power: Plane) -> float:
    ring = np.rint(_radius()).astype(int).ravel()
    mean_power = np.bincount(ring, weights=power.ravel()).astype(np.float64)
    mean_power /= np.bincount(ring)
    frequency = np.arange(LOWEST_FREQUENCY, 100)
    values = mean_power[frequency]
    if not (values > 0).all():
        return math.nan
    return float(np.polyfit(np.log(frequency), np.log(values), 1)[0])


def _directions(images: Plane) -> tuple[float, float]:
    """(coherence, share of gradient energy along the image axes)."""
    gradients: list[Plane] = list(np.gradient(images, axis=(1, 2)))
    down, right = gradients
    energy: Plane = np.square(down) + np.square(right)
    total = float(energy.sum())
    if total <= 0:
        return math.nan, math.nan
    difference, cross = float((right**2 - down**2).sum()), float((right * down).sum())
    from_axis = np.degrees(np.arctan2(np.minimum(abs(down), abs(right)), np.maximum(abs(down), abs(right))))
    along = float(energy[from_axis <= AXIS_TOLERANCE_DEG].sum())
    return math.hypot(difference, 2 * cross) / total, along / total


def _alignment(images: Plane) -> float:
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    if len(images) < 2 or not (length > 0).all():
        return math.nan
    correlation = (flat / length) @ (flat / length).T
    return float(correlation[np.triu_indices(len(images), 1)].mean())
