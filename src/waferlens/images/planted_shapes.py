"""How each kind of planted defect is drawn at one place. Knows neither file nor type of an image.

Every function takes a part of an image, (H, W) float64 in [0, 1], that is large enough for the damage (`reach`),
and a place in it, and returns a damaged copy (values may leave [0, 1]) with the pixels that the damage covers at
half its height or more, (H, W) bool. Sizes are in pixels; angles and signs are drawn from the generator.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.special import erf

from waferlens.images.roi import Mask
from waferlens.images.visibility import Image

SCRATCH_WIDTH_PX = 2.5
"""Width of a scratch at half height."""

_SIGMA_OF_WIDTH = 1 / (2 * math.sqrt(2 * math.log(2)))
_EDGE_SIGMA_PX = 0.6  # of windows and ends: an edge as soft as optics leave it
_MOST_BOW = 0.05  # of a scratch's length
_MOVED_SHARE, _BENT_SHARE = 1 / 4, 1 / 8
_LEAST_BEND_PX = 0.02


class Place(NamedTuple):
    """Centre of a defect, pixels; (0, 0) is the centre of the pixel at the top left of the part."""

    row: float
    column: float


def reach(size: float) -> int:
    """How far from its centre a defect of this size changes anything, pixels: a Gaussian is below 0.0003 there."""
    return math.ceil(1.75 * size) + 8


def blotch(
    image: Image, place: Place, diameter: float, contrast: float, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """A round Gaussian spot, diameter at half height, brighter or darker by ``contrast`` at its centre."""
    down, right = _offsets(image, place)
    spot = np.exp(-(down**2 + right**2) / (2 * (diameter * _SIGMA_OF_WIDTH) ** 2))
    return image + _sign(rng) * contrast * spot, _covered(spot)


def scratch(
    image: Image, place: Place, length: float, contrast: float, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """A thin line in any direction, bowed by up to a twentieth of its length, with soft ends."""
    down, right = _offsets(image, place)
    angle, bow = rng.uniform(0, math.pi), rng.uniform(-_MOST_BOW, _MOST_BOW)
    along = right * math.cos(angle) + down * math.sin(angle)
    across = down * math.cos(angle) - right * math.sin(angle) + 4 * bow * along**2 / length
    line = np.exp(-(across**2) / (2 * (SCRATCH_WIDTH_PX * _SIGMA_OF_WIDTH) ** 2)) * _between(along, length)
    return image + _sign(rng) * contrast * line, _covered(line)


def pasted(image: Image, place: Place, side: float, other: Image) -> tuple[Image, Mask]:
    """A window that shows what ``other``, a part of the same image and of the same shape, has there."""
    window = _window(image, place, side)
    return _blended(image, other, window), _covered(window)


def moved(image: Image, place: Place, side: float, rng: np.random.Generator) -> tuple[Image, Mask]:
    """A window whose content is shifted by a quarter of its side in any direction, by whole pixels, at least one.

    Whole pixels, because interpolation would take the noise away and give the place away by that.
    """
    window, angle = _window(image, place, side), rng.uniform(0, 2 * math.pi)
    distance = max(1.0, _MOVED_SHARE * side)
    step = round(distance * math.sin(angle)), round(distance * math.cos(angle))
    return _blended(image, _shifted(image, step), window), _covered(window)


def erased(image: Image, place: Place, side: float, noise: float, rng: np.random.Generator) -> tuple[Image, Mask]:
    """A window of its median grey level, with noise of the image's standard deviation."""
    window = _window(image, place, side)
    level = float(np.median(image[_covered(window)]))
    return _blended(image, level + rng.normal(0.0, noise, image.shape), window), _covered(window)


def bent(image: Image, place: Place, diameter: float, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Structure displaced by a Gaussian bump of this diameter at half height, by an eighth of it at the centre.

    Cubic interpolation, which keeps most of the noise; at this share the image cannot fold over itself.
    """
    down, right = _offsets(image, place)
    angle = rng.uniform(0, 2 * math.pi)
    bump = np.exp(-(down**2 + right**2) / (2 * (diameter * _SIGMA_OF_WIDTH) ** 2))
    distance = _BENT_SHARE * diameter * bump
    touched = distance > _LEAST_BEND_PX
    rows, columns = np.nonzero(touched)
    where = [
        rows + distance[touched] * math.sin(angle),
        columns + distance[touched] * math.cos(angle),
    ]
    out = image.copy()
    out[touched] = ndimage.map_coordinates(image, where, order=3, mode="mirror")
    return out, _covered(bump)


def _offsets(image: Image, place: Place) -> tuple[Image, Image]:
    """Distances of every pixel's centre from a place: downwards (H, 1) and to the right (1, W)."""
    height, width = image.shape
    down, right = np.arange(height) - place.row, np.arange(width) - place.column
    return np.asarray(down[:, None]), np.asarray(right[None, :])


def _between(offset: Image, width: float) -> Image:
    """1 within half a width of 0, 0 far from it, 1/2 at the edges."""
    scale = math.sqrt(2) * _EDGE_SIGMA_PX
    return np.asarray(0.5 * (erf((offset + width / 2) / scale) - erf((offset - width / 2) / scale)))


def _window(image: Image, place: Place, side: float) -> Image:
    """A soft-edged square, (H, W) in [0, 1]."""
    down, right = _offsets(image, place)
    return _between(down, side) * _between(right, side)


def _shifted(image: Image, step: tuple[int, int]) -> Image:
    """The image moved down and to the right by whole pixels; what comes in is mirrored at the border."""
    rows, columns = (_mirrored(np.arange(n) - shift, n) for n, shift in zip(image.shape, step, strict=True))
    return np.asarray(image[rows[:, None], columns])


def _mirrored(index: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    return np.asarray((length - 1) - np.abs((length - 1) - np.abs(index)))


def _blended(image: Image, other: Image, window: Image) -> Image:
    return np.asarray(image + window * (other - image))


def _covered(shape: Image) -> Mask:
    """Where a shape reaches half of its height; a shape between pixels covers at least the nearest."""
    return np.asarray(shape >= 0.5 * shape.max())


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1
