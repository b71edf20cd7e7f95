"""Planted defects: six kinds of damage of a stated size on any normal image, with the pixels that show it.

What a detector finds can then be measured by size without a single defective image. The kinds are generic, not
those of one process: light added or taken (blotch, scratch), and structure that is wrong (pasted, moved, erased,
bent). Images are (256, 256), canonical ``uint8`` or ``uint16`` or floats in [0, 1]; grey levels are shares of full
scale; row 0 is on top. Knows nothing of detectors. How each kind is drawn is in `planted_shapes`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from waferlens.errors import ImageContentError, OptionsError
from waferlens.images import planted_shapes
from waferlens.images.planted_shapes import Place
from waferlens.images.roi import Mask
from waferlens.images.visibility import Image, noise_level, visible_change
from waferlens.records import IMAGE_SIZE

SIZE_LIMITS_PX = (1.0, 128.0)
"""From one pixel to half of the image."""

MAX_DRAWS = 25
"""Places that are tried for one defect before an image is given up."""

LEAST_VISIBLE_SHARE = 0.1
"""Share of a defect's area that must have changed visibly."""

Part = tuple[slice, slice]
"""Rows and columns of an image."""


class PlantKind(StrEnum):
    """What can be planted, and what its size in pixels is.

    BLOTCH: a round Gaussian spot, brighter or darker; its diameter at half height.
    SCRATCH: a thin, slightly bowed line, brighter or darker, 2.5 pixels wide at half height; its length.
    PASTED: a square window that shows another place of the same image; its side.
    MOVED: a square window whose content is shifted by a quarter of its side; its side.
    ERASED: a square window filled with its median grey level and the noise of the image; its side.
    BENT: a place where the structure is displaced by up to an eighth of the size; the diameter at which the
    displacement is half of that.
    """

    BLOTCH = "blotch"
    SCRATCH = "scratch"
    PASTED = "pasted"
    MOVED = "moved"
    ERASED = "erased"
    BENT = "bent"

    @property
    def has_contrast(self) -> bool:
        """Whether its strength is stated apart from its size."""
        return self in (PlantKind.BLOTCH, PlantKind.SCRATCH)


@dataclass(frozen=True, kw_only=True)
class PlantSpec:
    """One defect to be planted.

    size_px: as `PlantKind` defines it, within SIZE_LIMITS_PX. contrast: height of a blotch or scratch, share of
    full scale in (0, 1]; None for the other kinds. Raises OptionsError when either is out of range.
    """

    kind: PlantKind
    size_px: float
    contrast: float | None = None

    def __post_init__(self) -> None:
        low, high = SIZE_LIMITS_PX
        if not low <= self.size_px <= high:
            raise OptionsError(
                "size of a planted defect", expected=f"{low:g} to {high:g} pixels", found=f"{self.size_px}"
            )
        is_right = self.contrast is None
        if self.kind.has_contrast:
            is_right = self.contrast is not None and 0.0 < self.contrast <= 1.0
        if not is_right:
            raise OptionsError(
                f"contrast of kind '{self.kind}'",
                expected="0 < contrast <= 1" if self.kind.has_contrast else "none, it has only a size",
                found=f"{self.contrast}",
            )


class Planted(NamedTuple):
    """image: (256, 256), of the type it came in. mask: (256, 256) bool, the pixels that changed visibly."""

    image: npt.NDArray[Any]
    mask: Mask


def plant(
    image: npt.NDArray[Any], spec: PlantSpec, rng: np.random.Generator, *, within: Mask | None = None
) -> Planted:
    """Plant one defect at a random place, and again elsewhere until it shows.

    image: (256, 256) uint8, uint16 or floats in [0, 1]; not changed. within: (256, 256) bool, where its centre may
    lie and where it must show; None for everywhere. It shows when a tenth of its area has changed visibly: by 3 of
    255 grey levels, and by more than the image's noise, after averaging over 13 pixels.

    Raises ImageContentError when the image is of another form, or when nothing showed in MAX_DRAWS places (a
    patch of a blank image can be moved, but nobody would see it).
    """
    before = _as_floats(image)
    noise = noise_level(before)
    centres = _centres(spec, within)
    for _ in range(MAX_DRAWS):
        row, column = divmod(int(centres[rng.integers(len(centres))]), IMAGE_SIZE)
        part = _part_around(row, column, planted_shapes.reach(spec.size_px))
        drawn, area = _draw(before, part, spec, (row, column), noise, rng)
        changed = _as_type_of(image, drawn)
        visible = visible_change(before[part], _as_shares(changed), noise)
        shown = visible & area if within is None else visible & area & within[part]
        if shown.any() and shown.sum() >= LEAST_VISIBLE_SHARE * area.sum():
            planted, mask = image.copy(), np.zeros(image.shape, dtype=np.bool_)
            planted[part], mask[part] = changed, visible
            return Planted(planted, mask)
    raise ImageContentError(
        "no defect could be planted",
        expected=f"a place where {_described(spec)} is visible",
        found=f"none in {MAX_DRAWS} places",
    )


def _draw(
    image: Image, part: Part, spec: PlantSpec, centre: tuple[int, int], noise: float, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """The part of the image, damaged, and what the damage covers of it; the place is drawn within its pixel."""
    size, here = spec.size_px, image[part]
    row, column = (place - side.start + rng.uniform(-0.5, 0.5) for place, side in zip(centre, part, strict=True))
    place = Place(row=row, column=column)
    match spec.kind:
        case PlantKind.BLOTCH:
            return planted_shapes.blotch(here, place, size, spec.contrast or 0.0, rng)
        case PlantKind.SCRATCH:
            return planted_shapes.scratch(here, place, size, spec.contrast or 0.0, rng)
        case PlantKind.PASTED:
            return planted_shapes.pasted(here, place, size, _other_part(image, part, centre, size, rng))
        case PlantKind.MOVED:
            return planted_shapes.moved(here, place, size, rng)
        case PlantKind.ERASED:
            return planted_shapes.erased(here, place, size, noise, rng)
        case PlantKind.BENT:
            return planted_shapes.bent(here, place, size, rng)


def _part_around(row: int, column: int, reach: int) -> Part:
    """Rows and columns up to ``reach`` from a pixel, inside the image."""
    top, left = (max(0, place - reach) for place in (row, column))
    bottom, right = (min(IMAGE_SIZE, place + reach + 1) for place in (row, column))
    return slice(top, bottom), slice(left, right)


def _other_part(image: Image, part: Part, centre: tuple[int, int], side: float, rng: np.random.Generator) -> Image:
    """What the image shows elsewhere, in the shape of the part; a window of this side fits in at its place.

    Nearer than half a side it would be no other place: the part itself is returned then, nothing shows, and
    another place is drawn.
    """
    margin = math.ceil(side / 2)
    steps = [int(rng.integers(margin, IMAGE_SIZE - margin)) - place for place in centre]
    if max(map(abs, steps)) < side / 2:
        return image[part]
    rows, columns = (
        np.clip(np.arange(range_.start, range_.stop) + step, 0, IMAGE_SIZE - 1)
        for range_, step in zip(part, steps, strict=True)
    )
    return np.asarray(image[rows[:, None], columns])


def _centres(spec: PlantSpec, within: Mask | None) -> npt.NDArray[np.int64]:
    """Flat positions at which a defect of this size lies inside the image, (n,)."""
    margin = math.ceil(spec.size_px / 2)
    allowed = np.zeros((IMAGE_SIZE, IMAGE_SIZE), dtype=np.bool_)
    allowed[margin : IMAGE_SIZE - margin, margin : IMAGE_SIZE - margin] = True
    if within is not None:
        allowed &= within
    centres = np.flatnonzero(allowed)
    if not len(centres):
        raise ImageContentError(
            "no defect could be planted",
            expected=f"a region of interest with room for {_described(spec)}",
            found="none",
        )
    return centres


def _as_floats(image: npt.NDArray[Any]) -> Image:
    kind = image.dtype.kind
    is_float = kind == "f" and image.shape == (IMAGE_SIZE, IMAGE_SIZE)
    if image.shape != (IMAGE_SIZE, IMAGE_SIZE) or not (is_float or image.dtype in (np.uint8, np.uint16)):
        raise ImageContentError(
            "not an image that can be planted on",
            expected="(256, 256) uint8, uint16 or floats",
            found=f"{image.shape} {image.dtype}",
        )
    if is_float and not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
        raise ImageContentError(
            "grey levels are out of range", expected="in [0, 1]", found=f"{image.min():g} to {image.max():g}"
        )
    return _as_shares(image)


def _as_shares(image: npt.NDArray[Any]) -> Image:
    """Grey levels as shares of full scale, float64."""
    scale = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    return np.asarray(image / scale, dtype=np.float64)


def _as_type_of(image: npt.NDArray[Any], drawn: Image) -> npt.NDArray[Any]:
    drawn = np.clip(drawn, 0.0, 1.0)
    if image.dtype.kind == "u":
        drawn = np.rint(drawn * np.iinfo(image.dtype).max)
    return drawn.astype(image.dtype)


def _described(spec: PlantSpec) -> str:
    contrast = "" if spec.contrast is None else f" of contrast {spec.contrast:g}"
    return f"kind '{spec.kind}', {spec.size_px:g} pixels{contrast},"
