"""A generator of damaged and hostile image files, by seed: what a line, a disk and a prankster produce.

``hostile_files(folder, seed, count)`` writes files of every kind in turn. All are meant to be
refused; those made by flipping bits (named ``flip-*``) may happen to stay decodable.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

Rng = np.random.Generator


def encode(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **{"photometric": "minisblack", **options})
    return file.getvalue()


def grey(rng: Rng, side: int = 256) -> np.ndarray:
    ramp = np.add.outer(np.arange(side), np.arange(side)) % 200
    return (ramp + rng.integers(0, 50, (side, side))).astype(np.uint8)


def valid_file(rng: Rng) -> tuple[bytes, str]:
    kind = str(rng.choice(["PNG", "TIFF", "JPEG", "BMP", "LZW", "PNG16"]))
    if kind == "LZW":
        return encode(grey(rng), "TIFF", compression="tiff_lzw"), ".tif"
    if kind == "PNG16":
        return encode(grey(rng).astype(np.uint16) * 257, "PNG"), ".png"
    suffix = {"PNG": ".png", "TIFF": ".tif", "JPEG": ".jpg", "BMP": ".bmp"}[kind]
    return encode(grey(rng), kind), suffix


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = b"".join(extra) + png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + body + png_chunk(b"IEND", b"")


def truncated(rng: Rng) -> tuple[bytes, str]:
    data, suffix = valid_file(rng)
    return data[: int(rng.integers(1, len(data) - 1))], suffix


def wrong_magic(rng: Rng) -> tuple[bytes, str]:
    data, suffix = valid_file(rng)
    return rng.bytes(4) + data[4:], suffix


def bad_checksum(rng: Rng) -> tuple[bytes, str]:
    data = bytearray(encode(grey(rng), "PNG"))
    data[int(rng.integers(60, len(data) - 20))] ^= 1 << int(rng.integers(8))
    return bytes(data), ".png"


def short_rows(rng: Rng) -> tuple[bytes, str]:
    return png(256, 256, 8, 0, b"\0" * int(rng.integers(0, 257 * 255))), ".png"


def png_bomb(rng: Rng) -> tuple[bytes, str]:
    side = int(rng.integers(20_000, 2_000_000_000))
    return png(side, side, 8, 0, b"\0" * 1000), ".png"


def jpeg_bomb(rng: Rng) -> tuple[bytes, str]:
    data = bytearray(encode(grey(rng), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
    return bytes(data), ".jpg"


def bmp_bomb(rng: Rng) -> tuple[bytes, str]:
    data = bytearray(encode(grey(rng), "BMP"))
    data[18:26] = struct.pack("<ii", int(rng.integers(20_000, 2**31)), int(rng.integers(-(2**31), -20_000)))
    return bytes(data), ".bmp"


def _patched_tiff(data: bytes, changes: dict[int, int]) -> bytes:
    """A little-endian TIFF with the (inline) values of some tags replaced."""
    patched = bytearray(data)
    (directory,) = struct.unpack_from("<I", patched, 4)
    (count,) = struct.unpack_from("<H", patched, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind, num = struct.unpack_from("<HHI", patched, entry)
        if tag in changes and num == 1:
            struct.pack_into("<I" if kind == 4 else "<H", patched, entry + 8, changes[tag])
    return bytes(patched)


def tiff_tags(rng: Rng) -> tuple[bytes, str]:
    """Huge sides, strips beyond the file or of no bytes, odd compressions and photometric interpretations."""
    changes = [
        {256: 65_000, 257: 65_000},
        {273: 2**31},
        {279: 2**31},
        {279: 0},
        {259: 7},
        {262: 0},
        {262: 5},
        {258: 4},
    ]
    data = encode(grey(rng), "TIFF")
    return _patched_tiff(data, changes[int(rng.integers(len(changes)))]), ".tif"


def tiff_loop(rng: Rng) -> tuple[bytes, str]:
    data = bytearray(encode(grey(rng), "TIFF"))
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    struct.pack_into("<I", data, directory + 2 + 12 * count, directory)  # the next page is this page
    return bytes(data), ".tif"


def several_pages(rng: Rng) -> tuple[bytes, str]:
    return tiff(np.stack([grey(rng)] * int(rng.integers(2, 4)))), ".tif"


def animated_png(rng: Rng) -> tuple[bytes, str]:
    file = io.BytesIO()
    frames = [Image.fromarray(grey(rng)) for _ in range(2)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    return file.getvalue(), ".png"


def not_numbers(rng: Rng) -> tuple[bytes, str]:
    values = rng.random((256, 256), dtype=np.float32)
    values[int(rng.integers(256)), int(rng.integers(256))] = rng.choice([np.nan, np.inf, -np.inf, 1.5, -0.1])
    return tiff(values), ".tif"


def other_depths(rng: Rng) -> tuple[bytes, str]:
    dtype = rng.choice(["int8", "int16", "int32", "uint32", "float64", "float16"])
    return tiff(np.ones((256, 256), str(dtype))), ".tif"


def low_depth_png(rng: Rng) -> tuple[bytes, str]:
    depth = int(rng.choice([1, 2, 4]))
    return png(256, 256, depth, 0, b"\0" * (256 * (1 + 32 * depth))), ".png"


def deep_colour_png(rng: Rng) -> tuple[bytes, str]:
    channels, colour = [(3, 2), (2, 4), (4, 6)][int(rng.integers(3))]
    return png(256, 256, 16, colour, b"\0" * (256 * (1 + 512 * channels))), ".png"


def transparent(rng: Rng) -> tuple[bytes, str]:
    pixels = np.full((256, 256, 4), 255, np.uint8)
    pixels[int(rng.integers(256)), :, 3] = int(rng.integers(255))
    return encode(pixels, "PNG"), ".png"


def cmyk(rng: Rng) -> tuple[bytes, str]:
    file = io.BytesIO()
    kind, suffix = [("JPEG", ".jpg"), ("TIFF", ".tif")][int(rng.integers(2))]
    Image.new("CMYK", (256, 256), (0, 10, 20, 30)).save(file, kind)
    return file.getvalue(), suffix


def turned(rng: Rng) -> tuple[bytes, str]:
    exif = Image.Exif()
    exif[274] = int(rng.integers(2, 9))
    kind, suffix = [("JPEG", ".jpg"), ("PNG", ".png")][int(rng.integers(2))]
    return encode(grey(rng), kind, exif=exif), suffix


def no_pixels(rng: Rng) -> tuple[bytes, str]:
    width, height = [(0, 256), (256, 0), (1, 1), (256, 3)][int(rng.integers(4))]
    return png(width, height, 8, 0, b"\0" * (257 * 256)), ".png"


def trailing_bytes(rng: Rng) -> tuple[bytes, str]:
    data = encode(grey(rng), "PNG")
    return data + (data if rng.random() < 0.5 else rng.bytes(int(rng.integers(1, 500)))), ".png"


def two_jpegs(rng: Rng) -> tuple[bytes, str]:
    return encode(grey(rng), "JPEG") + encode(grey(rng), "JPEG"), ".jpg"


def text_bomb(rng: Rng) -> tuple[bytes, str]:
    """A PNG without pixels and with text that inflates to 50 MB."""
    text = png_chunk(b"zTXt", b"c\0\0" + zlib.compress(b"a" * 50_000_000))
    return png(256, 256, 8, 0, b"", text), ".png"


def holed_jpeg(rng: Rng) -> tuple[bytes, str]:
    """A packet is lost in the middle; the end marker is still there."""
    data = encode(grey(rng), "JPEG")
    start = int(rng.integers(len(data) // 3, len(data) // 2))
    return data[:start] + data[start + len(data) // 4 :], ".jpg"


def other_things(rng: Rng) -> tuple[bytes, str]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(zipfile.ZipInfo("image.png"), b"not here")  # ZipInfo: no time of day
    suffix = str(rng.choice([".png", ".tif", ".jpg", ".bmp"]))
    things = [
        b"",
        b"lot,wafer\n1,2\n" * 20,
        archive.getvalue(),
        rng.bytes(int(rng.integers(1, 5000))),
        b"\0" * 100_000,
        b"GIF89a" + rng.bytes(100),
        b"%PDF-1.7\n",
        b"II+\0" + rng.bytes(200),
        b"\x89PNG\r\n\x1a\n",
        b"BM",
        b"II*\0",
        b"\xff\xd8\xff\xd9",
    ]
    return things[int(rng.integers(len(things)))], suffix


def flipped(rng: Rng) -> tuple[bytes, str]:
    data, suffix = valid_file(rng)
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 30))):
        at = int(rng.integers(len(damaged) if rng.random() < 0.5 else min(200, len(damaged))))
        damaged[at] ^= 1 << int(rng.integers(8))
    return bytes(damaged), suffix


KINDS: dict[str, Callable[[Rng], tuple[bytes, str]]] = {
    "truncated": truncated,
    "magic": wrong_magic,
    "checksum": bad_checksum,
    "short-rows": short_rows,
    "bomb-png": png_bomb,
    "bomb-jpeg": jpeg_bomb,
    "bomb-bmp": bmp_bomb,
    "tiff-tags": tiff_tags,
    "tiff-loop": tiff_loop,
    "pages": several_pages,
    "animated": animated_png,
    "nan": not_numbers,
    "depth": other_depths,
    "low-depth": low_depth_png,
    "deep-colour": deep_colour_png,
    "transparent": transparent,
    "cmyk": cmyk,
    "turned": turned,
    "no-pixels": no_pixels,
    "trailing": trailing_bytes,
    "two-jpegs": two_jpegs,
    "holed-jpeg": holed_jpeg,
    "text-bomb": text_bomb,
    "other": other_things,
    "flip": flipped,
}


def hostile_files(folder: Path, seed: int, count: int) -> list[Path]:
    """``count`` files in ``folder``, of each kind in turn; their names begin with their kind."""
    rng = np.random.default_rng(seed)
    kinds = list(KINDS.items())
    paths = []
    for number in range(count):
        kind, make = kinds[number % len(kinds)]
        data, suffix = make(rng)
        path = folder / f"{kind}-{number:04d}{suffix}"
        path.write_bytes(data)
        paths.append(path)
    return paths
