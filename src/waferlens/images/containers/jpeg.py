"""JPEG (ITU-T T.81): the marker segments up to the first scan, and the end marker.

Entropy-coded data carries no checksum: a flipped bit inside a scan decodes to other pixels and cannot be
seen here. That is why JPEG is accepted for trials and not recommended for the line.
"""

from __future__ import annotations

from collections.abc import Iterator

from waferlens.errors import ImageDepthError, ImageFormatError
from waferlens.images.containers.header import Header
from waferlens.images.containers.tiff import exif_orientation

MAGIC = b"\xff\xd8\xff"
START = b"\xff\xd8"
END = b"\xff\xd9"
_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive; Huffman coded
_OTHER_FRAMES = {0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}
_SCAN = 0xDA
_ADOBE = 0xEE


def read_jpeg_header(data: bytes, name: str) -> Header:
    """The header of a complete Huffman-coded JPEG of 8-bit grey or colour samples.

    Raises ImageFormatError when torn or of another kind, ImageDepthError for 12-bit samples and CMYK.
    """
    if not data.endswith(END):
        raise ImageFormatError(
            f"{name}: JPEG is torn", expected="an end-of-image marker last", found=f"{data[-2:].hex()}"
        )
    kept = [data[:2]]
    frame: bytes | None = None
    orientation = 1
    for marker, body, raw in _segments(data, name):
        if marker in _FRAMES:
            frame = body if frame is None else b""
        elif marker in _OTHER_FRAMES:
            found = f"frame marker {marker:#x}"
            raise ImageFormatError(f"{name}: JPEG coding is not accepted", expected="Huffman DCT", found=found)
        elif marker == 0xE1 and body[:6] == b"Exif\x00\x00":
            orientation = exif_orientation(body[6:])
        elif (marker == 0xE2 and body[:4] == b"MPF\x00") or (marker == _SCAN and END + START in raw):
            raise ImageFormatError(f"{name}: JPEG holds several images", expected="one", found="a second image")
        # APPn and comments are dropped, but Adobe's segment says how colour was coded.
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker == _ADOBE:
            kept.append(raw)
    if frame is None or len(frame) < 6:
        raise ImageFormatError(
            f"{name}: JPEG structure is not valid", expected="one frame before the scan", found="none or two"
        )
    _check_frame(frame, name)
    return Header(
        format="JPEG",
        width=int.from_bytes(frame[3:5], "big"),
        height=int.from_bytes(frame[1:3], "big"),
        bits=frame[0],
        channels=frame[5],
        orientation=orientation,
        payload=b"".join(kept),
    )


def with_more_data(payload: bytes) -> bytes:
    """The same file with meaningless entropy-coded data before the end marker.

    A decoder that already had all its pixels ignores it. One that ran out of data, and would have filled up
    with grey, decodes it and gives another image: that tells a file with a hole from a whole one.
    """
    return payload[: -len(END)] + b"\x5a\xa5" * 4096 + END


def _segments(data: bytes, name: str) -> Iterator[tuple[int, bytes, bytes]]:
    """Marker, body and raw bytes of each segment; the last is the first scan with all that follows."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        end = position + 2 + length
        if length < 2 or end > len(data):
            break
        if marker == _SCAN:
            yield marker, data[position + 4 : end], data[position:]
            return
        yield marker, data[position + 4 : end], data[position:end]
        position = end
    raise ImageFormatError(
        f"{name}: JPEG is torn",
        expected="marker segments up to a scan",
        found=f"no marker at byte {position}",
    )


def _check_frame(frame: bytes, name: str) -> None:
    if frame[0] != 8 or frame[5] not in (1, 3):
        raise ImageDepthError(
            f"{name}: samples of the JPEG are not accepted",
            expected="8-bit grey or colour",
            found=f"{frame[0]}-bit samples in {frame[5]} channels (4 is CMYK)",
        )
