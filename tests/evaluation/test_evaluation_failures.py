"""Error analysis: every failure is found, measured and grouped by the first rule that holds."""

import math
from dataclasses import replace

import numpy as np
import pytest
from evaluation_examples import SIZE, square

from waferlens.evaluation.failure_causes import AlarmCauses, CauseMeter, MissCauses, robust_departure
from waferlens.evaluation.failure_modes import FailureRules, mode_of_alarm, mode_of_miss
from waferlens.evaluation.failures import CaseKind, analyse_errors, describe
from waferlens.evaluation.reference import NormalReference

RULES = FailureRules()

SEEN = MissCauses(
    area_fraction=0.02,
    contrast=3.0,
    border_px=50,
    place_error_rank=0.5,
    peak_inside=9.0,
    peak_outside=4.0,
    peak_inside_rank=1.0,
)
PLAIN_ALARM = AlarmCauses(
    peak_row=100,
    peak_column=100,
    border_px=100,
    place_error_rank=0.5,
    brightness_departure=0.0,
    contrast_departure=0.0,
    unusual_rank=0.5,
    latent_rank=0.5,
)


@pytest.fixture(scope="module")
def reference(training_images):
    return NormalReference.from_images(training_images)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, "below_threshold"),
        ({"peak_outside": 20.0}, "outshouted"),
        ({"peak_inside_rank": 0.5, "area_fraction": 0.001}, "small"),
        ({"peak_inside_rank": 0.5, "contrast": 0.5}, "faint"),
        ({"peak_inside_rank": 0.5, "place_error_rank": 0.99}, "busy_place"),
        ({"peak_inside_rank": 0.5, "border_px": 2}, "border"),
        ({"peak_inside_rank": 0.5}, "reconstructed"),
        ({"peak_inside": math.nan}, "unmeasured"),
    ],
)
def test_a_miss_goes_to_the_first_rule_that_holds(changes, key):
    assert mode_of_miss(replace(SEEN, **changes), RULES).key == key


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"unusual_rank": 1.0, "border_px": 1}, "unusual_normal"),
        ({"latent_rank": 1.0}, "unusual_normal"),
        ({"brightness_departure": -9.0}, "illumination"),
        ({"border_px": 1}, "alarm_at_border"),
        ({"place_error_rank": 0.95}, "alarm_at_busy_place"),
        ({}, "tail"),
    ],
)
def test_a_false_alarm_goes_to_the_first_rule_that_holds(changes, key):
    assert mode_of_alarm(replace(PLAIN_ALARM, **changes), RULES).key == key


def test_causes_that_were_not_measured_never_satisfy_a_rule():
    assert mode_of_alarm(AlarmCauses(), RULES).key == "tail"
    assert mode_of_miss(MissCauses(), RULES).key == "unmeasured"


def test_every_miss_and_every_false_alarm_is_listed_once(scored, reference):
    thresholds = {"low": float(np.quantile(scored.scores, 0.4)), "high": float(np.quantile(scored.scores, 0.9))}
    found = analyse_errors(scored, thresholds, reference)
    expected = {
        name
        for name, defective, score in zip(scored.names, scored.defective, scored.scores, strict=True)
        if any((score < limit) == defective for limit in thresholds.values())
    }
    assert sorted(case.name for case in found.cases) == sorted(expected)
    assert sum(count for _, count in found.top_modes) <= len(found.cases)
    for result in found.thresholds:
        misses = [c for c in found.cases if c.kind == CaseKind.MISS and result.name in c.fails_at]
        assert len(misses) == result.num_misses


def test_where_nothing_fails_the_closest_calls_are_shown_instead(scored, reference):
    separated = replace(scored, scores=scored.defective + np.linspace(0, 0.5, scored.num_images))
    found = analyse_errors(separated, {"between": 0.75}, reference)
    assert found.cases == found.top_modes == ()
    assert {case.kind for case in found.closest} == {CaseKind.CLOSE_DEFECT, CaseKind.CLOSE_NORMAL}
    assert found.closest[0].score == separated.scores[separated.defective].min()
    assert found.thresholds[0].miss_rate.high > 0


def test_normals_alone_have_false_alarms_and_no_miss_rate(normals_only, reference):
    found = analyse_errors(normals_only, {"median": float(np.median(normals_only.scores))}, reference)
    assert found.thresholds[0].num_false_alarms == len(found.cases)
    assert math.isnan(found.thresholds[0].miss_rate.value)


def test_the_causes_of_a_miss_are_what_the_mask_and_maps_hold(scored, reference):
    index = int(np.flatnonzero(scored.defective)[0])
    mask = scored.masks[index]
    causes = CauseMeter(scored, reference).of_miss(index)
    assert causes.area_fraction == mask.mean()
    assert causes.border_px == 30
    assert causes.peak_inside == scored.heatmaps[index].max()
    slow = np.abs(scored.images[index] - reference.mean_image) / np.maximum(reference.std_image, 1 / 255)
    assert causes.contrast == pytest.approx(slow[mask].mean(), rel=1e-4)
    assert causes.peak_inside_rank == 1


def test_a_place_where_normals_are_reconstructed_badly_ranks_high(scored, reference):
    errors = np.zeros_like(scored.images)
    bad_place = square(30, 40, 12)
    errors[:, bad_place] = 1.0
    index = int(np.flatnonzero(scored.defective)[0])
    causes = CauseMeter(replace(scored, error_maps=errors), reference).of_miss(index)
    assert causes.place_error_rank > 0.99


def test_a_normal_image_unlike_the_training_images_is_found_unusual(scored, reference):
    images = scored.images.copy()
    images[0] = np.linspace(0, 1, SIZE, dtype=np.float32)[:, None]
    causes = CauseMeter(replace(scored, images=images), reference).of_alarm(0)
    assert causes.unusual_rank == 1
    assert causes.contrast_departure > 3  # a ramp from black to white spreads more than the grating


def test_without_a_mask_or_maps_nothing_is_claimed(scored, reference):
    has_mask = scored.has_mask.copy()
    has_mask[-1] = False
    bare = replace(scored, has_mask=has_mask, heatmaps=None, error_maps=None, reconstructions=None, latents=None)
    found = analyse_errors(bare, {"all quiet": 1e9}, reference)
    assert {case.mode.key for case in found.cases} == {"unmeasured"}
    assert "No cause could be measured." in {describe(case) for case in found.cases}


def test_a_robust_departure_ignores_one_wild_value():
    others = np.array([1.0, 2.0, 3.0, 4.0, 1e9])
    assert robust_departure(3.0, others) == 0
    assert robust_departure(5.0, np.full(4, 1.0)) == math.inf
