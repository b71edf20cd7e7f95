"""PNG (ISO/IEC 15948): every chunk is walked and its CRC checked, because the decoder skips those of the
pixel data.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from waferlens.errors import ImageFormatError
from waferlens.images.containers.header import Header
from waferlens.images.containers.tiff import exif_orientation

MAGIC = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


def read_png_header(data: bytes, name: str) -> Header:
    """The header of a complete, single-image PNG.

    Raises ImageFormatError when a chunk is torn or altered, when the end is missing, when something follows
    the end, or when the file is animated.
    """
    kept = [MAGIC]
    kinds: list[bytes] = []
    ihdr = b""
    orientation = 1
    for kind, body, raw in _chunks(data, name):
        kinds.append(kind)
        if kind == b"IHDR":
            ihdr = body
        elif kind == b"eXIf":
            orientation = exif_orientation(body)
        if kind in _KEPT:
            kept.append(raw)
    _check_order(kinds, ihdr, name)
    colour = ihdr[9]
    if colour not in _CHANNELS or ihdr[8] not in (1, 2, 4, 8, 16):
        raise ImageFormatError(
            f"{name}: PNG header is not valid",
            expected="colour type 0, 2, 3, 4 or 6 and depth 1 to 16",
            found=f"colour type {colour}, depth {ihdr[8]}",
        )
    return Header(
        format="PNG",
        width=int.from_bytes(ihdr[0:4], "big"),
        height=int.from_bytes(ihdr[4:8], "big"),
        bits=ihdr[8],
        channels=_CHANNELS[colour],
        palette=colour == 3,
        transparency=b"tRNS" in kinds,
        orientation=orientation,
        payload=b"".join(kept),
    )


def _chunks(data: bytes, name: str) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Kind, body and raw bytes of each chunk, up to IEND."""
    position = len(MAGIC)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 12 + length
        if end > len(data):
            break
        kind = data[position + 4 : position + 8]
        body = data[position + 8 : end - 4]
        if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(data[end - 4 : end], "big"):
            raise ImageFormatError(
                f"{name}: PNG is damaged",
                expected="every chunk to match its checksum",
                found=f"a wrong checksum in chunk {kind!r} at byte {position}",
            )
        yield kind, body, data[position:end]
        position = end
        if kind == b"IEND":
            if position != len(data):
                found = f"{len(data) - position} more bytes"
                raise ImageFormatError(f"{name}: PNG does not end", expected="nothing after IEND", found=found)
            return
    raise ImageFormatError(
        f"{name}: PNG is torn",
        expected="chunks up to IEND",
        found=f"the file ends in a chunk at byte {position}",
    )


def _check_order(kinds: list[bytes], ihdr: bytes, name: str) -> None:
    if kinds[0] != b"IHDR" or len(ihdr) != 13 or kinds.count(b"IHDR") != 1 or b"IDAT" not in kinds:
        raise ImageFormatError(
            f"{name}: PNG structure is not valid",
            expected="one 13-byte IHDR first, then IDAT",
            found=f"chunks {[kind.decode('latin-1') for kind in kinds[:5]]}",
        )
    if b"acTL" in kinds:
        raise ImageFormatError(f"{name}: PNG is animated", expected="one image", found="an animation (acTL)")
