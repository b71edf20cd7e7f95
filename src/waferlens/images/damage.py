"""Random damage to normal images, with the pixels that show it: what a discriminator learns from.

Wide rather than true to any process: a patch of any form shows another place, a place nearby, other structure in
the light of the place, what stands beside it, a grey of its own, more or less light, or less detail. Apart from
``planting`` on purpose: that plants defects of stated kind and size, to measure detectors with. Images are
(256, 256) float32 in [0, 1]. Knows nothing of detectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image as Pictures
from scipy import ndimage

from waferlens.images.roi import Mask
from waferlens.records import IMAGE_SIZE, FloatArray

SIZES_PX = (4.0, 64.0)
"""Between these a patch's size is drawn, evenly over octaves."""

VISIBLE_DIFFERENCE = 0.03
"""Least change that counts as damage, share of full scale, after averaging over about 13 pixels."""

# Of a patch's edge; sharper where it is small. Were all sharp, edges would be learned and not what they hold.
_SOFTNESS_PX = (0.3, 0.7, 1.5, 3.0, 6.0)
_LEAST_PIXELS = 8
_MAX_DRAWS = 50
_ROWS, _COLUMNS = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE].astype(np.float32)


class Damaged(NamedTuple):
    """image: (256, 256) float32. mask: (256, 256) bool, the pixels that changed visibly; maybe none."""

    image: FloatArray
    mask: Mask


def damage(image: FloatArray, others: FloatArray, rng: np.random.Generator, most_patches: int = 1) -> Damaged:
    """One to ``most_patches`` patches of ``image`` damaged; a blank image may stay as it is.

    others: (N, 256, 256), normal images of the same product; half of the patches that show another place take it
    from one of them.
    """
    changed = image.copy()
    for _ in range(rng.integers(1, most_patches + 1)):
        changed = _damaged_once(changed, others, rng)
    return Damaged(changed, _visible(changed - image))


def _damaged_once(image: FloatArray, others: FloatArray, rng: np.random.Generator) -> FloatArray:
    """A patch is drawn again until eight pixels show it."""
    for _ in range(_MAX_DRAWS):
        patch = _patch(rng)
        source = others[rng.integers(len(others))] if rng.random() < 0.5 else image
        kind = _KINDS[rng.integers(len(_KINDS))]
        shown = np.asarray(kind(image, source, rng), dtype=np.float32)
        changed = np.clip(image + patch * (shown - image), 0, 1)
        if _visible(changed - image).sum() >= _LEAST_PIXELS:
            return changed
    return image


def _visible(change: FloatArray) -> Mask:
    return np.asarray(np.abs(ndimage.gaussian_filter(change, 1.0)) > VISIBLE_DIFFERENCE)


def _patch(rng: np.random.Generator) -> FloatArray:
    """Where and how far the damage reaches, (256, 256) in [0, 1]: a box, an oval or a cloud, at any angle."""
    size = np.exp(rng.uniform(*np.log(SIZES_PX)))
    row, column = rng.uniform(0, IMAGE_SIZE, 2)
    angle, stretch = rng.uniform(0, np.pi), np.exp(rng.uniform(0, np.log(4)) / 2)
    along = ((_COLUMNS - column) * np.cos(angle) + (_ROWS - row) * np.sin(angle)) / (size / 2 * stretch)
    across = ((_ROWS - row) * np.cos(angle) - (_COLUMNS - column) * np.sin(angle)) / (size / 2 / stretch)
    form = rng.choice(("turned box", "oval", "upright box", "cloud"))
    if form == "turned box":
        inside = (np.abs(along) < 1) & (np.abs(across) < 1)
    elif form == "oval":
        inside = along**2 + across**2 < 1
    elif form == "upright box":
        inside = (np.abs(_ROWS - row) < size / 2 * stretch) & (np.abs(_COLUMNS - column) < size / 2 / stretch)
        inside = inside if rng.random() < 0.5 else inside.T
    else:
        inside = (along**2 + across**2 < 1.5) & (_clouds(max(4.0, size / 2), rng) > 0.2)
    softness = min(rng.choice(_SOFTNESS_PX), size / 6)
    return np.asarray(ndimage.gaussian_filter(inside.astype(np.float32), softness))


def _clouds(scale_px: float, rng: np.random.Generator) -> FloatArray:
    """A smooth random field of mean 0 and deviation 1; ``scale_px`` is about the width of its clouds."""
    num = max(3, int(IMAGE_SIZE / scale_px) + 3)
    margin = IMAGE_SIZE // 16
    coarse = Pictures.fromarray(rng.standard_normal((num, num)).astype(np.float32))
    fine = np.asarray(coarse.resize((IMAGE_SIZE + margin, IMAGE_SIZE + margin), Pictures.Resampling.BICUBIC))
    field = fine[margin // 2 : margin // 2 + IMAGE_SIZE, margin // 2 : margin // 2 + IMAGE_SIZE]
    return np.asarray((field - field.mean()) / (field.std() + 1e-9), dtype=np.float32)


def _another_place(_: FloatArray, source: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.floating]:
    moved = np.roll(source, rng.integers(-IMAGE_SIZE // 2, IMAGE_SIZE // 2, 2), (0, 1))
    if rng.random() < 0.5:
        moved = np.rot90(moved, int(rng.integers(4)))
    return moved[:, ::-1] if rng.random() < 0.5 else moved


def _another_place_in_another_light(
    image: FloatArray, source: FloatArray, rng: np.random.Generator
) -> npt.NDArray[np.floating]:
    moved = _another_place(image, source, rng)
    mean = moved.mean()
    return np.asarray(np.clip((moved - mean) * rng.uniform(0.5, 1.6) + mean + rng.uniform(-0.2, 0.2), 0, 1))


def _a_place_nearby(image: FloatArray, source: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.floating]:
    return np.roll(source if rng.random() < 0.6 else image, rng.integers(-10, 11, 2), (0, 1))


def _grafted(image: FloatArray, source: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.floating]:
    """Another place's structure in the light of this one, so that no seam tells it."""
    return _in_the_light_of(image, _another_place(image, source, rng), rng)


def _grafted_from_nearby(
    image: FloatArray, source: FloatArray, rng: np.random.Generator
) -> npt.NDArray[np.floating]:
    return _in_the_light_of(image, np.roll(source, rng.integers(-32, 33, 2), (0, 1)), rng)


def _in_the_light_of(
    image: FloatArray, shown: npt.NDArray[np.floating], rng: np.random.Generator
) -> npt.NDArray[np.floating]:
    return np.asarray(shown + ndimage.gaussian_filter(image - shown, rng.uniform(4, 16)))


def _a_grey_of_its_own(_: FloatArray, __: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.floating]:
    return rng.uniform(0, 1) + 0.05 * _clouds(rng.uniform(1.5, 10), rng)


def _other_light(image: FloatArray, _: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.floating]:
    added = rng.uniform(0.08, 0.5) * rng.choice((-1, 1))
    form = 1.0 if rng.random() < 0.5 else np.clip(_clouds(rng.uniform(3, 20), rng), -1, 2)
    return np.asarray(image + added * form)


def _healed_over(image: FloatArray, _: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.floating]:
    """What stands on both sides, mixed: a structure is interrupted and nothing tells where."""
    one, other = _sides(image, rng)
    share = rng.uniform(0, 1)
    return np.asarray(one * share + other * (1 - share))


def _grown_over(image: FloatArray, _: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.floating]:
    """What stands on one side, up to here: a structure ends early, or late."""
    one, other = _sides(image, rng)
    return one if rng.random() < 0.5 else other


def _sides(image: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Of every pixel, what lies as far to its left as to its right, or above as below."""
    distance, axis = int(rng.integers(4, 25)), int(rng.integers(2))
    return np.roll(image, distance, axis), np.roll(image, -distance, axis)


def _less_detail(image: FloatArray, _: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.floating]:
    return np.asarray(ndimage.gaussian_filter(image, rng.uniform(2, 12)))


_KINDS: tuple[Callable[[FloatArray, FloatArray, np.random.Generator], npt.NDArray[np.floating]], ...] = (
    _another_place,
    _another_place_in_another_light,
    _a_place_nearby,
    _grafted,
    _grafted_from_nearby,
    _healed_over,
    _grown_over,
    _a_grey_of_its_own,
    _other_light,
    _less_detail,
)
