"""What each disturbance does to grey values, place and range; that ``none`` does nothing; that a seed decides."""

from __future__ import annotations

import numpy as np
import pytest

from waferlens.errors import ImageDepthError, OptionsError
from waferlens.images.disturbances import DISTURBANCES, NONE, Level, disturb

BY_KEY = {kind.key: kind for kind in DISTURBANCES}
DRAWN = ("illumination_tilt", "noise", "shift", "rotation")
SIDE = 64
TYPES = pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
KINDS = pytest.mark.parametrize("kind", DISTURBANCES, ids=lambda kind: kind.key)


def image_of(dtype, seed=0):
    """Grey values over the whole scale, both ends among them."""
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(seed).integers(0, top + 1, (SIDE, SIDE)).astype(dtype)
    pixels[0, 0], pixels[0, 1] = 0, top
    return pixels


def smooth_image(dtype):
    """A pattern that bilinear resampling follows closely."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.rint((0.5 + 0.3 * np.sin(x / 9) * np.cos(y / 7)) * np.iinfo(dtype).max).astype(dtype)


def disturbed(pixels, key, amount, seed=0):
    return disturb(pixels, BY_KEY[key], Level(name="asked", amount=amount), np.random.default_rng(seed))


@KINDS
@TYPES
def test_the_level_none_returns_the_same_bytes_in_an_array_of_its_own(kind, dtype):
    pixels = image_of(dtype)
    result = disturb(pixels, kind, kind.levels[0], np.random.default_rng(0))
    assert kind.levels[0].name == NONE
    assert result.tobytes() == pixels.tobytes()
    assert not np.shares_memory(result, pixels)


@KINDS
@TYPES
def test_every_level_keeps_type_and_shape_and_leaves_its_input_alone(kind, dtype):
    pixels = image_of(dtype)
    before = pixels.copy()
    for level in kind.levels:
        result = disturb(pixels, kind, level, np.random.default_rng(0))
        assert (result.dtype, result.shape) == (pixels.dtype, pixels.shape)
        assert (
            level.is_none
            or (kind.key, level.name, dtype) == ("bit_depth", "8 bit", np.uint8)
            or (result != pixels).any()
        )
    np.testing.assert_array_equal(pixels, before)


@KINDS
def test_a_ladder_begins_with_none_names_each_level_once_and_only_grows(kind):
    names, amounts = [level.name for level in kind.levels], [level.amount for level in kind.levels]
    assert names.index(NONE) == 0
    assert len(set(names)) == len(names) > 3
    steps = np.diff(sorted(amounts) if kind.key in ("gain", "offset") else amounts)
    assert (steps > 0).all() or (steps < 0).all()
    assert len(BY_KEY) == len(DISTURBANCES)


@TYPES
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.4])
def test_gain_multiplies_and_clips(dtype, factor):
    pixels = image_of(dtype)
    expected = np.clip(np.rint(pixels * factor), 0, np.iinfo(dtype).max)
    np.testing.assert_array_equal(disturbed(pixels, "gain", factor), expected)


@TYPES
@pytest.mark.parametrize("share", [-1.0, -0.1, 0.05, 1.0])
def test_an_offset_adds_its_share_of_full_scale_and_clips(dtype, share):
    pixels, top = image_of(dtype), np.iinfo(dtype).max
    expected = np.clip(np.rint(pixels + share * top), 0, top)
    np.testing.assert_array_equal(disturbed(pixels, "offset", share), expected)


@pytest.mark.parametrize("seed", range(5))
def test_tilted_light_spans_its_share_from_corner_to_corner_and_leaves_the_centre(seed):
    flat = np.full((SIDE, SIDE), 30_000, np.uint16)
    tilted = disturbed(flat, "illumination_tilt", 0.2, seed).astype(float)
    corners = tilted[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.max() - corners.min() == pytest.approx(0.2 * 30_000, abs=1)
    assert (corners.max(), corners.min()) == (tilted.max(), tilted.min())
    assert tilted.mean() == pytest.approx(30_000, abs=1)
    np.testing.assert_allclose(tilted + tilted[::-1, ::-1], 60_000, atol=1)


def test_defocus_spreads_a_point_by_its_sigma_and_keeps_the_light():
    point = np.zeros((SIDE, SIDE), np.uint16)
    point[32, 32] = 60_000
    spread = disturbed(point, "defocus", 2.0).astype(float)
    away = np.arange(SIDE) - 32
    assert spread.sum() == pytest.approx(60_000, rel=0.01)
    assert (spread.sum(axis=0) * away**2).sum() / spread.sum() == pytest.approx(4.0, rel=0.02)


@TYPES
def test_noise_has_the_stated_deviation_and_no_bias(dtype):
    top = np.iinfo(dtype).max
    grey = np.full((256, 256), top // 2, dtype)
    noise = disturbed(grey, "noise", 0.05).astype(float) - top // 2
    assert noise.std() == pytest.approx(0.05 * top, rel=0.02)
    assert abs(noise.mean()) < 0.001 * top


@TYPES
@pytest.mark.parametrize("distance", [1, 3, 8])
def test_a_shift_by_whole_pixels_is_a_roll_in_the_interior_and_a_mirror_at_the_border(dtype, distance):
    pixels = image_of(dtype)
    rolled = {(axis, step): np.roll(pixels, step * distance, axis=axis) for axis in (0, 1) for step in (-1, 1)}
    inner = (slice(distance, -distance),) * 2
    met = set()
    for seed in range(24):
        moved = disturbed(pixels, "shift", distance, seed)
        equal = [key for key, other in rolled.items() if np.array_equal(moved[inner], other[inner])]
        assert len(equal) == 1
        met |= set(equal)
        axis, step = equal[0]
        upright = np.moveaxis(moved, axis, 0)[::step]
        source = np.moveaxis(pixels, axis, 0)[::step]
        np.testing.assert_array_equal(upright[:distance], source[:distance][::-1])
    assert met == set(rolled)


def test_a_shift_by_half_a_pixel_is_the_mean_of_two():
    pixels = image_of(np.uint16).astype(np.uint16)
    moved = disturbed(pixels, "shift", 0.5).astype(float)
    means = [(pixels.astype(float) + np.roll(pixels, step, axis)) / 2 for axis in (0, 1) for step in (-1, 1)]
    assert min(np.abs(moved - mean)[1:-1, 1:-1].max() for mean in means) <= 0.5


def test_a_rotation_turns_about_the_centre_one_way_or_the_other():
    pixels = smooth_image(np.uint16)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    ways = set()
    for seed in range(8):
        turned = disturbed(pixels, "rotation", 3.0, seed)
        errors = {}
        for way in (-1, 1):
            cos, sin = np.cos(np.deg2rad(3.0)), way * np.sin(np.deg2rad(3.0))
            x_in, y_in = (cos * x - sin * y) + (SIDE - 1) / 2, (sin * x + cos * y) + (SIDE - 1) / 2
            expected = (0.5 + 0.3 * np.sin(x_in / 9) * np.cos(y_in / 7)) * 65535
            errors[way] = np.abs(turned - expected)[8:-8, 8:-8].max()
        nearest = min(errors, key=errors.get)
        assert errors[nearest] < 0.005 * 65535 < errors[-nearest]
        ways.add(nearest)
    assert ways == {-1, 1}


def test_a_lower_quality_of_jpeg_departs_farther():
    pixels = smooth_image(np.uint8)
    departures = [np.abs(disturbed(pixels, "jpeg", q).astype(float) - pixels).mean() for q in (95, 50, 10)]
    assert 0 < departures[0] < departures[1] < departures[2]


def test_jpeg_sees_the_eight_bits_of_a_16_bit_image():
    pixels = smooth_image(np.uint8)
    wide = pixels.astype(np.uint16) * 257
    expected = disturbed(pixels, "jpeg", 75).astype(np.uint16) * 257
    np.testing.assert_array_equal(disturbed(wide, "jpeg", 75), expected)
    np.testing.assert_array_equal(disturbed(wide + np.uint16(0), "jpeg", 75), expected)


def test_eight_bits_keep_an_8_bit_image_and_round_a_16_bit_one():
    narrow, wide = image_of(np.uint8), image_of(np.uint16)
    np.testing.assert_array_equal(disturbed(narrow, "bit_depth", 8), narrow)
    np.testing.assert_array_equal(disturbed(narrow, "bit_depth", 16), narrow)
    np.testing.assert_array_equal(disturbed(wide, "bit_depth", 16), wide)
    np.testing.assert_array_equal(disturbed(wide, "bit_depth", 8), np.rint(wide / 257) * 257)


@TYPES
@pytest.mark.parametrize("bits", [1, 4, 6])
def test_fewer_bits_leave_the_nearest_of_that_many_even_levels(dtype, bits):
    pixels, top = image_of(dtype), np.iinfo(dtype).max
    levels = np.rint(np.arange(2**bits) * top / (2**bits - 1))
    result = disturbed(pixels, "bit_depth", bits)
    assert set(np.unique(result)) <= set(levels)
    assert {0, top} <= set(np.unique(result))
    nearest = np.abs(pixels[..., None].astype(float) - levels).min(axis=-1)
    assert (np.abs(result - pixels.astype(float)) <= nearest + 1).all()


@KINDS
def test_the_same_generator_state_gives_the_same_pixels(kind):
    pixels = image_of(np.uint8)
    first, again = (disturb(pixels, kind, kind.levels[-1], np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@KINDS
def test_only_what_has_a_direction_or_noise_depends_on_the_generator(kind):
    pixels = image_of(np.uint8)
    results = {disturb(pixels, kind, kind.levels[-1], np.random.default_rng(seed)).tobytes() for seed in range(12)}
    assert (len(results) > 1) == (kind.key in DRAWN)


def test_levels_of_one_image_differ_in_amount_not_in_luck():
    flat = np.full((SIDE, SIDE), 30_000, np.uint16)
    for key in ("noise", "illumination_tilt"):
        less, more = (disturbed(flat, key, amount, seed=3).astype(float) - 30_000 for amount in (0.02, 0.06))
        np.testing.assert_allclose(more, 3 * less, atol=3)


@pytest.mark.parametrize(
    ("key", "amount"),
    [("noise", -0.1), ("gain", np.nan), ("jpeg", 0), ("jpeg", 50.5), ("bit_depth", 17), ("shift", 1e9)],
)
def test_an_amount_out_of_range_is_an_error_that_names_the_range(key, amount):
    with pytest.raises(OptionsError, match=f"{key}.*expected a .*number from"):
        disturbed(image_of(np.uint8), key, amount)


@pytest.mark.parametrize("pixels", [np.zeros((8, 8), np.float32), np.zeros((1, 8, 8), np.uint8)])
def test_what_is_not_canonical_is_refused(pixels):
    with pytest.raises(ImageDepthError, match="canonical"):
        disturbed(pixels, "gain", 0.5)
