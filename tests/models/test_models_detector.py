"""Raw pixels to five outputs: normalisation, the calibrated error map, and the detector as one graph."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from waferlens.models.detector import OUTPUT_NAMES, build_detector
from waferlens.models.error_map import ErrorMap, ErrorMapOptions, border_caution
from waferlens.models.normalise import Normalise, NormaliseOptions
from waferlens.models.smoothing import gaussian_matrix, smooth

STRETCH = Normalise(NormaliseOptions(flat_field=False))
FLATTEN = Normalise(NormaliseOptions(percentiles=False))
BOTH = Normalise(NormaliseOptions())


def texture(seed=0):
    """A pattern with room above and below, (1, 1, 256, 256) in [0.2, 0.6]."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.random((32, 32)), np.ones((8, 8)))
    return torch.from_numpy((0.2 + 0.4 * blocks).astype(np.float32))[None, None]


def tilt(strength):
    ramp = torch.linspace(1 - strength, 1 + strength, 256)
    return ramp.view(1, 1, 1, 256) * ramp.view(1, 1, 256, 1)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.5, 1.5), st.floats(-0.08, 0.1))
def test_stretching_removes_gain_and_offset(gain, offset):
    torch.testing.assert_close(STRETCH(gain * texture() + offset), STRETCH(texture()), atol=1e-4, rtol=0)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.3, 1.6))
def test_both_steps_together_remove_gain(gain):
    torch.testing.assert_close(BOTH(gain * texture()), BOTH(texture()), atol=1e-4, rtol=0)


@settings(max_examples=15, deadline=None)
@given(st.floats(-0.3, 0.3), st.integers(0, 5))
def test_flat_fielding_removes_most_of_an_illumination_tilt(strength, seed):
    # Not all: at the border the background is an average over one side alone.
    flat, tilted = texture(seed), texture(seed) * tilt(strength)
    with torch.inference_mode():
        left = (BOTH(tilted) - BOTH(flat)).abs().mean()
        untreated = (STRETCH(tilted) - STRETCH(flat)).abs().mean()
    assert left < 0.05
    if abs(strength) > 0.05:
        assert left < 0.5 * untreated


def test_percentiles_land_on_their_grey_levels():
    boxes = torch.nn.functional.avg_pool2d(STRETCH(texture()), 4).flatten()
    assert boxes.quantile(0.01).item() == pytest.approx(0.1, abs=0.01)
    assert boxes.quantile(0.99).item() == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("grey", [0, 1, 127, 255])
@pytest.mark.parametrize("normalise", [BOTH, STRETCH, FLATTEN])
def test_a_constant_image_stays_finite_and_constant(normalise, grey):
    image = normalise(torch.full((1, 1, 256, 256), grey, dtype=torch.uint8))
    assert image.isfinite().all()
    assert image.max() - image.min() < 1e-3
    assert image.min() >= 0
    assert image.max() <= 1


def test_noise_on_an_empty_image_is_not_blown_up_to_full_contrast():
    faint = 0.5 + 0.001 * torch.from_numpy(np.random.default_rng(0).standard_normal((1, 1, 256, 256), np.float32))
    assert STRETCH(faint).std() < 0.1


def test_hot_pixels_do_not_move_the_percentiles():
    hot = texture().clone()
    hot[..., ::64, ::64] = 1.0
    ordinary = torch.ones_like(hot, dtype=torch.bool)
    ordinary[..., ::64, ::64] = False
    torch.testing.assert_close(STRETCH(hot)[ordinary], STRETCH(texture())[ordinary], atol=0.02, rtol=0)


def test_bytes_and_fractions_are_the_same_image():
    image = torch.randint(0, 256, (2, 1, 256, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(BOTH(image), BOTH(image.float() / 255), atol=1e-5, rtol=0)


def test_without_its_two_steps_an_image_is_only_scaled():
    image = torch.randint(0, 256, (1, 1, 256, 256), dtype=torch.uint8)
    torch.testing.assert_close(tiny.plain()(image), image / 255)


def test_smoothing_is_a_gaussian_whose_weights_are_renormalised_at_the_border():
    sigma = 0.8
    image = np.random.default_rng(1).random((32, 32))
    found = smooth(torch.from_numpy(image)[None, None].float(), gaussian_matrix(sigma, 32))[0, 0]
    reach = 4 * sigma
    for row, column in [(0, 0), (0, 16), (13, 7), (31, 31)]:
        total = weights = 0.0
        for r in range(32):
            for c in range(32):
                if abs(r - row) <= reach and abs(c - column) <= reach:
                    weight = math.exp(-((r - row) ** 2 + (c - column) ** 2) / (2 * sigma**2))
                    total, weights = total + weight * image[r, c], weights + weight
        assert found[row, column].item() == pytest.approx(total / weights, rel=1e-4)


@pytest.mark.parametrize(("sigma", "box"), [(0.8, 1), (1.0, 2), (6.0, 2), (12.0, 4), (12.0, 8)])
def test_boxes_finer_than_the_gaussian_keep_its_total_its_centre_and_its_width(sigma, box):
    matrix = gaussian_matrix(sigma, 256, box=box)
    assert matrix.shape == (256, 256 // box)
    position = torch.arange(256, dtype=torch.float32)
    for centre in range(120, 120 + box):
        image = torch.zeros(1, 1, 256, 256)
        image[..., centre, 128] = 1.0
        profile = smooth(F.avg_pool2d(image, box), matrix)[0, 0].sum(dim=1)
        mean = (profile * position).sum() / profile.sum()
        width = ((profile * (position - mean) ** 2).sum() / profile.sum()).sqrt()
        assert abs(mean.item() - centre) <= box / 2  # a point is known to its box
        assert width.item() == pytest.approx((sigma**2 - (box**2 - 1) / 12) ** 0.5, rel=0.03)
    flat = torch.full((1, 1, 256, 256), 0.3)
    torch.testing.assert_close(smooth(F.avg_pool2d(flat, box), matrix), flat)


def test_boxes_as_wide_as_the_gaussian_are_refused():
    with pytest.raises(ValueError, match="boxes of 8"):
        gaussian_matrix(2.0, 256, box=8)


def slow_peak(heatmap, roi, num_boxes):
    """Mean of the most deviating 4x4 boxes, each over its part inside the region of interest."""
    means = []
    for row in range(0, 256, 4):
        for column in range(0, 256, 4):
            inside = roi[row : row + 4, column : column + 4] > 0
            if inside.any():
                means.append(heatmap[row : row + 4, column : column + 4][inside].mean())
    return np.mean(sorted(means, reverse=True)[:num_boxes])


def test_an_uncalibrated_map_is_the_smoothed_squared_error_and_its_peak():
    error_map, image, expected = ErrorMap(ErrorMapOptions()), texture(1), texture(2)
    summary = error_map(image, expected)
    squared = (image - expected).square()
    boxes = F.avg_pool2d(image - expected, 2).square()
    torch.testing.assert_close(summary.heatmap, smooth(boxes, gaussian_matrix(6.0, 256, box=2)))
    peak = slow_peak(summary.heatmap[0, 0].numpy(), np.ones((256, 256)), 6)
    assert summary.score.item() == pytest.approx(peak, rel=1e-5)
    assert summary.reconstruction_error.item() == pytest.approx(squared.mean().item(), rel=1e-5)


def test_caution_falls_evenly_from_every_border_and_never_below_one():
    caution = border_caution(ErrorMapOptions(border_pixels=20, border_caution=0.9))[0, 0]
    for turned in (caution.T, caution.flip(0), caution.flip(1)):
        assert torch.equal(caution, turned)
    for row in range(128):
        expected = 1 + 0.9 * max(0.0, 1 - (row + 0.5) / 20)
        assert caution[row, 128].item() == pytest.approx(expected, rel=1e-6)
    assert torch.equal(caution[30, :30], caution[:30, 30])
    assert torch.equal(border_caution(ErrorMapOptions()), torch.ones(1, 1, 256, 256))


def test_calibration_puts_map_and_score_in_deviations():
    error_map, image, expected = ErrorMap(ErrorMapOptions()), texture(1), texture(2)
    raw = error_map(image, expected)
    error_map.error_mean.fill_(0.01)
    error_map.error_deviation.fill_(0.5)
    error_map.score_location.fill_(0.1)
    error_map.score_scale.fill_(4.0)
    summary = error_map(image, expected)
    torch.testing.assert_close(summary.heatmap, (raw.heatmap - 0.01) / 0.5)
    torch.testing.assert_close(summary.score, ((raw.score - 0.01) / 0.5 - 0.1) / 4.0)
    torch.testing.assert_close(summary.reconstruction_error, raw.reconstruction_error)


@pytest.mark.parametrize("region", [(slice(9, 203), slice(30, 31)), (slice(100, 101), slice(7, 8))])
def test_the_peak_of_a_thin_or_tiny_region_is_that_of_its_slow_twin(region):
    error_map = ErrorMap(ErrorMapOptions())
    error_map.roi.zero_()
    error_map.roi[0, 0][region] = 1.0
    heatmap = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(0)) * 5 - 20
    expected = slow_peak(heatmap[0, 0].numpy(), error_map.roi[0, 0].numpy(), 6)
    assert error_map.peak(heatmap).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("deviation", [1.0, 1e-4])
def test_nothing_outside_the_region_of_interest_can_win(deviation):
    error_map = ErrorMap(ErrorMapOptions(smoothing_sigma=1.0))
    error_map.roi[..., 128:] = 0.0
    error_map.error_deviation.fill_(deviation)
    image, expected = torch.zeros(1, 1, 256, 256), torch.zeros(1, 1, 256, 256)
    image[..., 100, 40] = 0.1
    inside = error_map(image, expected)
    image[..., 60:90, 180:220] = 1.0
    both = error_map(image, expected)
    assert both.score.item() == inside.score.item()
    assert both.reconstruction_error.item() == inside.reconstruction_error.item()
    assert inside.reconstruction_error.item() == pytest.approx(0.01 / (256 * 128), rel=1e-4)


@pytest.fixture(scope="module")
def detector(one_thread):
    return tiny.detector()


@pytest.fixture(scope="module")
def pixels():
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (5, 1, 256, 256)).astype(np.uint8))


@torch.inference_mode()
def test_a_detector_gives_five_outputs_of_the_stated_shapes(detector, pixels):
    outputs = detector(pixels)
    assert outputs._fields == OUTPUT_NAMES
    shapes = [tuple(output.shape) for output in outputs]
    assert shapes == [(5, 1, 256, 256), (5, 1, 256, 256), (5,), (5,), (5, 128)]
    assert {output.dtype for output in outputs} == {torch.float32}
    assert all(output.isfinite().all() for output in outputs)


@torch.inference_mode()
def test_the_same_image_gives_the_same_bytes(detector, pixels):
    for first, second in zip(detector(pixels), detector(pixels), strict=True):
        assert first.numpy().tobytes() == second.numpy().tobytes()


@torch.inference_mode()
def test_an_image_is_judged_alone_whatever_else_is_in_its_batch(detector, pixels):
    together = detector(pixels)
    for index in range(len(pixels)):
        alone = detector(pixels[index : index + 1])
        for one, many in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], many[index], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_a_detector_reads_bytes_and_fractions_alike(detector, pixels):
    for first, second in zip(detector(pixels), detector(pixels.float() / 255), strict=True):
        torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_reported_error_is_the_mean_squared_difference_of_what_is_shown(detector, pixels):
    outputs = detector(pixels)
    shown = (detector.normalise(pixels) - outputs.reconstruction).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(outputs.reconstruction_error, shown)


def test_a_new_detector_is_in_evaluation_mode_and_counts_only_what_it_learns(detector):
    assert not build_detector(tiny.DETECTOR).training
    assert detector.num_parameters == sum(p.numel() for p in detector.parameters())
