"""What a departure looks like, in a few numbers that do not depend on where in the image it lies.

Images that leave PASS are compared with each other to find a kind of defect that nobody has named. Their latent
vectors say what the whole image is, and a defect is small in them. This describes the departure itself: how strong,
large and long, of how many parts, brighter or darker than expected, fine or coarse, and whether it veils the pattern.

Legend: heat is the detector's heatmap, residual the seen minus the expected grey value over its own robust deviation;
both (256, 256). A ring is a range of distances from the place of the largest heat, in pixels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from waferlens.records import IMAGE_SIZE, FloatArray, Pixels

_RINGS_PX = (0, 4, 8, 13, 20, 30, 45)
_NUM_RINGS = len(_RINGS_PX) - 1
_MARKED = 4.0  # deviations of the residual that count as part of the defect
_NEAR_PX = 60

APPEARANCE_SIZE = 14 + 4 * _NUM_RINGS
"""Numbers that describe one departure."""

_ROWS, _COLUMNS = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE].astype(np.float64)
Map = npt.NDArray[np.float64]


def describe(pixels: Pixels, expected: FloatArray, heatmap: FloatArray) -> FloatArray:
    """(APPEARANCE_SIZE,) float32: the departure of one image.

    pixels: canonical, (256, 256). expected: the detector's reconstruction, (256, 256) in [0, 1]. heatmap:
    (256, 256), in deviations of normal images. All finite.
    """
    heat = np.asarray(heatmap, dtype=np.float64)
    seen = _as_expected(pixels, expected)
    residual = seen - expected
    residual = residual / max(1.4826 * float(np.median(np.abs(residual - np.median(residual)))), 1e-4)
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    distance = np.hypot(_ROWS - row, _COLUMNS - column)
    smooth = ndimage.gaussian_filter(residual, 1.5)
    numbers = [
        *_of_heat(heat, int(row), int(column)),
        *_of_marks(smooth / max(float(smooth.std()), 1e-6), distance),
        *_of_veil(seen, np.asarray(expected, dtype=np.float64), distance),
        *_by_ring(heat, residual, distance),
    ]
    return np.nan_to_num(np.asarray(numbers), posinf=0.0, neginf=0.0).astype(np.float32)


def _as_expected(pixels: Pixels, expected: FloatArray) -> Map:
    """The seen image on the grey scale of the expected one: gain with a tilt, and an offset, by least squares."""
    seen = pixels.astype(np.float64) / float(np.iinfo(pixels.dtype).max)
    half = IMAGE_SIZE / 2.0
    x, y = _COLUMNS / half - 1.0, _ROWS / half - 1.0
    columns = np.stack([seen, seen * x, seen * y, seen * (x * x + y * y), np.ones_like(seen)], axis=-1)
    few = columns[::4, ::4].reshape(-1, columns.shape[-1])
    weights = np.linalg.lstsq(few, np.asarray(expected[::4, ::4], dtype=np.float64).ravel(), rcond=None)[0]
    fitted: Map = columns @ weights
    return fitted


def _of_heat(heat: Map, row: int, column: int) -> list[float]:
    """Height; area and elongation of the part above half of it; the parts; the share of it all in one place."""
    peak = max(float(heat[row, column]), 1e-6)
    labels, num_parts = ndimage.label(heat > 0.5 * peak)
    part = labels == labels[row, column]
    area, elongation = _shape(part, np.ones_like(heat))
    above = np.clip(heat, 0.0, None)
    share = float(above[part].sum() / max(above.sum(), 1e-6))
    return [np.arcsinh(peak), area, elongation, float(np.log(num_parts)), share]


def _of_marks(residual: Map, distance: Map) -> list[float]:
    """The pixels near the largest heat that are far from what was expected: how many, how long, of which sign."""
    near = distance < _NEAR_PX
    strong = near & (np.abs(residual) > _MARKED)
    area, elongation = _shape(strong, np.abs(residual))
    _, num_parts = ndimage.label(strong)
    values = residual[strong]
    sign = float(values.mean() / np.abs(values).mean()) if values.size else 0.0
    highest, lowest = float(residual[near].max()), float(residual[near].min())
    return [area, elongation, float(np.log1p(num_parts)), sign, np.arcsinh(highest), np.arcsinh(-lowest)]


def _of_veil(seen: Map, expected: Map, distance: Map) -> list[float]:
    """Contrast of the pattern against the expected one, fine and coarse, near the place and a little farther."""
    numbers = []
    for limit in (10, 30):
        near = distance < limit
        for sigma in (1.0, 3.0):
            details = [part - ndimage.gaussian_filter(part, sigma) for part in (seen, expected)]
            there, wanted = (float(part[near].std()) for part in details)
            numbers.append(float(np.log((there + 1e-3) / (wanted + 1e-3))))
    return numbers[:3]


def _by_ring(heat: Map, residual: Map, distance: Map) -> list[float]:
    """Profiles away from the place: heat, signed residual, its size, and its coarse part."""
    peak = max(float(heat.max()), 1e-6)
    coarse = ndimage.gaussian_filter(residual, 4.0)
    numbers = []
    for inner, outer in zip(_RINGS_PX[:-1], _RINGS_PX[1:], strict=True):
        ring = (distance >= inner) & (distance < outer)
        parts = residual[ring]
        numbers += [float(heat[ring].mean() / peak), float(np.arcsinh(parts.mean()))]
        numbers += [float(np.log(np.abs(parts).mean() + 0.1)), float(np.arcsinh(coarse[ring].std()))]
    return numbers


def _shape(part: npt.NDArray[np.bool_], weights: Map) -> tuple[float, float]:
    """log area, and log of the longer over the shorter axis, of some pixels; (0, 0) when there are none."""
    area = int(part.sum())
    if area < 3:
        return float(np.log1p(area)), 0.0
    places = np.stack([_ROWS[part], _COLUMNS[part]])
    spread = np.linalg.eigvalsh(np.cov(places, aweights=weights[part]) + np.eye(2) / 12.0)
    return float(np.log1p(area)), float(0.5 * np.log(spread[1] / spread[0]))
