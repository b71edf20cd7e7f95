"""What the network is fed: normalised images by index, and varied copies of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny
from waferlens.images.augment import AugmentationOptions, augment
from waferlens.models.normalise import Normalise, NormaliseOptions
from waferlens.training import feed as feed_module
from waferlens.training.augment import augment_batch, augment_on_device
from waferlens.training.feed import Feed, as_tensor

CPU = torch.device("cpu")
ROWS = np.array([3, 0, 17, 5, 40, 11])


class StreamedFeed(Feed):
    """A feed that keeps nothing, as one of half a million images."""

    def __init__(self, *parts):
        super().__init__(*parts)
        self._kept = None


@pytest.fixture(scope="module")
def kept(normals):
    return Feed(normals, ROWS, Normalise(NormaliseOptions()), CPU)


@pytest.fixture(scope="module")
def streamed(normals):
    return StreamedFeed(normals, ROWS, Normalise(NormaliseOptions()), CPU)


def test_a_feed_counts_and_names_its_rows(kept, normals):
    assert len(kept) == 6
    assert kept.names == tuple(normals.names[row] for row in ROWS)


def test_a_feed_that_keeps_its_images_gives_what_one_that_streams_them_gives(kept, streamed):
    for indices in (np.array([0]), np.array([5, 1, 1]), np.arange(6)):
        torch.testing.assert_close(kept.take(indices), streamed.take(indices), atol=1e-6, rtol=0)


def test_index_i_is_the_normalised_image_of_row_i(streamed, normals):
    expected = Normalise(NormaliseOptions())(torch.from_numpy(normals.pixels[[17, 3]])[:, None])
    torch.testing.assert_close(streamed.take(np.array([2, 0])), expected)


def test_batches_come_in_the_order_that_was_asked_for(kept):
    order = [np.array([4, 2]), np.array([0, 1, 3]), np.array([5])]
    batches = list(kept.batches(iter(order)))
    assert len(batches) == 3
    for batch, indices in zip(batches, order, strict=True):
        assert torch.equal(batch, kept.take(indices))


def test_no_order_gives_no_batches(kept):
    assert list(kept.batches(iter(()))) == []


def test_an_error_in_fetching_reaches_the_one_who_asked(streamed):
    with pytest.raises(IndexError):
        list(streamed.batches(iter([np.array([0]), np.array([99])])))


def test_sixteen_bit_pixels_are_read_on_their_full_scale(normals):
    wide = replace(normals, pixels=normals.pixels.astype(np.uint16) * np.uint16(257))
    torch.testing.assert_close(as_tensor(wide.take([1])), as_tensor(normals.take([1])).float() / 255)
    plain = NormaliseOptions(flat_field=False, percentiles=False)
    first, second = (Feed(images, ROWS, Normalise(plain), CPU).take(np.arange(6)) for images in (normals, wide))
    torch.testing.assert_close(first, second)


def test_large_sets_are_not_kept():
    assert feed_module._KEEP_BYTES < 500_000 * 4 * 256**2


@pytest.mark.parametrize(
    "options",
    [
        AugmentationOptions(noise_sigma=0),
        AugmentationOptions(noise_sigma=0, rotation_degrees=30, shift_pixels=20),
        AugmentationOptions(noise_sigma=0, horizontal_flip=True, vertical_flip=True, gain=0.3, offset=0.1),
    ],
)
def test_tensor_operations_vary_images_as_the_numpy_twin_does(kept, options):
    batch = kept.take(np.arange(6))
    ours = augment_on_device(batch, options, np.random.default_rng(8))
    twin = augment(batch.numpy(), options, np.random.default_rng(8))
    torch.testing.assert_close(ours, torch.from_numpy(twin), atol=2e-3, rtol=0)
    assert (ours - torch.from_numpy(twin)).abs().mean() < 2e-5


def test_the_noise_of_both_has_the_stated_deviation():
    grey = torch.full((8, 1, 256, 256), 0.5)
    options = AugmentationOptions(rotation_degrees=0, shift_pixels=0, gain=0, offset=0, noise_sigma=0.02)
    for varied in (
        augment_on_device(grey, options, np.random.default_rng(1)),
        augment_batch(grey, options, np.random.default_rng(1)),
    ):
        assert varied.std().item() == pytest.approx(0.02, rel=0.05)
        assert varied.mean().item() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("vary", [augment_batch, augment_on_device])
def test_the_same_generator_gives_the_same_variation_and_leaves_the_original_alone(kept, vary):
    batch = kept.take(np.arange(6))
    before = batch.clone()
    first, second = (vary(batch, AugmentationOptions(), np.random.default_rng(4)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(batch, before)
    assert not torch.equal(first, batch)
    assert first.min() >= 0
    assert first.max() <= 1


def test_plain_normalisation_is_what_it_says(normals):
    feed = Feed(normals, ROWS, tiny.plain(), CPU)
    torch.testing.assert_close(feed.take(np.array([1])), as_tensor(normals.take([0])) / 255)
