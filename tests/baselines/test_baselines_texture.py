"""Texture features see orientation and pitch; the one-class SVM tells another texture from the learned one."""

import numpy as np
import pytest
import torch

import tiny
from waferlens.baselines.texture import TextureOptions, fit_texture, texture_features
from waferlens.training.feed import Feed

OPTIONS = TextureOptions()


def grating(seed, *, degrees=0.0, pitch=10.0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:256, :256]
    angle = np.deg2rad(degrees)
    phase = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / pitch + rng.uniform(0, 2 * np.pi)
    return (0.5 + 0.3 * np.sin(phase) + 0.02 * rng.standard_normal((256, 256))).clip(0, 1).astype(np.float32)


def noise(seed):
    return np.random.default_rng(seed).random((256, 256), dtype=np.float32)


def feed_of(images):
    pixels = (np.stack(images) * 255).astype(np.uint8)
    return Feed(tiny.pack(pixels), np.arange(len(images)), tiny.plain(), torch.device("cpu"))


@pytest.fixture(scope="module")
def model(one_thread):
    return fit_texture(
        feed_of([grating(seed) for seed in range(24)]),
        feed_of([grating(seed) for seed in range(100, 112)]),
        OPTIONS,
    )


def test_features_are_two_a_filter_and_one_a_pattern():
    features = texture_features(np.stack([grating(0), noise(0)]), OPTIONS)
    assert features.shape == (2, 2 * 4 * 4 + (8 + 2) + (16 + 2))
    assert np.isfinite(features).all()
    np.testing.assert_allclose(features[:, 32:42].sum(axis=1), 1.0)
    np.testing.assert_allclose(features[:, 42:].sum(axis=1), 1.0)


def test_the_strongest_filter_is_the_one_of_the_gratings_pitch_and_direction():
    for degrees, orientation in ((0, 0), (45, 1), (90, 2), (135, 3)):
        magnitudes = texture_features(grating(1, degrees=degrees)[None], OPTIONS)[0, :16].reshape(4, 4)
        assert np.unravel_index(magnitudes.argmax(), (4, 4)) == (1, orientation)


def test_patterns_do_not_see_the_direction_but_filters_do():
    upright, turned = (texture_features(np.rot90(grating(2), turn)[None].copy(), OPTIONS)[0] for turn in (0, 1))
    np.testing.assert_allclose(upright[32:], turned[32:], atol=0.02)
    assert np.abs(upright[:16] - turned[:16]).max() > 0.05


def test_a_constant_image_has_finite_features():
    assert np.isfinite(texture_features(np.full((1, 256, 256), 0.5, np.float32), OPTIONS)).all()


@pytest.mark.parametrize(
    "strange", [noise(7), grating(7, degrees=90), grating(7, pitch=4)], ids=["noise", "turned", "finer"]
)
def test_another_texture_scores_higher_than_any_of_the_learned_kind(model, strange):
    usual = model.scores(np.stack([grating(seed) for seed in range(200, 208)]))
    assert model.scores(strange[None])[0] > usual.max() + 1


def test_scores_are_deviations_of_held_out_normals(model):
    scores = model.scores(feed_of([grating(seed) for seed in range(100, 112)]).take(np.arange(12))[:, 0].numpy())
    assert scores.mean() == pytest.approx(0, abs=1e-6)
    assert scores.std(ddof=1) == pytest.approx(1, rel=1e-6)


def test_at_most_max_images_are_learned_from():
    few = TextureOptions(max_images=10)
    fitted = fit_texture(
        feed_of([grating(seed) for seed in range(14)]), feed_of([grating(seed) for seed in range(50, 53)]), few
    )
    assert fitted.pipeline[-1].shape_fit_[0] == 10
