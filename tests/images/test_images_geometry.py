"""Cropping and area averaging against a slow twin, and masks that survive both."""

from __future__ import annotations

import numpy as np
import pytest
from hostile import encode, grey
from hypothesis import given, settings
from hypothesis import strategies as st

from waferlens.errors import ImageContentError, ImageDepthError, ImageSizeError
from waferlens.images.formats import read_image
from waferlens.images.geometry import crop_centre, resize_area
from waferlens.images.options import ImageOptions
from waferlens.images.roi import load_roi, read_mask


def slow_area_mean(pixels, size):
    """Each target pixel: the sum of source pixels, each times the area of it that is covered."""
    height, width = pixels.shape
    result = np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            top, bottom = row * height / size, (row + 1) * height / size
            left, right = column * width / size, (column + 1) * width / size
            total = 0.0
            for y in range(int(top), min(int(np.ceil(bottom)), height)):
                for x in range(int(left), min(int(np.ceil(right)), width)):
                    covered = (min(y + 1, bottom) - max(y, top)) * (min(x + 1, right) - max(x, left))
                    total += covered * float(pixels[y, x])
            result[row, column] = total / ((bottom - top) * (right - left))
    return result


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    size=st.integers(1, 12),
    dtype=st.sampled_from(["uint8", "uint16"]),
)
def test_area_resize_is_within_rounding_of_the_slow_twin(height, width, size, dtype):
    rng = np.random.default_rng(height * 1000 + width * 10 + size)
    pixels = rng.integers(0, np.iinfo(dtype).max + 1, (height, width)).astype(dtype)
    resized = resize_area(pixels, size)
    assert resized.dtype == dtype
    assert np.abs(resized - slow_area_mean(pixels, size)).max() <= 0.5 + 1e-6


def test_integer_factors_round_half_to_even_exactly():
    pixels = np.array([[0, 1, 2, 3], [0, 1, 2, 3]], np.uint8).repeat(2, axis=0)
    np.testing.assert_array_equal(resize_area(pixels, 2), [[0, 2], [0, 2]])  # 0.5 to 0, 2.5 to 2


@given(size=st.integers(1, 40), level=st.integers(0, 65_535))
def test_a_constant_image_stays_what_it_is(size, level):
    assert (resize_area(np.full((33, 47), level, np.uint16), size) == level).all()


def test_the_crop_is_about_the_centre():
    pixels = np.arange(35, dtype=np.uint8).reshape(5, 7)
    np.testing.assert_array_equal(crop_centre(pixels, 3, 3), pixels[1:4, 2:5])
    np.testing.assert_array_equal(crop_centre(pixels, 2, 2), pixels[1:3, 2:4])


def test_an_image_that_would_be_squeezed_is_refused_unless_cropped():
    data = encode(np.tile(grey(np.random.default_rng(0)), (1, 2)), "PNG")
    with pytest.raises(ImageSizeError, match="not square"):
        read_image(data, ImageOptions())
    assert read_image(data, ImageOptions(crop="centre-square")).shape == (256, 256)
    assert read_image(data, ImageOptions(crop=(200, 200))).shape == (256, 256)
    with pytest.raises(ImageSizeError, match="smaller than the crop"):
        read_image(data, ImageOptions(crop=(300, 300)))


def test_with_resizing_off_only_256_is_accepted():
    with pytest.raises(ImageSizeError, match="expected 256x256; found 512x512"):
        read_image(encode(grey(np.random.default_rng(0), 512), "PNG"), ImageOptions(resize=False))


def test_a_mask_is_half_covered_pixels():
    mask = np.zeros((1024, 1024), np.uint8)
    mask[400:500, 400:500] = 255
    resized = read_mask(encode(mask, "PNG"), ImageOptions())
    expected = np.zeros((256, 256), bool)
    expected[100:125, 100:125] = True
    np.testing.assert_array_equal(resized, expected)


def test_a_mark_thinner_than_half_a_pixel_is_not_lost():
    mask = np.zeros((1024, 1024), np.uint8)
    mask[:, 600] = 1
    assert read_mask(encode(mask, "PNG"), ImageOptions())[:, 150].all()


def test_one_bit_masks_are_read():
    mask = np.zeros((256, 256), bool)
    mask[5:9, 7:30] = True
    np.testing.assert_array_equal(read_mask(encode(mask, "PNG"), ImageOptions()), mask)


def test_an_empty_roi_and_a_coloured_mask_are_refused(tmp_path):
    path = tmp_path / "roi.png"
    path.write_bytes(encode(np.zeros((256, 256), np.uint8), "PNG"))
    with pytest.raises(ImageContentError, match="empty"):
        load_roi(path, ImageOptions())
    path.write_bytes(encode(np.zeros((256, 256, 3), np.uint8), "PNG"))
    with pytest.raises(ImageDepthError):
        load_roi(path, ImageOptions())
