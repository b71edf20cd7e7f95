"""What a departure looks like, in a few numbers that do not depend on where in the image it lies.

Images that leave PASS are compared with each other to find a kind of defect that nobody has named. Their latent
vectors say what the whole image is, and a defect is small in them. This describes the departure itself: how
strong, large and long it is in the heatmap, and how the surface there differs from the rest of *the same image*:
brighter or darker, finer or coarser, with lines in one direction, with its pattern veiled. A pattern repeats, so
the image is its own reference; measured on 670 images of eight kinds, that tells kinds apart far better than the
difference from the reconstruction.

Legend: seen is the image over its background, (256, 256); part the pixels of the largest heat, near a disc
around them. Every map of the surface is in robust deviations (median, MAD) of the image itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from waferlens.records import IMAGE_SIZE, FloatArray, Pixels

_RINGS_PX = (0, 6, 12, 20, 30, 45)
_BACKGROUND_BOX, _BACKGROUND_SIGMA = 8, 5.0
_SIGMAS_PX = (1.0, 2.0, 4.0, 8.0)
_STRONG = 5.0  # deviations of a band that count as part of the defect
_LEAST_NEAR_PX = 12.0

APPEARANCE_SIZE = 5 + (len(_RINGS_PX) - 1) + 3 * 4 + 8 * 3
"""Numbers that describe one departure."""

_ROWS, _COLUMNS = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE].astype(np.float32)
Bools = npt.NDArray[np.bool_]


def describe(pixels: Pixels, heatmap: FloatArray) -> FloatArray:
    """(APPEARANCE_SIZE,) float32, finite: the departure of one image.

    pixels: canonical, (256, 256). heatmap: (256, 256) float32, in deviations of normal images, finite.
    """
    heat = np.asarray(heatmap, dtype=np.float32)
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    labels, num_parts = ndimage.label(heat > 0.5 * max(float(heat[row, column]), 1e-6))
    part = labels == labels[row, column] if num_parts else heat == heat[row, column]
    distance = np.hypot(_ROWS - _ROWS[row, 0], _COLUMNS - _COLUMNS[0, column])
    near = distance < max(_LEAST_NEAR_PX, 1.5 * float(np.sqrt(part.sum() / np.pi)))
    seen = _over_background(pixels)
    smooth = [ndimage.gaussian_filter(seen, sigma, truncate=3.0) for sigma in _SIGMAS_PX]
    numbers = [
        *_of_heat(heat, part, num_parts, distance),
        *_of_bands(smooth, near),
        *_of_texture(smooth, part, near),
    ]
    return np.asarray(np.nan_to_num(np.asarray(numbers), posinf=0.0, neginf=0.0), dtype=np.float32)


def _over_background(pixels: Pixels) -> FloatArray:
    """Grey values over their low-pass background: lamp, tilt and vignette are gone. (256, 256)."""
    seen = pixels.astype(np.float32)
    cells = IMAGE_SIZE // _BACKGROUND_BOX
    coarse = seen.reshape(cells, _BACKGROUND_BOX, cells, _BACKGROUND_BOX).mean(axis=(1, 3))
    background = ndimage.zoom(ndimage.gaussian_filter(coarse, _BACKGROUND_SIGMA), _BACKGROUND_BOX, order=1)
    over: FloatArray = seen / np.maximum(background, 0.05 * float(background.max()) + 1e-6)
    return over


def _of_heat(heat: FloatArray, part: Bools, num_parts: int, distance: FloatArray) -> Iterator[float]:
    """Height; area, elongation; how many parts, the largest one's share; the profile away from the place."""
    peak, above = max(float(heat.max()), 1e-6), np.clip(heat, 0.0, None)
    yield float(np.arcsinh(peak))
    yield float(np.log(max(1, part.sum())))
    yield _elongation(part)
    yield float(np.log(max(1, num_parts)))
    yield float(above[part].sum() / max(float(above.sum()), 1e-6))
    for inner, outer in pairwise(_RINGS_PX):
        yield float(heat[(distance >= inner) & (distance < outer)].mean()) / peak


def _of_bands(smooth: list[FloatArray], near: Bools) -> Iterator[float]:
    """In three bands of size: how bright and how dark the farthest pixels are, how many are far, the mean."""
    for fine, coarse in pairwise(smooth):
        band = _robust(fine - coarse)[near]
        yield float(np.arcsinh(band.max()))
        yield float(np.arcsinh(-band.min()))
        yield float(np.log(float((np.abs(band) > _STRONG).mean()) + 0.005))
        yield float(np.arcsinh(3 * float(band.mean())))


def _of_texture(smooth: list[FloatArray], part: Bools, near: Bools) -> Iterator[float]:
    """Of mean grey, energy of three bands and direction of edges: in the part, and both ends near it."""
    for surface in _textures(smooth):
        apart = _robust(surface)
        yield float(np.arcsinh(apart[part].mean()))
        yield float(np.arcsinh(apart[near].max()))
        yield float(np.arcsinh(-apart[near].min()))


def _textures(smooth: list[FloatArray]) -> Iterator[FloatArray]:
    yield smooth[3]
    for fine, coarse in pairwise(smooth):
        yield np.log(ndimage.gaussian_filter((fine - coarse) ** 2, 6.0, truncate=2.5) + 1e-7)
    down, right = np.gradient(smooth[0])
    squares = [ndimage.gaussian_filter(p, 5.0, truncate=2.5) for p in (right * right, down * down, right * down)]
    total = squares[0] + squares[1] + 1e-7
    yield np.sqrt((squares[0] - squares[1]) ** 2 + 4 * squares[2] ** 2) / total
    yield (squares[0] - squares[1]) / total
    yield np.abs(2 * squares[2]) / total
    yield np.log(total)


def _robust(surface: FloatArray) -> FloatArray:
    """From the image's median, in deviations that half of its pixels agree on; a quarter is looked at."""
    few = surface[::2, ::2]
    middle = float(np.median(few))
    deviation = 1.4826 * float(np.median(np.abs(few - middle)))
    return np.asarray((surface - middle) / max(deviation, 1e-6), dtype=np.float32)


def _elongation(part: Bools) -> float:
    """log of the longer over the shorter axis; 0 for a few pixels."""
    if part.sum() < 3:
        return 0.0
    spread = np.linalg.eigvalsh(np.cov(np.stack([_ROWS[part], _COLUMNS[part]])) + np.eye(2) / 12.0)
    return float(0.5 * np.log(spread[1] / spread[0]))
