"""BMP: the Windows bitmap header and the extent of its pixel rows. Uncompressed only."""

from __future__ import annotations

import struct

from waferlens.errors import ImageDepthError, ImageFormatError
from waferlens.images.containers.header import Header

MAGIC = b"BM"
_CORE_HEADER = 12


def read_bmp_header(data: bytes, name: str) -> Header:
    """The header of a complete, uncompressed BMP of 8, 24 or 32 bits a pixel.

    Raises ImageFormatError when torn or compressed, ImageDepthError for other depths.
    """
    try:
        pixels_at, header_size = struct.unpack_from("<II", data, 10)
        if header_size == _CORE_HEADER:
            width, height, planes, bits = struct.unpack_from("<HHHH", data, 18)
            compression = 0
        else:
            width, height, planes, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    except struct.error as error:
        raise ImageFormatError(
            f"{name}: BMP is torn", expected="a header", found=f"{len(data)} bytes in all"
        ) from error
    if planes != 1 or compression not in (0, 3) or (compression == 3 and bits != 32):
        raise ImageFormatError(
            f"{name}: BMP coding is not accepted",
            expected="one uncompressed plane",
            found=f"{planes} planes, compression {compression}, {bits} bits a pixel",
        )
    if bits not in (8, 24, 32):
        raise ImageDepthError(
            f"{name}: depth of the BMP is not accepted", expected="8, 24 or 32 bits a pixel", found=f"{bits}"
        )
    rows = abs(height)  # a negative height says that the top row comes first
    needed = (width * bits + 31) // 32 * 4 * rows
    if width > 0 and rows > 0 and pixels_at + needed > len(data):
        raise ImageFormatError(
            f"{name}: BMP is torn",
            expected=f"{pixels_at + needed} bytes for {width}x{rows} pixels",
            found=f"{len(data)}",
        )
    return Header(
        format="BMP",
        width=max(width, 0),
        height=rows,
        bits=8,
        channels=1 if bits == 8 else 3,
        palette=bits == 8,
        payload=data,
    )
