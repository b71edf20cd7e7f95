"""Masks: which pixels are defective (ground truth), and which are judged at all (region of interest, ROI).

A mask is an image file; non-zero means inside. It goes through the crop and the resize of the image that it
belongs to. Knows nothing of scores.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from waferlens.errors import ImageContentError, ImageDepthError, ImageSizeError
from waferlens.images.decoding import decode_samples
from waferlens.images.formats import read_header
from waferlens.images.geometry import area_means, crop_centre
from waferlens.images.options import ImageOptions
from waferlens.records import IMAGE_SIZE

Mask = npt.NDArray[np.bool_]


def read_mask(source: Path | bytes, options: ImageOptions, *, name: str | None = None) -> Mask:
    """A mask as (256, 256) bool, from 1-bit to 16-bit grey or palette.

    Resized, a pixel is inside where at least half of its area is. A mark so thin that nothing would be left
    keeps every pixel it touches: a mask with something in it never becomes empty by resizing.

    Raises the errors of ``read_image``; an empty mask is returned as it is.
    """
    label = name if name is not None else str(source) if isinstance(source, Path) else "mask"
    samples = decode_mask(source, options, name=label)
    return _to_canonical_mask(samples, options, label)


def load_roi(path: Path, options: ImageOptions) -> Mask:
    """The region of interest as (256, 256) bool. Raises ImageContentError when it is empty."""
    roi = read_mask(path, options)
    if not roi.any():
        raise ImageContentError(
            f"{path}: region of interest is empty", expected="at least one non-zero pixel", found="all zero"
        )
    return roi


def decode_mask(source: Path | bytes, options: ImageOptions, *, name: str) -> Mask:
    """A mask at the size of its file, (H, W) bool."""
    header = read_header(source, options, name=name)
    if header.channels != 1 or header.floating:
        raise ImageDepthError(
            f"{name}: a mask must be grey",
            expected="one channel of integers",
            found=f"{header.channels} channels",
        )
    return np.asarray(decode_samples(header, name) != 0)


def _to_canonical_mask(mask: Mask, options: ImageOptions, label: str) -> Mask:
    values = mask.astype(np.uint8)
    if options.crop == "centre-square":
        values = crop_centre(values, min(values.shape), min(values.shape), label).astype(np.uint8)
    elif options.crop != "none":
        values = crop_centre(values, *options.crop, label).astype(np.uint8)
    if values.shape == (IMAGE_SIZE, IMAGE_SIZE):
        return values.astype(np.bool_)
    if values.shape[0] != values.shape[1] or not options.resize:
        raise ImageSizeError(
            f"{label}: size of the mask is not accepted",
            expected="the size of its image",
            found=f"{values.shape[1]}x{values.shape[0]}",
        )
    shares = area_means(values, IMAGE_SIZE)
    inside: Mask = shares >= 0.5
    touched: Mask = shares > 0.0
    return inside if inside.any() else touched
