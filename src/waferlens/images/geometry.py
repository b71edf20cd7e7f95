"""Crop about the centre and resize by averaging areas. Knows arrays (H, W) and nothing of files.

Averaging areas is what a coarser sensor would have recorded: each target pixel is the mean of the rectangle
of source pixels that it covers, with fractional weights at its edges. It neither rings (as Lanczos) nor
skips a thin scratch (as nearest or bilinear do when shrinking).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from waferlens.errors import ImageSizeError
from waferlens.images.options import ImageOptions
from waferlens.records import IMAGE_SIZE, Pixels


def to_canonical_size(pixels: Pixels, options: ImageOptions, label: str) -> Pixels:
    """Crop and resize as the options say: (H, W) to (256, 256), same dtype.

    Raises ImageSizeError when the crop does not fit, when what is left is not square (it would be
    squeezed), or when it is not 256x256 and resizing is off.
    """
    cropped = _crop(pixels, options, label)
    height, width = cropped.shape
    if height == width == IMAGE_SIZE:
        return cropped.copy()
    if height != width:
        raise ImageSizeError(
            f"{label}: image is not square", expected="a square image or a crop", found=f"{width}x{height}"
        )
    if not options.resize:
        raise ImageSizeError(
            f"{label}: size is not accepted (resize is off)",
            expected=f"{IMAGE_SIZE}x{IMAGE_SIZE}",
            found=f"{width}x{height}",
        )
    return resize_area(cropped, IMAGE_SIZE)


def crop_centre(pixels: Pixels, height: int, width: int, label: str = "image") -> Pixels:
    """The (height, width) about the centre; where the rest is odd, the extra row or column is cut below or
    right.
    """
    if height > pixels.shape[0] or width > pixels.shape[1]:
        raise ImageSizeError(
            f"{label}: image is smaller than the crop",
            expected=f"at least {width}x{height}",
            found=f"{pixels.shape[1]}x{pixels.shape[0]}",
        )
    top = (pixels.shape[0] - height) // 2
    left = (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def resize_area(pixels: Pixels, size: int) -> Pixels:
    """(H, W) to (size, size) of the same dtype by the mean over areas, rounded half to even.

    Integer factors are exact; other factors are computed in float64.
    """
    means = np.rint(area_means(pixels, size))
    return means.astype(np.uint8) if pixels.dtype == np.uint8 else means.astype(np.uint16)


def area_means(values: Pixels, size: int) -> npt.NDArray[np.float64]:
    """The unrounded means: (H, W) to (size, size), float64."""
    height, width = values.shape
    if height % size == 0 and width % size == 0:
        rows, columns = height // size, width // size
        # Slices are added rather than reduced over short axes: several times faster, and exact in integers.
        tall = np.zeros((size, width), np.uint32)
        for row in range(rows):
            tall += values[row::rows]
        sums = np.zeros((size, size), np.uint64)
        for column in range(columns):
            sums += tall[:, column::columns]
        return np.asarray(sums / (rows * columns), np.float64)
    shrunk = _coverage(height, size) @ values.astype(np.float64) @ _coverage(width, size).T
    return np.asarray(shrunk, np.float64)


def _coverage(source: int, target: int) -> npt.NDArray[np.float64]:
    """(target, source): the share of target pixel t that source pixel s covers; rows sum to 1."""
    edges = np.arange(target + 1) * (source / target)
    starts = np.arange(source)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return np.asarray(np.maximum(overlap, 0.0) * (target / source), np.float64)


def _crop(pixels: Pixels, options: ImageOptions, label: str) -> Pixels:
    if options.crop == "none":
        return pixels
    if options.crop == "centre-square":
        side = min(pixels.shape)
        return crop_centre(pixels, side, side, label)
    return crop_centre(pixels, *options.crop, label)
