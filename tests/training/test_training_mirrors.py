from __future__ import annotations

import numpy as np
import pytest
import torch

import tiny
from waferlens.images.augment import AugmentationOptions
from waferlens.training.feed import Feed
from waferlens.training.mirrors import FEWEST_IMAGES, settled, told_apart

AUTO = AugmentationOptions(horizontal_flip="auto", vertical_flip="auto")


def feed_of(pixels: np.ndarray) -> Feed:
    return Feed(tiny.pack(pixels), np.arange(len(pixels)), tiny.plain(), torch.device("cpu"))


def images(rng: np.random.Generator, num: int = 40, mark: tuple[slice, slice] | None = None) -> np.ndarray:
    """Grain of a brightness of its own and a bar across that stays in its place; with ``mark``, a mark too."""
    grey = rng.normal(120, 12, (num, 1, 1)) + rng.normal(0, 10, (num, 256, 256))
    grey[:, 120:136] += 60
    if mark is not None:
        grey[(slice(None), *mark)] += 40
    return grey.clip(0, 255).astype(np.uint8)


def decided(pixels: np.ndarray, options: AugmentationOptions = AUTO) -> tuple[object, object]:
    found = settled(options, feed_of(pixels))
    return found.horizontal_flip, found.vertical_flip


def test_a_product_that_is_the_same_in_a_mirror_is_mirrored():
    assert decided(images(np.random.default_rng(0))) == (True, True)


def test_one_small_mark_in_a_corner_is_enough_not_to():
    corner = images(np.random.default_rng(0), mark=(slice(20, 36), slice(200, 216)))
    assert decided(corner) == (False, False)


def test_each_direction_is_decided_by_itself():
    below = images(np.random.default_rng(0), mark=(slice(200, 216), slice(0, 256)))
    assert decided(below) == (True, False)


def test_too_few_images_say_nothing():
    few = images(np.random.default_rng(0), num=FEWEST_IMAGES - 1)
    assert decided(few) == (False, False)


def test_what_a_recipe_says_is_not_asked_again():
    corner = images(np.random.default_rng(0), mark=(slice(20, 36), slice(200, 216)))
    told = AugmentationOptions(horizontal_flip=True, vertical_flip=False)
    assert settled(told, feed_of(corner)) is told
    half = AugmentationOptions(horizontal_flip=True, vertical_flip="auto")
    assert decided(corner, half) == (True, False)


@pytest.mark.parametrize(("num", "told_apart_by_chance"), [(16, 0.5), (40, 0.15), (200, 0.0)])
def test_the_more_images_the_more_rarely_chance_tells_symmetric_ones_apart(num, told_apart_by_chance):
    rng = np.random.default_rng(num)
    apart = [
        told_apart(torch.from_numpy(rng.normal(size=(num, 2, 32, 32)).astype(np.float32)), 3) for _ in range(40)
    ]
    assert np.mean(np.array(apart) > 0.6) <= told_apart_by_chance
    assert 0.5 <= np.mean(apart) < 0.6


def test_a_flip_that_is_not_decided_yet_mirrors_nothing():
    from waferlens.images.augment import sample_augmentations

    drawn = sample_augmentations(AUTO, 64, np.random.default_rng(1))
    assert (drawn.matrices[:, 0, 0] > 0).all()
    assert (drawn.matrices[:, 1, 1] > 0).all()
