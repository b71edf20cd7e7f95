"""What one image file of a data set is like, and what is wrong with it and its mask. Never raises for a bad
image.

Runs in the doctor's worker processes; knows one image at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from waferlens.errors import ImageError
from waferlens.images.fingerprints import pixel_hash
from waferlens.images.formats import read_header, read_image
from waferlens.images.options import ImageOptions
from waferlens.images.roi import decode_mask
from waferlens.records import ImageRef, Label, Pixels

_DARK, _BRIGHT = 0.02, 0.98  # of full scale
_SATURATED_SHARE = 0.2  # of the pixels at the very top or bottom of the scale
_FULL_12_BIT = 4095


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """One image: what was read, findings that stop its use (problems), and findings to look at (warnings).

    width, height, bits are those of the file; None when it could not be read. sha256 is of the canonical
    pixels. highest is the largest stored-depth value of a 16-bit file, None for others.
    """

    name: str
    format: str | None = None
    width: int | None = None
    height: int | None = None
    bits: int | None = None
    sha256: str | None = None
    highest: int | None = None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def gather_facts(ref: ImageRef, options: ImageOptions) -> FileFacts:
    """Read one image and its mask, and note everything about them."""
    try:
        header = read_header(ref.path, options, name=ref.name)
        pixels = read_image(ref.path, options, name=ref.name)
    except ImageError as error:
        return FileFacts(name=ref.name, problems=(str(error),))
    return FileFacts(
        name=ref.name,
        format=header.format,
        width=header.width,
        height=header.height,
        bits=header.bits,
        sha256=pixel_hash(pixels),
        highest=int(pixels.max()) if pixels.dtype == np.uint16 and options.bit_depth == "container" else None,
        problems=tuple(_mask_problems(ref, header.width, header.height, options)),
        warnings=tuple(_content_warnings(ref.name, pixels)),
    )


def looks_like_12_bit(facts: FileFacts) -> bool:
    """A 16-bit file whose values all fit in 12 bits: read as 16-bit it is sixteen times too dark."""
    return facts.highest is not None and 255 < facts.highest <= _FULL_12_BIT


def _content_warnings(name: str, pixels: Pixels) -> list[str]:
    top = int(np.iinfo(pixels.dtype).max)
    low, high, mean = int(pixels.min()), int(pixels.max()), float(pixels.mean()) / top
    if low == high:
        return [f"{name}: constant image; every pixel is {low}"]
    found = []
    if mean < _DARK:
        found.append(f"{name}: almost black; mean {mean:.3f} of full scale")
    if mean > _BRIGHT:
        found.append(f"{name}: almost white; mean {mean:.3f} of full scale")
    for value, word in ((top, "top"), (0, "bottom")):
        share = float(np.mean(pixels == value))
        if share > _SATURATED_SHARE:
            found.append(f"{name}: saturated; {share:.0%} of the pixels at the {word} of the scale")
    return found


def _mask_problems(ref: ImageRef, width: int, height: int, options: ImageOptions) -> list[str]:
    if ref.mask is None or not ref.mask.is_file():  # a missing mask is a finding of the layout
        return []
    label = f"{ref.name}: mask {Path(ref.mask).name}"
    if ref.label is Label.NORMAL:
        return [f"{label}: a mask for a normal image"]
    try:
        mask = decode_mask(ref.mask, options, name=label)
    except ImageError as error:
        return [str(error)]
    if mask.shape != (height, width):
        return [f"{label}: expected {width}x{height} as its image; found {mask.shape[1]}x{mask.shape[0]}"]
    return [] if mask.any() else [f"{label}: expected marked pixels; found none"]
