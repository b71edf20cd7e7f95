"""Steps of the score left out: the same network, and nothing of the bundle's own detector is touched."""

import numpy as np
import pytest
import torch

import tiny
from waferlens.models.detector import DetectorOptions, build_detector
from waferlens.models.discriminator import DiscriminatorOptions
from waferlens.models.feature_bank import FeatureBankOptions
from waferlens.models.feature_vae import FeatureVAEOptions
from waferlens.training.calibrate import CalibrationOptions, calibrate
from waferlens.training.feed import Feed
from waferlens.wiring import ablation
from waferlens.wiring.scoring import detector_infer


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(5)
    built = build_detector(tiny.DETECTOR)
    built.usual_error.weight.normal_(std=0.05)
    built.usual_error.limit.fill_(2.0)
    return built


@pytest.fixture(scope="module")
def scores(detector, normals):
    """Scores of eight images by step, and what the detector's parts were before."""
    held_out = Feed(normals, np.arange(8, len(normals)), detector.normalise, torch.device("cpu"))
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    found = {}

    for name in ablation.STEPS:
        step = ablation._judged(detector, with_usual=name == ablation.BY_KIND)
        if name == ablation.BY_POSITION:
            calibrate(step, held_out, CalibrationOptions())
        found[name] = detector_infer(step)(normals.take(range(8))).score
    return found, before


def test_the_detector_stays_as_it_was(detector, scores):
    after = detector.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in scores[1].items())


def test_the_steps_judge_differently(scores):
    found = list(scores[0].values())
    assert all(np.abs(one - other).max() > 1e-6 for at, one in enumerate(found) for other in found[:at])


def test_without_either_step_the_score_is_the_peak_of_the_smoothed_error(detector, scores, normals):
    with torch.inference_mode():
        image = detector.normalise(torch.from_numpy(normals.take(range(8)))[:, None])
        reconstruction = detector.network(image)[0]
        peak = detector.error_map.peak(detector.error_map.smoothed_error(image, reconstruction))
    np.testing.assert_allclose(scores[0][ablation.PEAK], peak, rtol=1e-5)


@pytest.mark.parametrize(
    ("judged", "kept", "names"),
    [
        (False, False, []),
        (True, False, [ablation.BY_BOTH]),
        (False, True, [ablation.WITHOUT_BANK]),
        (True, True, [ablation.WITHOUT_BANK, ablation.ALONE]),
    ],
)
def test_what_judges_beside_the_network_is_left_out_in_turn(judged, kept, names):
    options = DetectorOptions(
        network=FeatureVAEOptions(width=8, squeezed=4),
        discriminator=DiscriminatorOptions(enabled=judged, width=4, trunk=8),
        feature_bank=FeatureBankOptions(enabled=kept, size=8),
    )
    built = tiny.detector(1, options)
    found = ablation._without(built)
    assert list(found) == names
    for name, step in found.items():
        assert step.feature_bank is None
        assert (step.discriminator is not None) == (judged and name == ablation.WITHOUT_BANK)
        assert step.error_map.num_maps == 1 + (step.discriminator is not None)
        assert step.network is built.network
