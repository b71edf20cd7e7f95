"""What every file format says about itself before it is decoded. Knows no format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FormatName = Literal["PNG", "TIFF", "JPEG", "BMP"]


@dataclass(frozen=True, kw_only=True)
class Header:
    """The promise of one image file.

    width, height: pixels, as written in the file; not yet checked against any limit.
    bits: bits a sample. channels: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha; 1 with a palette.
    floating: samples are IEEE floats. orientation: the EXIF value, 1 is upright.
    payload: the file without metadata, for the decoder.
    """

    format: FormatName
    width: int
    height: int
    bits: int
    channels: int
    payload: bytes
    palette: bool = False
    transparency: bool = False
    floating: bool = False
    orientation: int = 1
