"""Every accepted format gives the stored samples exactly; every other depth and colour model is refused."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from hostile import encode, grey, png, tiff
from PIL import Image

from waferlens.errors import (
    ImageContentError,
    ImageDepthError,
    ImageError,
    ImageFormatError,
    ImageSizeError,
)
from waferlens.images.formats import read_image
from waferlens.images.options import ImageOptions

OPTIONS = ImageOptions()
RNG_SEED = 5


@pytest.fixture
def rng():
    return np.random.default_rng(RNG_SEED)


def samples(rng, dtype):
    if np.dtype(dtype).kind == "f":
        return rng.random((256, 256)).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max + 1, (256, 256)).astype(dtype)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "packbits"}),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_lossless_formats_give_the_stored_samples(rng, kind, how, dtype):
    stored = samples(rng, dtype)
    read = read_image(encode(stored, kind, **how), OPTIONS)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, stored)


@pytest.mark.parametrize("smooth", [False, True])
def test_lzw_is_decoded_as_the_reference_library_does(rng, smooth):
    stored = np.zeros((256, 256), np.uint8) if smooth else grey(rng)
    data = encode(stored, "TIFF", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(data, OPTIONS), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tile", [None, (64, 48), (96, 96)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_tiffs_of_another_writer_are_read_exactly(rng, byteorder, compression, tile, dtype):
    stored = samples(rng, dtype)
    for predictor in {None, True if compression and dtype != "float32" else None}:
        data = tiff(stored, byteorder=byteorder, compression=compression, tile=tile, predictor=predictor)
        expected = np.rint(stored.astype(float) * 65535).astype(np.uint16) if dtype == "float32" else stored
        np.testing.assert_array_equal(read_image(data, OPTIONS), expected)


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
def test_colour_tiffs_become_luminance(rng, planarconfig):
    colour = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    stored = colour if planarconfig == "contig" else np.moveaxis(colour, -1, 0)
    file = io.BytesIO()
    tifffile.imwrite(file, stored, photometric="rgb", planarconfig=planarconfig, rowsperstrip=50)
    assert np.abs(read_image(file.getvalue(), OPTIONS) - bt_601(colour)).max() <= 0.51


def bt_601(colour):
    return colour.astype(float) @ [0.299, 0.587, 0.114]


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_colour_is_weighted_by_bt_601(rng, kind):
    colour = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    assert np.abs(read_image(encode(colour, kind), OPTIONS) - bt_601(colour)).max() <= 0.51


def test_grey_stored_as_colour_is_exact(rng):
    stored = grey(rng)
    for data in (
        encode(stored, "BMP"),
        encode(np.stack([stored] * 3, axis=-1), "PNG"),
        encode(np.stack([stored, stored, stored, np.full_like(stored, 255)], axis=-1), "PNG"),
        encode(np.stack([stored] * 3, axis=-1), "BMP"),
    ):
        np.testing.assert_array_equal(read_image(data, OPTIONS), stored)


def test_a_palette_is_looked_up_before_luminance(rng):
    stored = grey(rng)
    image = Image.fromarray(stored).convert("P")
    image.putpalette([value for level in range(256) for value in (255 - level,) * 3])
    file = io.BytesIO()
    image.save(file, "PNG")
    indices = np.asarray(image)
    np.testing.assert_array_equal(read_image(file.getvalue(), OPTIONS), 255 - indices)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_read_as_its_decoder_gives_it(rng, mode, progressive):
    file = io.BytesIO()
    Image.fromarray(grey(rng)).convert(mode).save(file, "JPEG", progressive=progressive)
    expected = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("L"))
    np.testing.assert_array_equal(read_image(file.getvalue(), OPTIONS), expected)


def test_twelve_bits_in_sixteen_are_stretched_to_full_scale():
    levels = np.arange(65_536, dtype=np.uint16).reshape(256, 256) % 4096
    read = read_image(encode(levels, "PNG"), ImageOptions(bit_depth=12))
    np.testing.assert_array_equal(read, np.rint(levels * (65_535 / 4095)).astype(np.uint16))
    assert read.min() == 0
    assert read.max() == 65_535


def test_a_value_above_4095_is_not_twelve_bit():
    pixels = np.zeros((256, 256), np.uint16)
    pixels[3, 4] = 4096
    with pytest.raises(ImageDepthError, match="at most 4095; found 4096"):
        read_image(encode(pixels, "PNG"), ImageOptions(bit_depth=12))


@pytest.mark.parametrize(("depth", "dtype"), [(8, "uint16"), (16, "uint8"), (12, "uint8")])
def test_a_depth_that_the_recipe_does_not_name_is_refused(rng, depth, dtype):
    with pytest.raises(ImageDepthError, match="recipe"):
        read_image(encode(samples(rng, dtype), "PNG"), ImageOptions(bit_depth=depth))


@pytest.mark.parametrize("colour", [2, 4, 6])
def test_sixteen_bit_colour_is_never_cut_to_eight(colour):
    channels = {2: 3, 4: 2, 6: 4}[colour]
    with pytest.raises(ImageDepthError, match="16-bit integer"):
        read_image(png(256, 256, 16, colour, b"\0" * 256 * (1 + 512 * channels)), OPTIONS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e-3, 1.001])
def test_floats_must_be_finite_and_in_range(value):
    pixels = np.full((256, 256), 0.5, np.float32)
    pixels[0, 0] = value
    with pytest.raises(ImageContentError):
        read_image(tiff(pixels), OPTIONS)


def test_the_header_is_believed_before_anything_is_decoded():
    with pytest.raises(ImageSizeError, match="at most 64000000 pixels; found 100000x100000"):
        read_image(png(100_000, 100_000, 8, 0, b""), OPTIONS)


def test_metadata_does_not_reach_the_decoder(rng):
    stored = grey(rng)
    exif = Image.Exif()
    exif[270] = "a description " * 20
    assert (read_image(encode(stored, "PNG", exif=exif), OPTIONS) == stored).all()


def test_errors_name_the_file(tmp_path, rng):
    path = tmp_path / "W1\n.png"
    path.write_bytes(encode(grey(rng), "PNG")[:500])
    with pytest.raises(ImageFormatError) as caught:
        read_image(path, OPTIONS)
    assert "W1" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ImageFormatError, match="gateway-7: PNG is torn"):
        read_image(path, OPTIONS, name="gateway-7")


def test_a_folder_and_a_missing_file_are_image_errors(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.png"):
        with pytest.raises(ImageFormatError):
            read_image(path, OPTIONS)


def test_the_end_of_an_image_file_is_checked_at_every_byte(rng):
    small = ImageOptions(min_side=16)
    for data in (
        encode(grey(rng, 16), "PNG"),
        encode(grey(rng, 16), "BMP"),
        encode(grey(rng, 16), "JPEG"),
        tiff(grey(rng, 16), compression="zlib"),
    ):
        read_image(data, small)
        for length in range(len(data)):
            with pytest.raises(ImageError):
                read_image(data[:length], small)


def test_a_big_endian_page_beyond_the_file_is_torn():
    with pytest.raises(ImageFormatError, match="torn"):
        read_image(b"MM\0*" + struct.pack(">I", 10_000), OPTIONS)
