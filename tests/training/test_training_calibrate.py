"""Calibration on held-out normals: out-of-fold scores against a slow twin, and what the score then means."""

import numpy as np
import pytest
import torch

import tiny
from waferlens.errors import DataError
from waferlens.models.detector import DetectorOptions, detector_around
from waferlens.models.discriminator import DiscriminatorOptions
from waferlens.models.error_map import ErrorMapOptions, border_caution
from waferlens.models.feature_bank import FeatureBankOptions
from waferlens.models.feature_vae import FeatureVAEOptions
from waferlens.models.normalise import Normalise, NormaliseOptions
from waferlens.training import calibrate as calibration
from waferlens.training.calibrate import CalibrationOptions, calibrate
from waferlens.training.feed import Feed


def feed_of(images, rows):
    return Feed(images, np.asarray(rows), Normalise(NormaliseOptions()), torch.device("cpu"))


@pytest.fixture(scope="module")
def held_out(normals):
    return feed_of(normals, range(13))


@pytest.fixture
def detector():
    return tiny.detector(3)


def errors_of(detector, feed):
    """Smoothed error maps of all images, (n, 256, 256) float64."""
    with torch.inference_mode():
        images = feed.take(np.arange(len(feed)))
        reconstructions, _ = detector.network(images)
        return detector.error_map.smoothed_error(images, reconstructions)[:, 0].double().numpy()


def slow_statistics(maps, prior, floor):
    mean = maps.mean(axis=0)
    spread = ((maps - mean) ** 2).sum(axis=0)
    pooled = spread.mean() / (len(maps) - 1)
    variance = (spread + prior * pooled) / (len(maps) - 1 + prior)
    return mean, np.sqrt(np.maximum(variance, floor * pooled))


@pytest.mark.parametrize(("num_folds", "prior"), [(2, 0.0), (4, 2.0), (50, 2.0)])
def test_every_score_comes_from_the_statistics_of_the_other_folds(detector, held_out, num_folds, prior):
    options = CalibrationOptions(num_folds=num_folds, prior_images=prior)
    maps = errors_of(detector, held_out)
    found = calibrate(detector, held_out, options)
    used = min(num_folds, len(maps))
    peaks = []
    for index, one in enumerate(maps):
        others = [m for other, m in enumerate(maps) if other % used != index % used]
        mean, deviation = slow_statistics(np.stack(others), prior, options.variance_floor)
        heatmap = ((one - mean) / deviation).reshape(256, 256)
        boxes = heatmap.reshape(64, 4, 64, 4).mean(axis=(1, 3)).ravel()
        peaks.append(np.sort(boxes)[-ErrorMapOptions().peak_boxes :].mean())
    location, scale = np.mean(peaks), np.std(peaks, ddof=1)
    np.testing.assert_allclose(found.scores, (np.array(peaks) - location) / scale, rtol=1e-3, atol=1e-3)
    assert detector.error_map.score_location.item() == pytest.approx(location, rel=1e-4)
    assert detector.error_map.score_scale.item() == pytest.approx(scale, rel=1e-3)
    mean, deviation = slow_statistics(maps, prior, options.variance_floor)
    np.testing.assert_allclose(detector.error_map.error_mean[0, 0], mean, rtol=1e-4)
    np.testing.assert_allclose(detector.error_map.error_deviation[0, 0], deviation, rtol=1e-3)


class TwoDepartures(torch.nn.Module):
    """A network whose second map has heavier tails: by chance alone it peaks higher."""

    num_departures = 2

    def forward(self, image):
        drawn = [torch.Generator().manual_seed(int(1e6 * float(each.sum())) % 2**31) for each in image]
        noise = torch.stack([torch.randn(2, 32, 32, generator=each) for each in drawn])
        departure = torch.stack([noise[:, 0], noise[:, 1].pow(3) * 7 + 40], dim=1)
        return image * 0.9, image.new_zeros(len(image), 128), departure


def test_maps_of_two_kinds_peak_alike_on_normal_images_before_the_larger_counts(held_out):
    options = CalibrationOptions(num_folds=3, prior_images=0.0)
    detector = detector_around(TwoDepartures(), DetectorOptions())
    found = calibrate(detector, held_out, options)
    error_map = detector.error_map
    with torch.inference_mode():
        images = held_out.take(np.arange(len(held_out)))
        raw = error_map.smoothed_error(images, *detector.network(images)[::2]).double()
        peaks, combined = [], []
        for index, one in enumerate(raw.numpy()):
            others = [m for other, m in enumerate(raw.numpy()) if other % 3 != index % 3]
            told = [slow_statistics(np.stack(others)[:, k], 0.0, options.variance_floor) for k in range(2)]
            maps = [(one[k] - mean) / deviation for k, (mean, deviation) in enumerate(told)]
            peaks.append([error_map.peak(torch.tensor(m)[None, None].float()).item() for m in maps])
            combined.append(maps)
        location, scale = np.mean(peaks, axis=0), np.std(peaks, axis=0, ddof=1)
        assert location[1] > location[0] + 1  # else there is nothing to balance
        scores = []
        for first, second in combined:
            alike = (second - location[1]) / scale[1] * scale[0] + location[0]
            heatmap = torch.tensor(np.maximum(first, alike))[None, None].float()
            scores.append(error_map.peak(heatmap).item())
    expected = (np.array(scores) - np.mean(scores)) / np.std(scores, ddof=1)
    np.testing.assert_allclose(found.scores, expected, rtol=2e-3, atol=2e-3)
    everyone = [slow_statistics(raw.numpy()[:, k], 0.0, options.variance_floor) for k in range(2)]
    np.testing.assert_allclose(error_map.error_mean[0, 0], everyone[0][0], rtol=1e-3, atol=1e-4)
    deviation = everyone[1][1] * scale[1] / scale[0]
    np.testing.assert_allclose(error_map.error_deviation[0, 1], deviation, rtol=1e-3)


def test_near_the_border_deviations_are_taken_to_be_larger_than_measured(held_out):
    plain = tiny.detector(3)
    calibrate(plain, held_out, CalibrationOptions(num_folds=4))
    wary = tiny.detector(3, tiny.DETECTOR.model_copy(update={"error_map": ErrorMapOptions(border_caution=0.9)}))
    found = calibrate(wary, held_out, CalibrationOptions(num_folds=4))
    caution = border_caution(ErrorMapOptions(border_caution=0.9))
    expected = plain.error_map.error_deviation * caution
    torch.testing.assert_close(wary.error_map.error_deviation, expected)
    torch.testing.assert_close(wary.error_map.error_mean, plain.error_map.error_mean)
    assert np.mean(found.scores) == pytest.approx(0, abs=1e-6)
    assert np.std(found.scores, ddof=1) == pytest.approx(1, abs=1e-6)
    image = held_out.take(np.arange(1)).clone()
    middle, corner = image.clone(), image.clone()
    middle[..., 120:128, 120:128] += 0.5
    corner[..., :8, :8] += 0.5
    gains = []
    for detector in (plain, wary):
        with torch.inference_mode():
            heatmaps = [detector.error_map(x, detector.network(image)[0]).heatmap for x in (middle, corner)]
        gains.append([heatmaps[0][..., 124, 124].item(), heatmaps[1][..., 1, 1].item()])
    assert gains[1][0] == pytest.approx(gains[0][0], rel=1e-4)
    assert gains[1][1] == pytest.approx(gains[0][1] / caution[0, 0, 1, 1].item(), rel=1e-4)


def test_positions_equally_far_from_the_border_lend_each_other_their_statistics(detector, held_out):
    detector.error_map.roi[..., :40, 100:] = 0.0
    options = CalibrationOptions(num_folds=4, prior_images=3.0, ring_prior_images=20.0)
    maps = errors_of(detector, held_out)
    calibrate(detector, held_out, options)
    inside = detector.error_map.roi[0, 0].numpy() > 0
    mean, variance, n = maps.mean(axis=0), maps.var(axis=0, ddof=1), len(maps)
    from_start = np.minimum(np.arange(256), 255 - np.arange(256))
    ring = np.minimum.outer(from_start, from_start) // 4
    ring_mean, ring_variance = np.empty_like(mean), np.empty_like(mean)
    for number in range(32):
        members = ring == number
        ring_mean[members] = mean[members & inside].mean()
        ring_variance[members] = variance[members & inside].mean()
    expected = (n * mean + 20 * ring_mean) / (n + 20)
    np.testing.assert_allclose(detector.error_map.error_mean[0, 0][inside], expected[inside], rtol=1e-4)
    pooled = ((n - 1) * variance + 3 * variance.mean() + 20 * ring_variance) / (n - 1 + 23)
    deviation = np.sqrt(np.maximum(pooled, options.variance_floor * variance.mean()))
    np.testing.assert_allclose(detector.error_map.error_deviation[0, 0][inside], deviation[inside], rtol=1e-3)


def test_a_discriminator_that_learned_nothing_leaves_score_and_heatmap_to_the_network(held_out):
    options = DetectorOptions(network=tiny.NETWORK, discriminator=DiscriminatorOptions(enabled=True))
    detector = tiny.detector(3, options)
    last = detector.discriminator.trunk[-1]
    with torch.no_grad():
        last.weight.mul_(1e-6)  # log odds that differ in their last digits
    calibrate(detector, held_out, CalibrationOptions())
    image = held_out.take(np.arange(3))
    with torch.inference_mode():
        answer = detector.answer(image)
        told = [answer.reconstruction, answer.departure, answer.usual, None]
        as_found, one_digit_off = (
            detector.error_map(image, *told, answer.suspicion + error) for error in (0.0, 2e-7)
        )
    assert (answer.suspicion - last.bias).abs().max() < 1e-3
    torch.testing.assert_close(as_found.score, one_digit_off.score, rtol=0, atol=2e-5)
    torch.testing.assert_close(as_found.heatmap, one_digit_off.heatmap, rtol=0, atol=2e-5)


def test_what_departs_far_is_not_excused_by_a_discriminator_that_knows_nothing_of_it(held_out):
    options = DetectorOptions(network=tiny.NETWORK, discriminator=DiscriminatorOptions(enabled=True))
    detector = tiny.detector(3, options)
    calibrate(detector, held_out, CalibrationOptions())
    error_map = detector.error_map
    image = held_out.take(np.arange(len(held_out)))
    with torch.inference_mode():
        answer = detector.answer(image)
        told = [image, answer.reconstruction, answer.departure, answer.usual, None]
        learned = error_map.error_mean, error_map.error_deviation
        as_found, unsuspected = (
            error_map.smoothed_error(*told, answer.suspicion - less).clone() for less in (0.0, 50.0)
        )
        calibration._weigh_alone(error_map, iter([(as_found, *learned)]))
        alone, together = (error_map.peak(part) for part in error_map.alone_and_together(as_found, *learned))
        weighed = alone * error_map.alone_stretch + error_map.alone_shift
        # Normal images' peaks are spread as those of both are, and lie one deviation lower.
        torch.testing.assert_close(weighed.std(), together.std(), rtol=1e-4, atol=0)
        torch.testing.assert_close(weighed.mean(), together.mean() - together.std(), rtol=1e-4, atol=1e-4)
        # However little is suspected, no image falls below what its departure says alone.
        torch.testing.assert_close(error_map.peak(error_map.heatmap(unsuspected, *learned)), weighed)


def test_maps_that_are_not_kept_calibrate_alike(held_out, monkeypatch):
    options = DetectorOptions(network=tiny.NETWORK, discriminator=DiscriminatorOptions(enabled=True))
    kept, asked_again = tiny.detector(3, options), tiny.detector(3, options)
    first = calibrate(kept, held_out, CalibrationOptions())
    monkeypatch.setattr(calibration, "_MOST_KEPT", 0)
    second = calibrate(asked_again, held_out, CalibrationOptions())
    np.testing.assert_array_equal(first.scores, second.scores)
    for name, value in kept.error_map.state_dict().items():
        assert torch.equal(value, asked_again.error_map.state_dict()[name]), name


def test_errors_and_latents_stand_in_the_order_of_the_images(detector, held_out):
    found = calibrate(detector, held_out, CalibrationOptions(num_folds=3))
    assert found.indices.tolist() == list(range(13))
    with torch.inference_mode():
        for index in range(13):
            image = held_out.take(np.array([index]))
            reconstruction, latent = detector.network(image)
            error = detector.error_map(image, reconstruction).reconstruction_error.item()
            assert found.reconstruction_errors[index] == pytest.approx(error, rel=1e-5)
            np.testing.assert_allclose(found.latents[index], latent[0], atol=1e-5)


def test_an_image_that_calibrated_looks_tamer_than_it_does_out_of_fold(detector, held_out):
    found = calibrate(detector, held_out, CalibrationOptions(num_folds=13))
    with torch.inference_mode():
        image = held_out.take(np.arange(13))
        inside = detector.error_map(image, detector.network(image)[0]).score.numpy()
    assert (inside < found.scores).mean() > 0.9


def test_normal_scores_have_mean_nil_and_deviation_one(detector, held_out):
    scores = calibrate(detector, held_out, CalibrationOptions()).scores
    assert scores.mean() == pytest.approx(0, abs=1e-9)
    assert scores.std(ddof=1) == pytest.approx(1, abs=1e-4)


def test_at_most_max_images_are_used_spread_over_all(detector, held_out):
    found = calibrate(detector, held_out, CalibrationOptions(max_images=5))
    assert found.indices.tolist() == [0, 3, 6, 9, 12]
    assert len(found.scores) == 5


@pytest.mark.parametrize("num_images", [1, 3])
def test_fewer_than_four_held_out_normals_are_refused(detector, normals, num_images):
    with pytest.raises(DataError, match=f"4 or more; found {num_images}"):
        calibrate(detector, feed_of(normals, range(num_images)), CalibrationOptions())


def test_identical_images_calibrate_to_finite_numbers(detector, normals):
    calibrate(detector, feed_of(normals, [0] * 5), CalibrationOptions())
    assert detector.error_map.error_deviation.isfinite().all()
    assert (detector.error_map.error_deviation > 0).all()
    assert detector.error_map.score_scale > 0


def test_outside_the_region_of_interest_nothing_decides(detector, normals):
    detector.error_map.roi[..., :, 200:] = 0
    calibrate(detector, feed_of(normals, range(8)), CalibrationOptions())
    clean = torch.from_numpy(normals.pixels[20].copy())[None, None].float() / 255
    with torch.inference_mode():
        image = detector.normalise(clean)
        reconstruction, _ = detector.network(image)
        marred = image.clone()
        marred[..., 100:140, 235:250] = 1.0
        assert torch.equal(
            detector.error_map(image, reconstruction).score, detector.error_map(marred, reconstruction).score
        )


@pytest.fixture(scope="module")
def with_bank():
    network = FeatureVAEOptions(width=8, squeezed=4, whitening_rank=4)
    return DetectorOptions(network=network, feature_bank=FeatureBankOptions(enabled=True, size=50))


def test_what_is_a_usual_distance_is_told_by_training_images_too(held_out, with_bank):
    detector, error_map = tiny.detector(3, with_bank), tiny.detector(3, with_bank).error_map
    detector.feature_bank.vectors.normal_(generator=torch.Generator().manual_seed(0))
    told = 20 + 3 * torch.rand(7, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    options = CalibrationOptions(num_folds=4, prior_images=0.0, variance_floor=1e-9)
    calibrate(detector, held_out, options, told)
    with torch.inference_mode():
        image = held_out.take(np.arange(len(held_out)))
        distances = torch.cat([detector.answer(image).distance, told])
        spread = error_map.spread(distances)[:, 0].double().numpy()
    learned = detector.error_map.error_mean[0, -1].numpy(), detector.error_map.error_deviation[0, -1].numpy()
    mean, deviation = slow_statistics(spread, 0.0, 1e-9)
    stretch = (learned[1] / deviation).mean()
    np.testing.assert_allclose(learned[1], stretch * deviation, rtol=1e-3)
    shift = ((learned[0] - mean) / deviation).mean()
    np.testing.assert_allclose(learned[0], mean + shift * deviation, rtol=1e-4, atol=1e-3)


def test_a_bank_excuses_nothing_so_no_departure_counts_alone(held_out, with_bank):
    detector = tiny.detector(3, with_bank)
    detector.feature_bank.vectors.normal_(generator=torch.Generator().manual_seed(0))
    calibrate(detector, held_out, CalibrationOptions())
    never = tiny.detector(3, with_bank).error_map.alone_shift
    assert detector.error_map.alone_shift == never
    with torch.inference_mode():
        image = held_out.take(np.arange(3))
        raw = detector.error_map.smoothed_error(image, *detector.answer(image).judged)
        known = raw, detector.error_map.error_mean, detector.error_map.error_deviation
        alone, together = detector.error_map.alone_and_together(*known)
        assert (alone > together + 1).any()
        torch.testing.assert_close(detector.error_map.heatmap(*known), together)
