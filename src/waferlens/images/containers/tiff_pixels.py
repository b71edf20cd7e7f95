"""TIFF 6.0: strips and tiles to samples, in numpy.

Written here because the usual library prints its complaints to standard error, fills what is missing, and
swaps the bytes of compressed big-endian floats twice. Here a block that is short, long or damaged is an
error. LZW is decoded in Python, some tens of milliseconds for 256x256; the other codings take well under
one.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from waferlens.images.containers.tiff import COMPRESSION, COMPRESSIONS, PREDICTOR, TiffHeader

_CLEAR, _END = 256, 257  # LZW control codes
_MAX_CODES = 4096


def decode_tiff(header: TiffHeader) -> npt.NDArray[np.generic]:
    """Samples of a checked TIFF: (height, width) or (height, width, 3); uint8, uint16 or float32, native
    order.

    Raises ValueError or zlib.error when a block does not hold exactly its pixels.
    """
    kind = "f4" if header.floating else f"u{header.bits // 8}"
    stored = np.dtype(header.order + kind)
    together = header.channels // header.planes  # channels that stand together in a block
    samples = np.empty((header.height, header.width, header.channels), kind)
    extents = iter(header.extents)
    high, wide = header.block
    for plane in range(header.planes):
        for top in range(0, header.height, high):
            rows = high if header.directory.tiled else min(high, header.height - top)
            for left in range(0, header.width, wide):
                offset, size = next(extents)
                shape = (rows, wide, together)
                raw = header.payload[offset : offset + size]
                block = _block(raw, header, stored, shape)[: header.height - top, : header.width - left]
                samples[top : top + rows, left : left + wide, plane : plane + together] = block
    return samples[:, :, 0] if header.channels == 1 else samples


def _block(
    raw: bytes, header: TiffHeader, stored: np.dtype[np.generic], shape: tuple[int, int, int]
) -> npt.NDArray[np.generic]:
    """One strip or tile, (rows, columns, channels that stand together), in native byte order."""
    num_bytes = int(np.prod(shape)) * stored.itemsize
    data = _decompress(raw, COMPRESSIONS[header.directory.first(COMPRESSION, 1)], num_bytes)
    if len(data) != num_bytes:
        raise ValueError(f"block of {len(data)} bytes where {num_bytes} belong")
    block = np.frombuffer(data, stored).reshape(shape).astype(stored.newbyteorder("="))
    if header.directory.first(PREDICTOR, 1) == 2:
        block = np.cumsum(block, axis=1, dtype=block.dtype)  # wraps around, as the differences did
    return block


def _decompress(raw: bytes, coding: str, num_bytes: int) -> bytes:
    """At most ``num_bytes`` (and one, to show that there were more): a bomb inflates no further."""
    if coding == "Deflate":
        stream = zlib.decompressobj()
        data = stream.decompress(raw, num_bytes + 1)
        if not stream.eof and len(data) == num_bytes:
            data += stream.decompress(stream.unconsumed_tail, 1)  # reads the checksum
        if not stream.eof:
            raise ValueError("Deflate stream does not end where its pixels do")
        return data
    if coding == "LZW":
        return _unpack_lzw(raw, num_bytes)
    if coding == "PackBits":
        return _unpack_bits(raw, num_bytes)
    return raw


def _unpack_bits(raw: bytes, num_bytes: int) -> bytes:
    """PackBits, TIFF 6.0 section 9."""
    unpacked = bytearray()
    position = 0
    while position < len(raw) and len(unpacked) < num_bytes:
        count = raw[position]
        if count < 128:
            unpacked += raw[position + 1 : position + count + 2]
            position += count + 2
        else:
            if count > 128:
                unpacked += raw[position + 1 : position + 2] * (257 - count)
            position += 2 if count > 128 else 1
    return bytes(unpacked)


def _unpack_lzw(raw: bytes, num_bytes: int) -> bytes:
    """LZW, TIFF 6.0 section 13: codes of 9 to 12 bits, high bits first, widened one code early."""
    singles = [bytes([value]) for value in range(256)] + [b"", b""]
    table = list(singles)
    unpacked: list[bytes] = []
    previous = b""
    length = bits = num_bits = 0
    width = 9
    for byte in raw:
        bits = (bits << 8) | byte
        num_bits += 8
        if num_bits < width:
            continue
        num_bits -= width
        code = bits >> num_bits
        bits &= (1 << num_bits) - 1
        if code == _END or length > num_bytes:
            break
        if code == _CLEAR:
            table, width, previous = list(singles), 9, b""
            continue
        if code > len(table) or (code == len(table) and not previous) or len(table) > _MAX_CODES:
            raise ValueError(f"LZW code {code} in a table of {len(table)}")
        entry = table[code] if code < len(table) else previous + previous[:1]
        if previous:
            table.append(previous + entry[:1])
        unpacked.append(entry)
        length += len(entry)
        previous = entry
        width = min(max(9, (len(table) + 1).bit_length()), 12)
    return b"".join(unpacked)
