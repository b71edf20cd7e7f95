"""The error usual for a latent: what is learned of it from normals, and what it changes."""

import numpy as np
import pytest
import runs
import torch

import tiny
from waferlens.images.augment import AugmentationOptions
from waferlens.models.detector import DetectorOptions, build_detector, detector_around
from waferlens.models.usual_error import CELLS, UsualError
from waferlens.training.usual_error import fit_ridge, learn_usual_error

STILL = AugmentationOptions(rotation_degrees=0, shift_pixels=0, noise_sigma=0, gain=0, offset=0)


class Kinds(torch.nn.Module):
    """Dark images are of a quiet kind, bright ones of a kind whose errors are four times as large."""

    num_departures = 1

    def __init__(self, seed=0, telling=True):
        super().__init__()
        self.noise, self.telling = torch.Generator().manual_seed(seed), telling

    def forward(self, image):
        loud = (image[:, 0, 0, 0] > 0.5).float()
        latent = torch.randn(len(image), 128, generator=self.noise)
        if self.telling:
            latent[:, 5] = 3 * (loud - 0.5)
        chance = torch.rand(len(image), 1, CELLS, CELLS, generator=self.noise) * 0.2 + 0.9
        return image, latent, chance * (1 + 3 * loud).view(-1, 1, 1, 1)


class Images:
    def __init__(self, number):
        self.number = number

    def __len__(self):
        return self.number

    def take(self, rows):
        return torch.from_numpy(np.asarray(rows) % 2).float().view(-1, 1, 1, 1).expand(-1, 1, 256, 256).clone()


def detector_of(network):
    detector = detector_around(network, DetectorOptions())
    detector.usual_error = UsualError(1)
    return detector


def test_the_same_error_is_usual_for_every_latent_until_something_was_learned():
    assert torch.equal(UsualError(2)(torch.randn(3, 128)), torch.ones(3, 2, CELLS, CELLS))


def test_two_kinds_of_normal_images_are_put_on_one_scale():
    detector = detector_of(Kinds())
    share = learn_usual_error(detector, Images(200), STILL, seed=0)
    assert share > 0.9
    with torch.inference_mode():
        answer = detector.answer(Images(40).take(np.arange(40)))
    quiet, loud = ((answer.departure / answer.usual)[start::2].mean() for start in (0, 1))
    assert 3 < answer.departure[1::2].mean() / answer.departure[0::2].mean() < 5
    assert 0.8 < loud / quiet < 1.25


class Perfect(torch.nn.Module):
    """Expects every image exactly as it is; its latent tells how bright it is."""

    num_departures = 1

    def forward(self, image):
        return image, image.mean((1, 2, 3)).view(-1, 1).expand(-1, 128).clone()


def test_a_varied_copy_is_measured_against_what_is_expected_of_itself():
    """Not against what is expected of the image that it is a copy of: that error is the variation."""
    varied = AugmentationOptions(noise_sigma=0.1, gain=0.2, offset=0.1)
    targets = []

    def kept(inputs, levels, folds):
        targets.append(levels)
        return fit_ridge(inputs, levels, folds)

    with pytest.MonkeyPatch.context() as told:
        told.setattr("waferlens.training.usual_error.fit_ridge", kept)
        assert learn_usual_error(detector_of(Perfect()), Images(20), varied, seed=0) == 0
    assert targets[0].abs().max() < 1e-9


def test_a_latent_that_tells_nothing_changes_nothing():
    detector = detector_of(Kinds(telling=False))
    before = detector.usual_error.weight.clone()
    assert learn_usual_error(detector, Images(200), STILL, seed=0) < 0.05
    told = detector.usual_error(torch.randn(50, 128))
    assert (told.log().abs() < 0.3).all()
    assert before.abs().max() == 0


def test_no_image_is_excused_further_than_normal_images_went():
    detector = detector_of(Kinds())
    learn_usual_error(detector, Images(200), STILL, seed=0)
    with torch.inference_mode():
        normal = detector.answer(Images(100).take(np.arange(100))).usual
        far = detector.usual_error(torch.full((1, 128), 1e4))
    assert far.max() < 1.5 * normal.max()


def test_a_detector_whose_latent_tells_nothing_is_refused():
    with pytest.raises(ValueError, match="usual"):
        learn_usual_error(detector_around(Kinds(), DetectorOptions()), Images(8), STILL, seed=0)


def test_ridge_finds_a_linear_relation_and_says_how_much_it_tells():
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(300, 6, generator=generator, dtype=torch.float64)
    true = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    noise = torch.randn(300, 4, generator=generator, dtype=torch.float64)
    targets = inputs @ true + 0.5 * noise
    inputs, targets = inputs - inputs.mean(0), targets - targets.mean(0)
    weights, share = fit_ridge(inputs, targets, torch.arange(300) % 5)
    assert (weights - true).abs().max() < 0.2
    explained = 1 - 0.25 * noise.square().sum() / targets.square().sum()
    assert share == pytest.approx(float(explained), abs=0.03)


@pytest.mark.parametrize("case", ["noise", "constant", "one fold"])
def test_ridge_promises_nothing_where_there_is_nothing(case):
    generator = torch.Generator().manual_seed(4)
    inputs = torch.randn(60, 30, generator=generator, dtype=torch.float64)
    targets = torch.randn(60, 5, generator=generator, dtype=torch.float64)
    folds = torch.arange(60) % 5
    if case == "constant":
        targets = torch.zeros_like(targets)
    if case == "one fold":
        folds = torch.zeros(60, dtype=torch.int64)
    weights, share = fit_ridge(inputs, targets, folds)
    assert share < 0.02
    assert weights.abs().max() < 0.05


def test_a_copy_of_an_image_stays_in_its_fold():
    """Copies say again what their image said: across folds they would make a memory look like knowledge."""
    generator = torch.Generator().manual_seed(5)
    once = torch.randn(40, 100, generator=generator, dtype=torch.float64)
    noise = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    inputs, targets = once.repeat(4, 1), noise.repeat(4, 1)
    assert fit_ridge(inputs, targets, torch.arange(40).repeat(4) % 5)[1] < 0.05
    assert fit_ridge(inputs, targets, torch.arange(160) % 7)[1] > 0.5


def test_learning_on_pixels_shrinks_the_errors_of_images_like_those_it_saw(normals):
    detector = build_detector(tiny.DETECTOR)
    feed = runs.feeds_of(normals)[0]
    share = learn_usual_error(detector, feed, tiny.fit_options().augmentation, seed=1)
    assert 0 <= share < 1
    with torch.inference_mode():
        answer = detector.answer(feed.take(np.arange(len(feed))))
        judged = detector.error_map.smoothed_error(
            torch.zeros_like(answer.reconstruction), answer.reconstruction, None, answer.usual
        )
    assert judged.shape == (len(feed), 1, 256, 256)
    assert torch.isfinite(judged).all()
