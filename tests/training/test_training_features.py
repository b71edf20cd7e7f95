"""A detector over features learns from normals: scales, weights, usual residuals; and finds a mark."""

import numpy as np
import pytest
import runs
import torch

import tiny
from waferlens.models.detector import DetectorOptions
from waferlens.models.feature_vae import NUM_FEATURES, SCALES, FeatureVAE, FeatureVAEOptions
from waferlens.training.features import learn_usual_residuals, prepare_features
from waferlens.training.run import fit

NETWORK = FeatureVAEOptions(width=8, squeezed=4, whitening_rank=4, scales=SCALES)


@pytest.fixture(scope="module")
def feeds(normals):
    return runs.feeds_of(normals)


def fitted(images, folder, epochs=2):
    options = tiny.fit_options(epochs=epochs)
    told = {**options.__dict__, "detector": DetectorOptions(network=NETWORK)}
    return fit(
        runs.cpu(), images, tiny.split_of(images), type(options)(**told), roi=None, seed=1, folder=folder,
        run="f" * 64, watch=lambda progress: None, say=lambda text: None,
    )  # fmt: skip


def test_features_of_training_images_have_mean_zero_and_at_most_unit_deviation(feeds):
    torch.manual_seed(0)
    network = FeatureVAE(NETWORK)
    prepare_features(network, feeds[0])
    with torch.inference_mode():
        features = network.features(feeds[0].take(np.arange(len(feeds[0]))))
    assert features.mean(0).abs().max() < 1e-2
    deviation = features.std(0)
    assert deviation.max() < 1.1
    assert deviation.mean() > 0.5


def test_usual_residuals_of_training_images_are_near_one_deviation(feeds):
    torch.manual_seed(0)
    network = FeatureVAE(NETWORK.model_copy(update={"whitening_rank": NUM_FEATURES}))
    prepare_features(network, feeds[0])
    learn_usual_residuals(network, feeds[0], tiny.fit_options().augmentation, 0)
    with torch.inference_mode():
        departure = network(feeds[0].take(np.arange(len(feeds[0]))))[2]
    assert 0.5 < departure.mean() < 1.2
    assert departure.shape[1] == 2
    assert all(whitening.directions.abs().max() > 0 for whitening in network.whitening)


def test_a_mark_on_a_normal_image_scores_higher(normals, tmp_path, one_thread):
    result = fitted(normals, tmp_path)
    held_out = {image.name for image in tiny.split_of(normals).validation}
    rows = [row for row, name in enumerate(normals.names) if name in held_out]
    clean = torch.from_numpy(normals.take(rows))[:, None]
    marred = clean.clone()
    marred[..., 120:136, 90:106] = 255 - marred[..., 120:136, 90:106]
    with torch.inference_mode():
        before, after = result.detector(clean), result.detector(marred)
    assert (after.score > before.score).all()
    peak = after.heatmap.flatten(1).argmax(1)
    assert np.median(abs(peak.numpy() // 256 - 128)) < 16
    assert np.median(abs(peak.numpy() % 256 - 98)) < 16


def test_the_same_seed_gives_the_same_detector(normals, tmp_path, one_thread):
    few = tiny.pack(normals.pixels[:12])
    first, second = (fitted(few, tmp_path / name, epochs=1) for name in ("one", "two"))
    for (name, one), (_, two) in zip(
        first.detector.state_dict().items(), second.detector.state_dict().items(), strict=True
    ):
        assert torch.equal(one, two), name
