"""The discriminator by itself, and what the error map and the detector make of its suspicion."""

import pytest
import torch

import tiny
from waferlens.models.detector import Detector, DetectorOptions, build_detector
from waferlens.models.discriminator import Discriminator, DiscriminatorOptions
from waferlens.models.error_map import ErrorMap, ErrorMapOptions
from waferlens.models.feature_vae import NUM_FEATURES, FeatureVAEOptions

SMALL = DiscriminatorOptions(enabled=True, width=4, trunk=8)


def test_it_gives_log_odds_for_every_cell():
    torch.manual_seed(0)
    found = Discriminator(DiscriminatorOptions()).eval()(torch.rand(2, 1, 256, 256), torch.rand(2, 1, 256, 256))
    assert found.shape == (2, 1, 32, 32)
    assert found.dtype == torch.float32


def test_with_features_it_looks_at_them_too():
    torch.manual_seed(0)
    judge = Discriminator(SMALL, num_features=6).eval()
    image = torch.rand(1, 1, 256, 256)
    one, other = (judge(image, image, torch.randn(1, 6, 32, 32)) for _ in range(2))
    assert (one - other).abs().max() > 1e-4


def test_it_is_told_no_position():
    """What moves by whole cells is suspected alike, away from the border."""
    torch.manual_seed(0)
    judge = Discriminator(SMALL).eval()
    image, expected = torch.zeros(2, 1, 256, 256), torch.zeros(2, 1, 256, 256)
    image[0, :, 120:130, 120:130] = image[1, :, 136:146, 104:114] = 1.0
    with torch.inference_mode():
        found = judge(image, expected)
    torch.testing.assert_close(found[0, 0, 11:20, 11:20], found[1, 0, 13:22, 9:18], rtol=1e-4, atol=1e-5)


def test_a_detector_without_one_is_as_it_was():
    plain = build_detector(DetectorOptions(network=tiny.NETWORK))
    assert plain.discriminator is None
    assert plain.error_map.error_mean.shape == (1, 1, 256, 256)
    assert plain.answer(torch.rand(1, 1, 256, 256)).suspicion is None


@pytest.mark.parametrize("network", [tiny.NETWORK, FeatureVAEOptions(width=8, squeezed=4)])
def test_a_detector_with_one_judges_one_map_more(network):
    options = DetectorOptions(network=network, discriminator=SMALL)
    detector = build_detector(options)
    assert detector.error_map.num_maps == detector.error_map.num_departures + 1
    learned = sum(weight.numel() for weight in detector.discriminator.parameters())
    assert detector.num_parameters == sum(weight.numel() for weight in detector.network.parameters()) + learned
    with torch.inference_mode():
        image = torch.rand(2, 1, 256, 256)
        answer = detector.answer(image)
        assert detector.answer(image, alone=True).suspicion is None
        judged = detector(image)
    assert answer.suspicion.shape == (2, 1, 32, 32)
    assert judged.heatmap.shape == (2, 1, 256, 256)
    assert torch.isfinite(judged.score).all()
    if isinstance(network, FeatureVAEOptions):
        assert answer.evidence.shape == (2, 2 * NUM_FEATURES, 32, 32)


def test_the_network_starts_from_the_same_weights_with_and_without():
    detectors = [
        tiny.detector(3, DetectorOptions(network=tiny.NETWORK, discriminator=told))
        for told in (SMALL, DiscriminatorOptions())
    ]
    first, second = (detector.network.state_dict() for detector in detectors)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_heatmap_is_the_mean_of_departure_and_suspicion():
    error_map = ErrorMap(ErrorMapOptions(), with_suspicion=True)
    error_map.error_mean.copy_(torch.tensor([0.1, -2.0]).view(1, 2, 1, 1).expand(1, 2, 256, 256))
    error_map.error_deviation.copy_(torch.tensor([0.5, 4.0]).view(1, 2, 1, 1).expand(1, 2, 256, 256))
    image = torch.rand(1, 1, 256, 256)
    departure, suspicion = torch.rand(1, 1, 32, 32), 10 * torch.rand(1, 1, 32, 32)
    raw = error_map.smoothed_error(image, image, departure, None, None, suspicion)
    expected = ((raw[:, :1] - 0.1) / 0.5 + (raw[:, 1:] + 2.0) / 4.0) / 2
    torch.testing.assert_close(error_map(image, image, departure, None, None, suspicion).heatmap, expected)


def test_a_departure_counts_alone_where_it_goes_far_enough():
    error_map = ErrorMap(ErrorMapOptions(), with_suspicion=True)
    error_map.alone_stretch.fill_(0.5)
    error_map.alone_shift.fill_(-2.0)
    maps = torch.zeros(1, 2, 256, 256)
    maps[0, 0, :64], maps[0, 0, 64:128], maps[0, 1] = 9.0, 1.0, -8.0
    heatmap = error_map.heatmap(maps, error_map.error_mean, error_map.error_deviation)
    assert (heatmap[0, 0, :64] == 0.5 * 9.0 - 2.0).all()
    assert (heatmap[0, 0, 64:128] == 0.5 * 1.0 - 2.0).all()
    assert (heatmap[0, 0, 128:] == -2.0).all()
    assert (error_map.heatmap(maps.abs(), error_map.error_mean, error_map.error_deviation)[0, 0, :64] == 8.5).all()


def test_of_several_departures_the_largest_is_averaged_with_the_suspicion():
    error_map = ErrorMap(ErrorMapOptions(), 2, with_suspicion=True)
    image = torch.rand(1, 1, 256, 256)
    departure, suspicion = torch.rand(1, 2, 32, 32), torch.rand(1, 1, 32, 32)
    raw = error_map.smoothed_error(image, image, departure, None, None, suspicion)
    expected = (raw[:, :2].amax(dim=1, keepdim=True) + raw[:, 2:]) / 2
    torch.testing.assert_close(error_map.heatmap(raw, error_map.error_mean, error_map.error_deviation), expected)


def test_the_reconstruction_error_is_that_of_the_summary():
    error_map = ErrorMap(ErrorMapOptions())
    image, expected = torch.rand(3, 1, 256, 256), torch.rand(3, 1, 256, 256)
    torch.testing.assert_close(
        error_map.reconstruction_error(image, expected), error_map(image, expected).reconstruction_error
    )


def test_suspicion_raises_the_score_where_the_expected_image_says_nothing():
    torch.manual_seed(0)
    built = build_detector(DetectorOptions(network=tiny.NETWORK, discriminator=SMALL))

    class Sure(torch.nn.Module):
        def __init__(self, level: float) -> None:
            super().__init__()
            self.level = level

        def forward(self, image, reconstruction, evidence=None):
            found = torch.zeros(len(image), 1, 32, 32)
            found[:, :, 10:14, 10:14] = self.level
            return found

    image = torch.rand(1, 1, 256, 256)
    scores = []
    for level in (0.0, 5.0):
        detector = Detector(built.normalise, built.network, built.error_map, built.usual_error, Sure(level)).eval()
        with torch.inference_mode():
            scores.append(detector(image).score.item())
    assert scores[1] > scores[0] + 1
