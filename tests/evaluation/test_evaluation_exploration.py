"""Exploration: the measured texture is the one that was drawn, and the answers follow the figures."""

import numpy as np
import pytest
from evaluation_examples import SIZE, grating, square
from scipy.stats import pearsonr

from waferlens.errors import DataError
from waferlens.evaluation.answers import answers
from waferlens.evaluation.departures import measure_departures, measure_extent
from waferlens.evaluation.exploration import ExplorationData, explore
from waferlens.evaluation.reference import NormalReference, sample_indices
from waferlens.evaluation.texture import measure_texture


def explored(scored, training_images):
    data = ExplorationData(
        train_images=training_images,
        test_images=scored.images,
        test_defective=scored.defective,
        test_masks=scored.masks,
        test_has_mask=scored.has_mask,
        test_defect_types=scored.defect_types,
    )
    return explore(data)


@pytest.mark.parametrize("period", [8, 16, 32])
def test_the_period_and_direction_of_a_grating_are_found(period):
    rng = np.random.default_rng(0)
    images = np.stack([grating(rng, period) for _ in range(4)])
    upright, lying = measure_texture(images), measure_texture(images.transpose(0, 2, 1))
    assert upright.period_px == lying.period_px == pytest.approx(period)
    assert upright.line_angle_deg == pytest.approx(90)
    assert lying.line_angle_deg == pytest.approx(0)
    assert upright.peak_share > 0.5
    assert upright.coherence > 0.5


def test_a_rising_line_has_an_angle_between_zero_and_ninety():
    rows, columns = np.indices((SIZE, SIZE))
    rising = 0.5 + 0.3 * np.sin(2 * np.pi * (rows + columns) / 24)  # constant along bottom-left to top-right
    assert measure_texture(rising[None].astype(np.float32)).line_angle_deg == pytest.approx(45)


def test_white_noise_has_no_period_no_slope_and_no_direction():
    noise = np.random.default_rng(1).uniform(0, 1, (8, SIZE, SIZE)).astype(np.float32)
    texture = measure_texture(noise)
    assert texture.peak_share < 0.01
    assert abs(texture.spectral_slope) < 0.1
    assert texture.axis_aligned_share == pytest.approx(0.22, abs=0.02)
    assert abs(texture.alignment) < 0.01


def test_alignment_is_the_mean_pairwise_correlation():
    rng = np.random.default_rng(2)
    images = np.stack([grating(rng, shift=shift) for shift in (0, 2, 4)])
    pairs = [pearsonr(images[a].ravel(), images[b].ravel())[0] for a, b in ((0, 1), (0, 2), (1, 2))]
    assert measure_texture(images).alignment == pytest.approx(np.mean(pairs), abs=1e-6)


def test_a_constant_image_is_named_and_not_divided_by():
    found = explore(ExplorationData(train_images=np.full((3, SIZE, SIZE), 0.4, dtype=np.float32)))
    assert answers(found)[0].short == "No texture: the images are constant."


def test_a_brighter_patch_is_a_positive_departure_in_its_own_mask(training_images):
    reference = NormalReference.from_images(training_images)
    masks = np.stack([square(50, 50), square(120, 90)])
    images = training_images[:2].copy()
    images[0][masks[0]] += 0.1
    images[1][masks[1]] -= 0.1
    found = measure_departures(images, masks, training_images, reference)
    assert found.brightness[0] > 5
    assert found.brightness[1] < -5
    assert (found.contrast > 5).all()


def test_extent_counts_area_and_regions():
    extent = measure_extent(np.stack([square(10, 10, 64), square(10, 10, 8) | square(100, 100, 8)]))
    assert extent.area_fractions.tolist() == [1 / 16, 128 / 65536]
    assert extent.num_regions.tolist() == [1, 2]


def test_the_reference_is_the_plain_mean_and_deviation(training_images):
    reference = NormalReference.from_images(training_images)
    np.testing.assert_allclose(reference.mean_image, training_images.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(reference.std_image, training_images.std(axis=0), atol=1e-4)


def test_a_training_image_is_usual_and_a_foreign_one_is_not(training_images):
    reference = NormalReference.from_images(training_images)
    assert reference.unusualness(training_images[0]) == 0
    assert reference.unusualness(np.ones((SIZE, SIZE), dtype=np.float32)) == 1


def test_the_answers_carry_the_computed_figures(scored, training_images):
    found = explored(scored, training_images)
    texture, difference, extent, threshold = answers(found)
    assert texture.short == "Lines at 90° with a period of 16.0 pixels."
    assert "6 defects" in difference.evidence
    assert extent.short.startswith("Localised")
    assert f"{found.thresholding.auroc[found.thresholding.best].value:.3f}" in threshold.evidence


def test_a_brightness_threshold_works_where_every_defect_is_a_bright_image(training_images):
    rng = np.random.default_rng(3)
    images = np.stack([grating(rng) for _ in range(200)])
    defective = np.arange(200) >= 100
    images[defective] += 0.1
    data = ExplorationData(
        train_images=training_images,
        test_images=images,
        test_defective=defective,
        test_masks=np.zeros((200, SIZE, SIZE), dtype=bool),
        test_has_mask=~defective,
        test_defect_types=(None,) * 200,
    )
    assert answers(explore(data))[3].short.startswith("Yes")


def test_normals_alone_answer_the_first_question_and_say_why_not_the_rest(training_images):
    texture, *rest = answers(explore(ExplorationData(train_images=training_images)))
    assert texture.short != "Unknown."
    assert [answer.short for answer in rest] == ["Unknown."] * 3


def test_the_same_seed_shows_the_same_images(scored, training_images):
    first, second = explored(scored, training_images), explored(scored, training_images)
    assert first.grid == second.grid
    assert len(first.grid) == 16
    assert set(first.defect_grid) == set(np.flatnonzero(scored.defective))


def test_a_sample_is_seeded_unique_and_ascending():
    sample = sample_indices(100, 10, seed=3)
    assert sample.tolist() == sorted(set(sample.tolist())) == sample_indices(100, 10, seed=3).tolist()


def test_no_training_image_and_unequal_shapes_are_refused(training_images, scored):
    with pytest.raises(DataError, match="normal images"):
        ExplorationData(train_images=training_images[:0])
    with pytest.raises(DataError, match="test_masks"):
        ExplorationData(train_images=training_images, test_images=scored.images, test_defective=scored.defective)
