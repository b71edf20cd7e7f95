"""The bank of normal features by itself, and what the error map and the detector make of its distance."""

import pytest
import torch

import tiny
from waferlens.models.detector import DetectorOptions, build_detector
from waferlens.models.discriminator import DiscriminatorOptions
from waferlens.models.error_map import ErrorMap, ErrorMapOptions
from waferlens.models.feature_bank import FeatureBank, FeatureBankOptions, nearest_distance
from waferlens.models.feature_vae import NUM_FEATURES, FeatureVAEOptions

BANK = FeatureBankOptions(enabled=True, size=30)
NETWORK = FeatureVAEOptions(width=8, squeezed=4)
JUDGE = DiscriminatorOptions(enabled=True, width=4, trunk=8)


def filled(seed: int = 0) -> FeatureBank:
    torch.manual_seed(seed)
    bank = FeatureBank(BANK)
    bank.vectors.normal_()
    bank.scale.uniform_(0.5, 2.0)
    return bank


def test_the_distance_is_the_euclidean_one_to_the_nearest_vector():
    torch.manual_seed(1)
    queries, vectors = torch.randn(2, 7, 5), torch.randn(11, 5)
    expected = torch.stack([(query[:, None] - vectors).square().sum(-1).sqrt().amin(1) for query in queries])
    torch.testing.assert_close(nearest_distance(queries, vectors), expected)


def test_a_vector_of_the_bank_is_at_no_distance_wherever_it_is_seen():
    bank = filled()
    features = torch.randn(1, NUM_FEATURES, 32, 32)
    features[0, :, 4:7, 20:23] = (bank.vectors[17][:, None, None] * bank.scale).expand(-1, 3, 3)
    found = bank(features)
    assert found.shape == (1, 1, 32, 32)
    assert found[0, 0, 5, 21] < 1e-2 < 1 < found[0, 0, 20:, :].min()


@pytest.mark.parametrize("judge", [DiscriminatorOptions(), JUDGE])
def test_a_detector_with_one_judges_one_map_more(judge):
    without, within = (
        tiny.detector(2, DetectorOptions(network=NETWORK, discriminator=judge, feature_bank=bank))
        for bank in (FeatureBankOptions(), BANK)
    )
    assert without.feature_bank is None
    assert within.error_map.num_maps == without.error_map.num_maps + 1
    assert within.num_parameters == without.num_parameters
    within.feature_bank.vectors.normal_()
    with torch.inference_mode():
        image = torch.rand(2, 1, 256, 256)
        assert without.answer(image).distance is None
        assert within.answer(image, alone=True).distance is None
        assert within.answer(image).distance.shape == (2, 1, 32, 32)
        judged = within(image)
    assert judged.heatmap.shape == (2, 1, 256, 256)
    assert torch.isfinite(judged.score).all()


def test_a_distance_counts_as_much_as_departure_and_suspicion_together():
    error_map = ErrorMap(ErrorMapOptions(), 2, with_distance=True, with_suspicion=True)
    error_map.error_mean.copy_(torch.tensor([0.1, 0.2, 3.0, -2.0]).view(1, 4, 1, 1).expand(1, 4, 256, 256))
    error_map.error_deviation.copy_(torch.tensor([0.5, 0.4, 2.0, 4.0]).view(1, 4, 1, 1).expand(1, 4, 256, 256))
    image, departure = torch.rand(1, 1, 256, 256), torch.rand(1, 2, 32, 32)
    distance, suspicion = 5 * torch.rand(1, 1, 32, 32), 10 * torch.rand(1, 1, 32, 32)
    told = image, image, departure, None, distance, suspicion
    each = (error_map.smoothed_error(*told) - error_map.error_mean) / error_map.error_deviation
    expected = (each[:, :2].amax(1) + 2 * each[:, 2] + each[:, 3]) / 4
    torch.testing.assert_close(error_map(*told).heatmap[:, 0], expected)


def test_a_network_over_pixels_has_no_features_to_keep():
    with pytest.raises(ValueError, match=r"feature-vae.*pixel-vae"):
        DetectorOptions(network=tiny.NETWORK, feature_bank=BANK)


def test_what_is_left_to_training_images_is_not_built_before_they_decided():
    auto = {"enabled": "auto"}
    for undecided in ({"feature_bank": auto}, {"discriminator": auto}):
        options = DetectorOptions.model_validate({"network": NETWORK.model_dump(), **undecided})
        with pytest.raises(ValueError, match="training images"):
            build_detector(options)
