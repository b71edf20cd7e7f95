"""When there is a bank of normal features, and what is kept in it."""

import numpy as np
import pytest
import runs
import torch

import tiny
from waferlens.models.backbone import pretrained
from waferlens.models.detector import DetectorOptions
from waferlens.models.feature_bank import FeatureBankOptions
from waferlens.models.feature_vae import FeatureVAEOptions, averaged
from waferlens.training.feature_bank import covering, learn_feature_bank
from waferlens.training.feed import Feed

NETWORK = FeatureVAEOptions(width=8, squeezed=4, whitening_rank=4)


@pytest.fixture(scope="module")
def feed(normals):
    return runs.feeds_of(normals)[0]


def filled(feed, size=200, seed=0):
    return filled_and_distances(feed, size, seed)[0]


def filled_and_distances(feed, size=200, seed=0, num_held_out=4):
    options = DetectorOptions(network=NETWORK, feature_bank=FeatureBankOptions(enabled=True, size=size))
    detector = tiny.detector(0, options)
    detector.network.backbone.load_state_dict(pretrained().state_dict())
    return detector, learn_feature_bank(detector, feed, seed, num_held_out)


def test_what_a_training_image_shows_is_nearer_than_what_a_mark_does(feed):
    detector = filled(feed)
    image = feed.take(np.arange(4))
    marred = image.clone()
    marred[..., 120:136, 88:104] = 1 - marred[..., 120:136, 88:104]
    with torch.inference_mode():
        clean, found = (detector.answer(one).distance for one in (image, marred))
    rise = found - clean
    assert (rise[:, 0, 14:18, 10:14].amax((1, 2)) > 2 * rise[:, 0, 24:].abs().amax((1, 2))).all()
    assert clean.median() < found[:, 0, 14:18, 10:14].amax()


def test_the_same_seed_keeps_the_same(feed):
    one, other, another = filled(feed, seed=3), filled(feed, seed=3), filled(feed, seed=4)
    assert torch.equal(one.feature_bank.vectors, other.feature_bank.vectors)
    assert not torch.equal(one.feature_bank.vectors, another.feature_bank.vectors)


def test_more_room_than_there_is_to_keep_changes_no_distance(normals):
    few = runs.feeds_of(tiny.pack(normals.pixels[:4]))[0]
    vectors = len(few) * 1024
    with torch.inference_mode():
        image = few.take(np.arange(2)).flip(3)
        full, roomy = (filled(few, size).answer(image).distance for size in (vectors, vectors + 500))
    torch.testing.assert_close(full, roomy)


def test_the_distances_of_training_images_are_from_what_the_others_show(normals):
    """With room for everything, the bank of the others is all that they show."""
    twelve = runs.feeds_of(tiny.pack(normals.pixels[:20]))[0]
    assert len(twelve) == 12
    detector, distances = filled_and_distances(twelve, size=12 * 1024)
    image = twelve.take(np.arange(12))
    with torch.inference_mode():
        shown = averaged(detector.network.raw_features(image)) / detector.feature_bank.scale
        vectors = shown.flatten(2).mT
        for one in (0, 5, 11):
            others = torch.cat([vectors[k] for k in range(12) if k % 10 != one % 10])
            expected = torch.cdist(vectors[one], others).amin(1).view(1, 32, 32)
            torch.testing.assert_close(distances[one], expected, rtol=1e-3, atol=2e-3)
        assert distances.median() > 10 * detector.answer(image).distance.median()


@pytest.mark.parametrize(("num_held_out", "expected"), [(4, 12), (12, 8), (20, 0), (400, 0)])
def test_training_images_help_only_where_few_are_held_out(normals, num_held_out, expected):
    twelve = runs.feeds_of(tiny.pack(normals.pixels[:20]))[0]
    distances = filled_and_distances(twelve, num_held_out=num_held_out)[1]
    assert distances.shape == (expected, 1, 32, 32)
    assert (distances > 0).float().mean() > 0.99 or not expected


def test_one_training_image_has_no_others_to_be_far_from(normals):
    one = Feed(normals, np.arange(1), tiny.plain(), torch.device("cpu"))
    assert filled_and_distances(one)[1].shape == (0, 1, 32, 32)


def test_a_covering_leaves_no_vector_far_away():
    generator = torch.Generator().manual_seed(1)
    corners = torch.randn(20, 50, generator=generator) * 10
    vectors = (corners[:, None] + 0.1 * torch.randn(20, 30, 50, generator=generator)).flatten(0, 1)
    bank = covering(vectors, 20, generator)
    assert torch.cdist(corners, bank).amin(1).max() < 2


def test_only_a_detector_with_a_bank_learns_one(feed):
    with pytest.raises(ValueError, match="no bank"):
        learn_feature_bank(tiny.detector(), feed, 0)
