"""Augmentation against a slow twin and against the tensor library that may apply it instead."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from waferlens.images.augment import AugmentationOptions, augment, sample_augmentations

STILL = AugmentationOptions(rotation_degrees=0, shift_pixels=0, noise_sigma=0, gain=0, offset=0)


def batch_of(num, side=256, seed=0):
    return np.random.default_rng(seed).random((num, 1, side, side), dtype=np.float32)


def slow_warp(image, matrix):
    """One output pixel at a time: its place in the input, the four neighbours, reflection at the edges."""
    side = len(image)

    def at(row, column):
        row, column = (2 * side - 1 - i if i >= side else -1 - i if i < 0 else i for i in (row, column))
        return float(image[row, column])

    out = np.zeros_like(image)
    for row in range(side):
        for column in range(side):
            place = (2 * column + 1) / side - 1, (2 * row + 1) / side - 1, 1.0
            x, y = ((side * (float(line @ place) + 1) - 1) / 2 for line in matrix.astype(float))
            left, top = int(np.floor(x)), int(np.floor(y))
            u, v = x - left, y - top
            upper = (1 - u) * at(top, left) + u * at(top, left + 1)
            lower = (1 - u) * at(top + 1, left) + u * at(top + 1, left + 1)
            out[row, column] = (1 - v) * upper + v * lower
    return out


GEOMETRY = STILL.model_copy(
    update={"rotation_degrees": 20, "shift_pixels": 3, "horizontal_flip": True, "vertical_flip": True}
)


def test_the_fast_warp_equals_the_slow_twin():
    batch = batch_of(6, side=24)
    varied = augment(batch, GEOMETRY, np.random.default_rng(3))
    matrices = sample_augmentations(GEOMETRY, 6, np.random.default_rng(3), side=24).matrices
    for image, matrix, result in zip(batch[:, 0], matrices, varied[:, 0], strict=True):
        np.testing.assert_allclose(result, slow_warp(image, matrix), atol=2e-5)


def test_the_matrices_mean_the_same_to_the_tensor_library():
    batch = batch_of(4)
    varied = augment(batch, GEOMETRY, np.random.default_rng(4))
    matrices = torch.from_numpy(sample_augmentations(GEOMETRY, 4, np.random.default_rng(4)).matrices)
    grid = torch.nn.functional.affine_grid(matrices, [4, 1, 256, 256], align_corners=False)
    theirs = torch.nn.functional.grid_sample(
        torch.from_numpy(batch), grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    np.testing.assert_allclose(varied, theirs.numpy(), atol=2e-4)


def test_nothing_switched_on_changes_nothing():
    batch = batch_of(3)
    np.testing.assert_array_equal(augment(batch, STILL, np.random.default_rng(0)), batch)


def test_flips_mirror_exactly():
    batch = batch_of(32, side=32)
    options = STILL.model_copy(update={"horizontal_flip": True})
    varied = augment(batch, options, np.random.default_rng(0))
    mirrored = [np.allclose(out, image[:, ::-1]) for image, out in zip(batch[:, 0], varied[:, 0], strict=True)]
    kept = [np.array_equal(out, image) for image, out in zip(batch[:, 0], varied[:, 0], strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 4 < sum(mirrored) < 28


def test_the_same_generator_state_gives_the_same_batch():
    batch = batch_of(4)
    first = augment(batch, AugmentationOptions(), np.random.default_rng(9))
    out = np.empty_like(batch)
    assert augment(batch, AugmentationOptions(), np.random.default_rng(9), out=out) is out
    np.testing.assert_array_equal(first, out)
    assert (first != augment(batch, AugmentationOptions(), np.random.default_rng(10))).any()


def test_noise_has_the_stated_deviation_and_differs_between_images():
    batch = np.full((8, 1, 256, 256), 0.5, np.float32)
    options = STILL.model_copy(update={"noise_sigma": 0.05})
    noise = augment(batch, options, np.random.default_rng(0)) - batch
    assert noise.std() == pytest.approx(0.05, rel=0.02)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.02


def test_values_stay_in_range():
    options = AugmentationOptions(gain=0.5, offset=0.5, noise_sigma=0.3)
    varied = augment(batch_of(8), options, np.random.default_rng(0))
    assert varied.min() >= 0.0
    assert varied.max() <= 1.0


def test_the_drawn_amounts_stay_within_the_options():
    options = AugmentationOptions(rotation_degrees=2, shift_pixels=4, gain=0.1, offset=0.05)
    drawn = sample_augmentations(options, 5000, np.random.default_rng(0))
    angles = np.rad2deg(np.arctan2(drawn.matrices[:, 1, 0], drawn.matrices[:, 0, 0]))
    shifts = drawn.matrices[:, :, 2] * 128
    for values, limit in ((angles, 2), (shifts, 4), (drawn.gain - 1, 0.1), (drawn.offset, 0.05)):
        assert 0.95 * limit < np.abs(values).max() <= limit * 1.001


@pytest.mark.slow
def test_one_core_varies_hundreds_of_images_a_second():
    batch = batch_of(32)
    out = np.empty_like(batch)
    rng = np.random.default_rng(0)
    started = time.process_time()
    for _ in range(5):
        augment(batch, AugmentationOptions(), rng, out=out)
    assert 160 / (time.process_time() - started) > 500
