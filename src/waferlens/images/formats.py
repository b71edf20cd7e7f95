"""Bytes to canonical pixels: PNG, TIFF, JPEG and BMP, or an error that says what, expected and found.

The header is read and checked first (``containers``), so a bomb is refused before a pixel is decoded, and
the depth that was stored is known: Pillow alone would hand over a 16-bit RGB file as 8 bits without a word.
The pixels of a TIFF are then read here, those of the others by Pillow, from the file stripped of its
metadata. Knows nothing of data sets and labels.

Colour becomes luminance by ITU-R BT.601: ``Y = 0.299 R + 0.587 G + 0.114 B``, rounded to 8 bits. It is
exact where R = G = B, which is how grey microscopes fill colour files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from waferlens.errors import ImageContentError, ImageDepthError, ImageFormatError, ImageSizeError
from waferlens.images.containers import bmp, jpeg, png, tiff
from waferlens.images.containers.header import Header
from waferlens.images.decoding import decode_samples, one_line
from waferlens.images.geometry import to_canonical_size
from waferlens.images.options import ImageOptions
from waferlens.records import Pixels

SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"})
"""File names that are taken for images when a folder is searched. A file is read by its bytes, never by its
name.
"""

_FULL_12_BIT = 4095
_FULL_16_BIT = 65_535
_BYTES_A_PIXEL = 8  # more than any accepted file needs; a larger one is refused unread


def read_image(source: Path | bytes, options: ImageOptions, *, name: str | None = None) -> Pixels:
    """Canonical pixels of one image: (256, 256), uint8 or uint16 stretched to the full 16-bit scale.

    ``name`` stands in error messages; by default the path. Floats in [0, 1] (TIFF) become 16 bits.

    Raises ------ ImageFormatError: not a whole, single, upright PNG, TIFF, JPEG or BMP. ImageDepthError:
    bits or colour model. ImageSizeError: too large, too small, not square, or not 256x256 where resizing is
    off. ImageContentError: NaN, out of range, or transparent pixels.
    """
    label = _label(source, name)
    header = read_header(source, options, name=label)
    _check_depth(header, options, label)
    pixels = _to_full_scale(decode_samples(header, label), options, label)
    return to_canonical_size(pixels, options, label)


def read_header(source: Path | bytes, options: ImageOptions, *, name: str | None = None) -> Header:
    """What the file promises, with its format, completeness, orientation and size checked; nothing is
    decoded.
    """
    label = _label(source, name)
    data = _read_bytes(source, options, label)
    header = _parse(data, label)
    _check_size(header, options, label)
    if header.orientation != 1:
        raise ImageFormatError(
            f"{label}: image is stored turned (masks and maps would not match it)",
            expected="orientation 1, upright",
            found=f"orientation {header.orientation}",
        )
    return header


def _parse(data: bytes, label: str) -> Header:
    if data.startswith(png.MAGIC):
        return png.read_png_header(data, label)
    if data.startswith(tiff.MAGICS):
        return tiff.read_tiff_header(data, label)
    if data.startswith(jpeg.MAGIC):
        return jpeg.read_jpeg_header(data, label)
    if data.startswith(bmp.MAGIC):
        return bmp.read_bmp_header(data, label)
    if data.startswith(tiff.BIG_MAGICS):
        found = "BigTIFF"
    else:
        found = f"bytes {data[:8].hex(' ')}" if data else "an empty file"
    raise ImageFormatError(
        f"{label}: not an image that can be read", expected="PNG, TIFF, JPEG or BMP", found=found
    )


def _check_size(header: Header, options: ImageOptions, label: str) -> None:
    size = f"{header.width}x{header.height}"
    if header.width * header.height > options.max_pixels:
        expected = f"at most {options.max_pixels} pixels"
        raise ImageSizeError(f"{label}: image is too large", expected=expected, found=size)
    if min(header.width, header.height) < options.min_side:
        expected = f"at least {options.min_side} pixels a side"
        raise ImageSizeError(f"{label}: image is too small", expected=expected, found=size)


def _check_depth(header: Header, options: ImageOptions, label: str) -> None:
    """Refuse every depth that the decoder would alter, and every depth that the recipe does not name."""
    grey = header.channels == 1 and not header.palette
    if header.floating:
        accepted = header.bits == 32 and grey
    elif grey:
        accepted = header.bits in (8, 16) and not (header.bits == 16 and header.transparency)
    else:
        accepted = header.bits == 8 or header.palette
    if not accepted:
        kind = "float" if header.floating else "integer"
        raise ImageDepthError(
            f"{label}: sample depth is not accepted",
            expected="8- or 16-bit grey, 8-bit colour, or 32-bit float grey",
            found=f"{header.bits}-bit {kind} in {header.channels} channels",
        )
    container = 8 if header.palette else 16 if header.floating else header.bits
    wanted = {"container": container, 8: 8, 12: 16, 16: 16}[options.bit_depth]
    if container != wanted or (header.floating and options.bit_depth == 12):
        raise ImageDepthError(
            f"{label}: sample depth is not the recipe's",
            expected=f"{options.bit_depth} bits" + (" stored in 16" if options.bit_depth == 12 else ""),
            found="float" if header.floating else f"{container}",
        )


def _to_full_scale(samples: npt.NDArray[np.generic], options: ImageOptions, label: str) -> Pixels:
    """Samples to uint8, or to uint16 on the full scale 0..65535."""
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False)
    if samples.dtype.kind == "f":
        return _from_unit_floats(samples.astype(np.float64), label)
    wide = samples.astype(np.uint16, copy=False)  # also from big-endian
    if options.bit_depth != 12:
        return wide
    highest = int(wide.max())
    if highest > _FULL_12_BIT:
        raise ImageDepthError(
            f"{label}: pixel values are not 12-bit", expected=f"at most {_FULL_12_BIT}", found=f"{highest}"
        )
    return ((wide.astype(np.uint32) * _FULL_16_BIT + _FULL_12_BIT // 2) // _FULL_12_BIT).astype(np.uint16)


def _from_unit_floats(samples: npt.NDArray[np.float64], label: str) -> Pixels:
    num_bad = int(np.count_nonzero(~np.isfinite(samples)))
    if num_bad:
        raise ImageContentError(
            f"{label}: float image has values that are not numbers",
            expected="finite values",
            found=f"{num_bad} NaN or infinite",
        )
    low, high = float(samples.min()), float(samples.max())
    if low < 0.0 or high > 1.0:
        raise ImageContentError(
            f"{label}: float image is out of range",
            expected="values in [0, 1]",
            found=f"{low:.6g} to {high:.6g}",
        )
    return np.rint(samples * _FULL_16_BIT).astype(np.uint16)


def _read_bytes(source: Path | bytes, options: ImageOptions, label: str) -> bytes:
    if isinstance(source, bytes):
        size = len(source)
    else:
        try:
            size = source.stat().st_size
            if not source.is_file():
                raise ImageFormatError(f"{label}: not a file", expected="an image file", found="something else")
        except (OSError, ValueError) as error:
            raise ImageFormatError(f"{label}: file cannot be opened", found=one_line(error)) from error
    limit = options.max_pixels * _BYTES_A_PIXEL
    if size > limit:
        raise ImageSizeError(f"{label}: file is too large", expected=f"at most {limit} bytes", found=f"{size}")
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise ImageFormatError(f"{label}: file cannot be read", found=one_line(error)) from error


def _label(source: Path | bytes, name: str | None) -> str:
    text = name if name is not None else "image" if isinstance(source, bytes) else str(source)
    return text if text.isprintable() else ascii(text)  # a message stays one line
