"""Planted defects: of the stated size, visible, with a mask of what changed, and the same for the same draw."""

from __future__ import annotations

import math

import numpy as np
import pytest

from waferlens.errors import ImageContentError, OptionsError
from waferlens.images.planted_shapes import SCRATCH_WIDTH_PX
from waferlens.images.planting import (
    MAX_DRAWS,
    PlantKind,
    PlantSpec,
    plant,
)
from waferlens.images.visibility import VISIBLE_DIFFERENCE, noise_level, visible_change

ROWS, COLUMNS = np.mgrid[:256, :256].astype(float)
GREY = np.full((256, 256), 0.5)
NOISE = 0.01
KINDS = list(PlantKind)


def texture(seed=0):
    """Two crossed gratings with noise: structure everywhere, in [0, 1]."""
    waves = np.sin(ROWS / 3) + np.sin(COLUMNS / 5 + ROWS / 40)
    return (0.5 + 0.1 * waves + np.random.default_rng(seed).normal(0, NOISE, waves.shape)).clip(0, 1)


def spec(kind, size=20.0, contrast=0.3):
    return PlantSpec(kind=kind, size_px=size, contrast=contrast if kind.has_contrast else None)


def draw(image, kind, seed=0, size=20.0, **told):
    return plant(image, spec(kind, size), np.random.default_rng(seed), **told)


def extent(mask):
    rows, columns = np.nonzero(mask)
    return np.ptp(rows) + 1, np.ptp(columns) + 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_an_image_keeps_its_type_and_what_is_not_in_the_mask_is_as_good_as_unchanged(kind, dtype):
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    image = np.rint(texture() * top).astype(dtype) if top > 1 else texture().astype(dtype)
    before = image.copy()
    planted, mask = draw(image, kind, seed=3)
    np.testing.assert_array_equal(image, before)
    assert planted.dtype == dtype
    assert planted.shape == mask.shape == (256, 256)
    assert mask.dtype == np.bool_
    assert mask.any()
    assert (planted[mask] != image[mask]).all()
    assert planted.min() >= 0
    assert planted.max() <= top
    changed = np.abs(planted / top - image / top) > 6 * NOISE
    assert (changed & ~mask).sum() <= 0.15 * max(changed.sum(), 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [8.0, 24.0])
def test_the_mask_grows_with_the_size_and_stays_about_it(kind, size):
    for seed in range(3):
        _, mask = draw(texture(), kind, seed=seed, size=size)
        # A blotch and a bend have no edge: they show up to about twice their width at half height.
        reach = 2.2 if kind in (PlantKind.BLOTCH, PlantKind.BENT) else 1.0
        assert max(extent(mask)) <= reach * size + 8
        assert mask.sum() >= 0.05 * size


@pytest.mark.parametrize("diameter", [6.0, 15.5, 40.0])
def test_a_blotch_has_its_diameter_at_half_height_and_its_contrast_at_its_centre(diameter):
    planted, _ = draw(GREY, PlantKind.BLOTCH, size=diameter)
    change = np.abs(planted - GREY)
    assert change.max() == pytest.approx(0.3, rel=0.05)
    area = (change >= 0.15).sum()
    assert area == pytest.approx(math.pi * diameter**2 / 4, rel=0.15)


@pytest.mark.parametrize("length", [12.0, 50.0])
def test_a_scratch_has_its_length_and_its_width(length):
    for seed in range(4):
        planted, _ = draw(GREY, PlantKind.SCRATCH, seed=seed, size=length)
        change = np.abs(planted - GREY)
        place = np.argwhere(change >= 0.15)
        span = np.linalg.norm(place[:, None] - place[None], axis=2).max() + 1
        assert span == pytest.approx(length, abs=3.5)
        assert change.sum() / 0.3 == pytest.approx(1.064 * length * SCRATCH_WIDTH_PX, rel=0.1)


@pytest.mark.parametrize("side", [9.0, 31.0])
def test_an_erased_window_has_its_side_and_neither_structure_nor_silence_in_it(side):
    image = texture()
    planted, _ = draw(image, PlantKind.ERASED, size=side)
    rows, columns = np.nonzero(planted != image)
    height, width = extent(np.abs(planted - image) > 1e-9)
    assert side <= min(height, width)
    assert max(height, width) <= side + 12  # the soft edge, down to nothing
    inner = planted[rows.min() + 8 : rows.max() - 7, columns.min() + 8 : columns.max() - 7]
    if inner.size > 100:
        assert inner.std() == pytest.approx(noise_level(image), rel=0.25)


def test_a_pasted_window_shows_another_place_of_the_same_image():
    image = texture()
    planted, mask = draw(image, PlantKind.PASTED, size=32.0)
    (row, column) = np.argwhere(mask).mean(axis=0).round().astype(int)
    patch = planted[row - 6 : row + 6, column - 6 : column + 6]
    windows = np.lib.stride_tricks.sliding_window_view(image, patch.shape)
    distances = np.abs(windows - patch).max(axis=(2, 3))
    there = np.argwhere(distances < 1e-6)
    assert len(there) == 1
    assert np.abs(there[0] - (row - 6, column - 6)).max() >= 16


def test_a_moved_window_is_shifted_by_a_quarter_of_its_side_in_whole_pixels():
    image = texture()
    for seed in range(4):
        planted, mask = draw(image, PlantKind.MOVED, seed=seed, size=32.0)
        (row, column) = np.argwhere(mask).mean(axis=0).round().astype(int)
        patch = planted[row - 5 : row + 5, column - 5 : column + 5]
        steps = [
            (down, right)
            for down in range(-9, 10)
            for right in range(-9, 10)
            if np.allclose(image[row - down - 5 : row - down + 5, column - right - 5 : column - right + 5], patch)
        ]
        assert len(steps) == 1
        assert math.hypot(*steps[0]) == pytest.approx(8, abs=0.75)


def test_a_bend_displaces_by_an_eighth_of_its_diameter_at_most_and_folds_nothing():
    ramp = COLUMNS / 255
    found = [
        255 * np.abs(draw(ramp, PlantKind.BENT, seed=seed, size=40.0).image - ramp).max() for seed in range(6)
    ]
    assert max(found) == pytest.approx(5, abs=0.8)
    assert all(distance <= 5.01 for distance in found)
    bent = draw(ramp, PlantKind.BENT, seed=1, size=40.0).image
    assert (np.diff(bent[:, 8:-8], axis=1) > -1e-9).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_draw_gives_the_same_defect_and_another_another(kind):
    first, again, other = (draw(texture(), kind, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert (first.image != other.image).any()


@pytest.mark.parametrize("kind", [PlantKind.PASTED, PlantKind.MOVED, PlantKind.ERASED, PlantKind.BENT])
@pytest.mark.parametrize("image", ["blank", "noise"])
def test_what_nobody_could_see_is_given_up_after_a_bounded_number_of_places(kind, image):
    noise = np.random.default_rng(0).normal(0, 0.05, GREY.shape)
    pixels = GREY if image == "blank" else (GREY + noise).clip(0, 1)
    with pytest.raises(ImageContentError, match=rf"'{kind}', 20 pixels.*visible.*none in {MAX_DRAWS} places"):
        draw(pixels, kind)


def test_a_place_where_nothing_shows_is_drawn_again_where_something_does():
    half = np.where(COLUMNS < 128, 0.5, texture())
    for seed in range(8):
        _, mask = draw(half, PlantKind.MOVED, seed=seed)
        assert mask[:, 110:].any()
        assert not mask[:, :110].any()


def test_a_bright_mark_on_white_does_not_count_and_is_drawn_dark():
    white = np.full((256, 256), 255, np.uint8)
    for seed in range(8):
        planted, mask = draw(white, PlantKind.BLOTCH, seed=seed)
        assert planted[mask].max() < 255


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_lies_and_shows_within_the_region_that_is_given(kind):
    region = np.zeros((256, 256), bool)
    region[100:150, 60:110] = True
    for seed in range(4):
        _, mask = draw(texture(), kind, seed=seed, within=region)
        assert (mask & region).any()
        assert abs(np.argwhere(mask).mean(axis=0) - (125, 85)).max() < 40


def test_a_region_without_room_is_an_error():
    with pytest.raises(ImageContentError, match="room for kind 'blotch', 20 pixels"):
        draw(texture(), PlantKind.BLOTCH, within=np.zeros((256, 256), bool))


@pytest.mark.parametrize("size", [0.5, 200.0, float("nan")])
def test_a_size_out_of_range_is_refused(size):
    with pytest.raises(OptionsError, match="size of a planted defect; expected 1 to 128 pixels"):
        spec(PlantKind.BENT, size)


@pytest.mark.parametrize(
    ("kind", "contrast"), [("blotch", None), ("scratch", 0.0), ("blotch", 1.5), ("moved", 0.3)]
)
def test_a_contrast_belongs_to_the_kinds_that_have_one_and_lies_in_range(kind, contrast):
    with pytest.raises(OptionsError, match=f"contrast of kind '{kind}'"):
        PlantSpec(kind=PlantKind(kind), size_px=10, contrast=contrast)


@pytest.mark.parametrize(
    "image",
    [np.zeros((10, 10)), np.zeros((256, 256), np.int32), np.full((256, 256), np.nan), np.full((256, 256), 2.0)],
)
def test_what_is_no_image_in_range_is_refused(image):
    with pytest.raises(ImageContentError, match="expected"):
        draw(image, PlantKind.BLOTCH)


def test_noise_is_measured_beside_structure():
    for sigma in (0.0, 0.005, 0.02):
        image = 0.5 + 0.2 * np.sin(COLUMNS / 4) + np.random.default_rng(1).normal(0, sigma, GREY.shape)
        assert noise_level(image) == pytest.approx(sigma, rel=0.05, abs=1e-6)


def test_a_change_is_visible_by_its_height_over_the_noise_and_not_where_nothing_changed():
    change = np.zeros((256, 256))
    change[100:120, 100:120] = 2 * VISIBLE_DIFFERENCE
    visible = visible_change(GREY, GREY + change, noise=0.0)
    assert visible[102:118, 102:118].all()
    assert not visible[change == 0].any()
    assert not visible_change(GREY, GREY + change, noise=0.1).any()
