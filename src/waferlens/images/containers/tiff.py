"""TIFF 6.0: the first image file directory (IFD), which says how pixels are stored and where.

Accepted: one page, 8- or 16-bit unsigned or 32-bit float samples, grey or RGB, no compression, LZW, Deflate
or PackBits. Every strip or tile must lie inside the file. BigTIFF and JPEG inside TIFF are refused.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from waferlens.errors import ImageDepthError, ImageFormatError
from waferlens.images.containers.header import Header

MAGICS = (b"II*\x00", b"MM\x00*")
BIG_MAGICS = (b"II+\x00", b"MM\x00+")
_TYPES = {1: "B", 3: "H", 4: "I"}

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIPS, ORIENTATION, SAMPLES, ROWS, STRIP_BYTES, PLANAR, PREDICTOR = 273, 274, 277, 278, 279, 284, 317
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES, SAMPLE_FORMAT = 322, 323, 324, 325, 339
_READ = {
    *(WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIPS, ORIENTATION, SAMPLES, ROWS, STRIP_BYTES),
    *(PLANAR, PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES, SAMPLE_FORMAT),
}
COMPRESSIONS = {1: "none", 5: "LZW", 8: "Deflate", 32946: "Deflate", 32773: "PackBits"}
_MAX_TILE_SIDE = 4096


@dataclass(frozen=True)
class Directory:
    """One IFD: the values of the baseline tags, and where the next one is."""

    values: dict[int, tuple[int, ...]]
    next_offset: int

    def first(self, tag: int, default: int) -> int:
        """The first value of a tag, or ``default`` where the tag is not there."""
        values = self.values.get(tag, ())
        return values[0] if values else default

    @property
    def tiled(self) -> bool:
        """Blocks are tiles, else strips."""
        return TILES in self.values


@dataclass(frozen=True, kw_only=True)
class TiffHeader(Header):
    """The header with what ``tiff_pixels`` needs: the byte order ("<" or ">") and the directory."""

    order: str
    directory: Directory

    @property
    def block(self) -> tuple[int, int]:
        """Height and width of a strip or tile, in pixels."""
        if self.directory.tiled:
            return self.directory.first(TILE_HEIGHT, 0), self.directory.first(TILE_WIDTH, 0)
        return min(self.directory.first(ROWS, self.height), self.height), self.width

    @property
    def planes(self) -> int:
        """1 where the channels of a pixel stand together, else one plane a channel."""
        return self.channels if self.directory.first(PLANAR, 1) == 2 else 1

    @property
    def extents(self) -> list[tuple[int, int]]:
        """Offset and length of each block in the file, row by row of blocks, plane by plane."""
        tiled = self.directory.tiled
        offsets = self.directory.values.get(TILES if tiled else STRIPS, ())
        sizes = self.directory.values.get(TILE_BYTES if tiled else STRIP_BYTES, ())
        return list(zip(offsets, sizes, strict=False)) if len(offsets) == len(sizes) else []


def read_tiff_header(data: bytes, name: str) -> TiffHeader:
    """The header of a complete, single-page TIFF.

    Raises ImageFormatError when torn, of several pages or compressed otherwise, ImageDepthError when the
    colour model or the kind of sample is not accepted.
    """
    order = "<" if data[:2] == b"II" else ">"
    directory = _read_directory(data, order, name)
    if directory.next_offset:
        raise ImageFormatError(f"{name}: TIFF has several pages", expected="one page", found="a second directory")
    missing = [tag for tag in (WIDTH, HEIGHT, PHOTOMETRIC) if not directory.values.get(tag)]
    if missing:
        raise ImageFormatError(
            f"{name}: TIFF header is not valid", expected="baseline tags", found=f"no tag {missing[0]}"
        )
    header = TiffHeader(
        format="TIFF",
        width=directory.first(WIDTH, 0),
        height=directory.first(HEIGHT, 0),
        bits=directory.first(BITS, 1),
        channels=directory.first(SAMPLES, 1),
        floating=directory.first(SAMPLE_FORMAT, 1) == 3,
        orientation=directory.first(ORIENTATION, 1),
        payload=data,
        order=order,
        directory=directory,
    )
    _check_samples(directory, header, name)
    _check_blocks(data, header, name)
    return header


def exif_orientation(exif: bytes) -> int:
    """The orientation in an EXIF block (itself a TIFF); 1 where there is none or it cannot be read."""
    if exif[:4] not in MAGICS:
        return 1
    order = "<" if exif[:2] == b"II" else ">"
    try:
        return _read_directory(exif, order, "EXIF").first(ORIENTATION, 1)
    except ImageFormatError:
        return 1


def _read_directory(data: bytes, order: str, name: str) -> Directory:
    try:
        (offset,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, offset)
        values: dict[int, tuple[int, ...]] = {}
        for start in range(offset + 2, offset + 2 + 12 * count, 12):
            tag, kind, num = struct.unpack_from(order + "HHI", data, start)
            if kind in _TYPES and tag in _READ:
                values[tag] = _values(data, order, start, kind, num)
        (next_offset,) = struct.unpack_from(order + "I", data, offset + 2 + 12 * count)
    except struct.error as error:
        raise ImageFormatError(
            f"{name}: TIFF is torn",
            expected="a directory and its values inside the file",
            found=f"an offset beyond {len(data)} bytes",
        ) from error
    return Directory(values, next_offset)


def _values(data: bytes, order: str, start: int, kind: int, num: int) -> tuple[int, ...]:
    code = _TYPES[kind]
    size = struct.calcsize(code) * num
    if size > len(data):  # before the format string is built: num comes from the file
        raise struct.error("more values than bytes")
    position = start + 8 if size <= 4 else struct.unpack_from(order + "I", data, start + 8)[0]
    return struct.unpack_from(f"{order}{num}{code}", data, position)


def _check_samples(directory: Directory, header: TiffHeader, name: str) -> None:
    photometric = directory.first(PHOTOMETRIC, 1)
    expected_channels = {1: 1, 2: 3}.get(photometric)
    if header.channels != expected_channels:
        raise ImageDepthError(
            f"{name}: colour model of the TIFF is not accepted",
            expected="grey (black is zero) or RGB without alpha",
            found=f"photometric interpretation {photometric} with {header.channels} samples a pixel",
        )
    bits = directory.values.get(BITS, (1,))
    formats = directory.values.get(SAMPLE_FORMAT, (1,))
    if len(set(bits)) != 1 or len(set(formats)) != 1 or formats[0] not in (1, 3):
        raise ImageDepthError(
            f"{name}: samples of the TIFF are not accepted",
            expected="unsigned integers, or 32-bit floats, alike in all channels",
            found=f"bits {bits[:4]}, sample format {formats[:4]} (2 is signed)",
        )
    compression = directory.first(COMPRESSION, 1)
    if compression not in COMPRESSIONS:
        raise ImageFormatError(
            f"{name}: TIFF compression is not accepted",
            expected="none, LZW, Deflate or PackBits",
            found=f"compression {compression}",
        )
    coding = directory.first(PREDICTOR, 1), directory.first(FILL_ORDER, 1)
    if coding not in ((1, 1), (2, 1)) or (coding[0] == 2 and header.floating):
        raise ImageFormatError(
            f"{name}: TIFF coding is not accepted",
            expected="no predictor, or differences of integers; high bits first",
            found=f"predictor {coding[0]}, fill order {coding[1]}",
        )


def _check_blocks(data: bytes, header: TiffHeader, name: str) -> None:
    """Every strip or tile must lie in the file: a missing one would be decoded as black."""
    block = header.block
    if min(block) < 1 or (header.directory.tiled and max(block) > _MAX_TILE_SIDE):
        raise ImageFormatError(
            f"{name}: TIFF blocks are not valid",
            expected=f"sides of 1 to {_MAX_TILE_SIDE} pixels",
            found=f"{block[1]}x{block[0]}",
        )
    num_rows, num_columns = -(-header.height // block[0]), -(-header.width // block[1])
    num_blocks = header.planes * num_rows * num_columns
    inside = all(size > 0 and at + size <= len(data) for at, size in header.extents)
    if len(header.extents) != num_blocks or not inside:
        raise ImageFormatError(
            f"{name}: TIFF is torn",
            expected=f"{num_blocks} pixel blocks inside {len(data)} bytes",
            found="a block outside the file" if not inside else f"{len(header.extents)} blocks",
        )
