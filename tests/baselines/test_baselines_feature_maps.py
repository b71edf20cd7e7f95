"""Features without a VAE: a Gaussian at every position, a nearest neighbour from anywhere."""

import numpy as np
import pytest
import torch

from waferlens.baselines.feature_maps import (
    FeatureBaselineOptions,
    _inverse_factors,
    fit_feature_baselines,
)
from waferlens.errors import DataError
from waferlens.models.normalise import Normalise, NormaliseOptions
from waferlens.training.feed import Feed

OPTIONS = FeatureBaselineOptions(bank_size=200, candidates=4_000)


def feed_of(images, num_images):
    return Feed(images, np.arange(num_images), Normalise(NormaliseOptions()), torch.device("cpu"))


@pytest.fixture(scope="module")
def feed(normals):
    return feed_of(normals, 36)


@pytest.fixture(scope="module")
def fitted(feed):
    return fit_feature_baselines(feed, OPTIONS)


def test_the_gaussian_is_the_mahalanobis_distance_of_the_position(fitted, feed):
    network = fitted["feature-gaussian"]
    images = feed.take(np.arange(len(feed)))
    with torch.inference_mode():
        features = network.trunk.raw_features(images).flatten(2).double()
        found = network(images)[2][:, 0].flatten(1)
    by_position = features.permute(2, 0, 1)
    centred = by_position - by_position.mean(1, keepdim=True)
    covariance = centred.mT @ centred / (len(feed) - 1)
    pooled = covariance.mean(0)
    pooled += 1e-3 * pooled.diagonal().mean() * torch.eye(len(pooled))
    share = OPTIONS.prior_images / (OPTIONS.prior_images + len(feed))
    for position in (0, 515, 1023):
        shrunk = (1 - share) * covariance[position] + share * pooled
        here = centred[position]
        squared = (here @ torch.linalg.inv(shrunk) * here).sum(1) / len(pooled)
        np.testing.assert_allclose(found[:, position], squared.sqrt(), rtol=2e-2)


@pytest.mark.parametrize("name", ["feature-gaussian", "feature-neighbour"])
def test_a_mark_departs_where_it_is(fitted, feed, name):
    images = feed.take(np.arange(4))
    marred = images.clone()
    marred[..., 120:136, 88:104] = 1 - marred[..., 120:136, 88:104]
    with torch.inference_mode():
        clean, found = fitted[name](images)[2], fitted[name](marred)[2]
    rise = (found - clean).amin(1)  # at both scales
    assert (rise[:, 14:18, 10:14].amax((1, 2)) > 2 * rise[:, :, 24:].abs().amax((1, 2))).all()


def test_a_vector_of_the_bank_is_at_no_distance_from_it(fitted, feed):
    network = fitted["feature-neighbour"]
    assert [scale.bank.shape for scale in network.scales] == [(OPTIONS.bank_size, 152)] * 2
    with torch.inference_mode():
        departure = network(feed.take(np.arange(len(feed))))[2]
    assert departure.shape == (len(feed), 2, 32, 32)
    assert departure.min() < 0.05 < departure.median()


def test_inverse_factors_whiten():
    generator = torch.Generator().manual_seed(2)
    roots = torch.randn(3, 5, 5, generator=generator)
    covariance = roots @ roots.mT
    expected = covariance.clone()
    factors = _inverse_factors(covariance, 1e-9)
    torch.testing.assert_close(factors @ expected @ factors.mT, torch.eye(5).expand(3, 5, 5), atol=2e-2, rtol=0)


def test_two_images_are_too_few(normals):
    with pytest.raises(DataError, match="too few"):
        fit_feature_baselines(feed_of(normals, 2), OPTIONS)
