"""Random damage: inside its mask only, visible, repeatable, and different every time."""

import numpy as np
import pytest
from scipy import ndimage

import tiny
from waferlens.images import damage as damages
from waferlens.images.damage import SIZES_PX, VISIBLE_DIFFERENCE, damage


@pytest.fixture(scope="module")
def images():
    return (tiny.normals(6).pixels / 255).astype(np.float32)


@pytest.fixture(scope="module")
def spoiled(images):
    return [damage(images[0], images, np.random.default_rng(seed)) for seed in range(60)]


def test_damage_stays_in_range_and_shows(images, spoiled):
    for image, mask in spoiled:
        assert image.dtype == np.float32
        assert (image.min(), image.max()) >= (0, 0)
        assert image.max() <= 1
        assert mask.sum() >= 8
        change = np.abs(ndimage.gaussian_filter(image - images[0], 1.0))
        assert (change[mask] > VISIBLE_DIFFERENCE).all()
        assert (change[~mask] <= VISIBLE_DIFFERENCE).all()


def test_what_lies_far_from_the_mask_is_untouched(images, spoiled):
    for image, mask in spoiled:
        if mask.sum() < mask.size / 4:
            rows, columns = np.nonzero(mask)
            centre = np.array([rows.mean(), columns.mean()])
            away = np.hypot(*(np.mgrid[:256, :256] - centre[:, None, None])) > 3 * SIZES_PX[1]
            np.testing.assert_array_equal(image[away], images[0][away])


def test_damage_comes_small_and_large_and_anywhere(spoiled):
    sizes = sorted(mask.sum() for _, mask in spoiled)
    assert sizes[5] < 100 < 600 < sizes[-5]
    rows, columns = np.array([ndimage.center_of_mass(mask) for _, mask in spoiled]).T
    for places in (rows, columns):
        assert places.min() < 60
        assert places.max() > 196


def test_an_image_has_as_many_patches_as_are_asked_for_at_most(images):
    def num_apart(most_patches):
        found = (damage(images[0], images, np.random.default_rng(seed), most_patches).mask for seed in range(40))
        return [ndimage.label(ndimage.binary_dilation(mask, iterations=6))[1] for mask in found]

    one, many = num_apart(1), num_apart(5)
    assert sorted(one)[20] == 1
    assert np.mean(many) > np.mean(one) + 0.7
    assert max(many) >= 4


def test_what_is_healed_or_grown_over_lies_beside():
    rows, _ = np.mgrid[:256, :256].astype(np.float32) / 255
    both_sides = [damages._sides(rows, np.random.default_rng(seed)) for seed in range(8)]
    for above, below in both_sides:
        distance = round(255 * float(rows[128, 0] - above[128, 0]))
        assert distance == 0 or 4 <= distance <= 24
        np.testing.assert_allclose((above + below)[32:224] / 2, rows[32:224], atol=1e-6)


def test_the_same_generator_gives_the_same_damage(images):
    one, other = (damage(images[1], images, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.mask, other.mask)


def test_the_image_that_is_damaged_is_not_changed(images):
    before = images[2].copy()
    damage(images[2], images, np.random.default_rng(0))
    np.testing.assert_array_equal(images[2], before)


def test_a_blank_image_is_damaged_by_what_shows_on_it():
    blank = np.full((256, 256), 0.5, np.float32)
    found = [damage(blank, blank[None], np.random.default_rng(seed)) for seed in range(5)]
    assert all(mask.any() for _, mask in found)


def test_where_nothing_can_show_the_image_stays_as_it_is(monkeypatch):
    blank = np.full((256, 256), 0.5, np.float32)
    monkeypatch.setattr(damages, "_KINDS", (damages._a_place_nearby, damages._less_detail))
    image, mask = damage(blank, blank[None], np.random.default_rng(0))
    np.testing.assert_array_equal(image, blank)
    assert not mask.any()


@pytest.mark.parametrize("kind", damages._KINDS, ids=lambda kind: kind.__name__.strip("_"))
def test_every_kind_shows_something_else(images, kind, monkeypatch):
    monkeypatch.setattr(damages, "_KINDS", (kind,))
    found = [damage(images[0], images, np.random.default_rng(seed)) for seed in range(4)]
    assert sum(mask.any() for _, mask in found) >= 3
