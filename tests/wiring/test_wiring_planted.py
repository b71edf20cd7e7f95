"""Planting and judging: what counts as a trial, as found and as a false call, with a hand-made judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tiny
from waferlens.decision.thresholds import Thresholds
from waferlens.engines.interface import Outputs
from waferlens.errors import DataError
from waferlens.evaluation.pod_curve import PodOutcome
from waferlens.evaluation.pod_study import PodOptions
from waferlens.images.planting import PlantKind
from waferlens.wiring.planted import Judge, Normals, measure_pod
from waferlens.wiring.told import SILENT

THRESHOLDS = Thresholds(review=3.0, reject=20.0)
ALL = np.ones((256, 256), bool)
OPTIONS = PodOptions(num_sizes=4, contrasts=(0.4,))


def brightness(pixels) -> Outputs:
    """A hand-made method that expects grey: the score is the mean distance from it, in per cent of full scale."""
    image = (pixels / np.float32(255)).astype(np.float32)[:, None]
    change = np.abs(image - 0.5).mean(axis=(1, 2, 3))
    return Outputs(image, image, 100 * change, change, np.zeros((len(image), 128), np.float32))


def flat(num, alarming=0):
    """Grey images, the last of them so bright that they alarm as they are."""
    pixels = np.full((num, 256, 256), 128, np.uint8)
    pixels[num - alarming :] = 200
    names = tuple(f"{number}.png" for number in range(num))
    return Normals(pixels=pixels, names=names, groups=names, source="by hand")


def measure(normals, *, alarm="review", within=ALL, seed=0, infer=brightness, options=OPTIONS):
    judge = Judge(infer=infer, thresholds=THRESHOLDS, alarm=alarm)
    return measure_pod(judge, normals, within=within, seed=seed, told=SILENT, options=options)


def curve(study, kind):
    return next(series.curve for series in study.series if series.kind is kind)


def test_an_image_that_alarms_as_it_is_counts_as_a_false_call_and_gets_nothing_planted():
    study = measure(flat(7, alarming=2))
    assert (study.num_normals, study.num_planted, study.num_groups) == (7, 5, 5)
    assert study.false_call_rate.value == 2 / 7
    assert curve(study, PlantKind.BLOTCH).num_trials == (5, 5, 5, 5)


def test_without_an_image_that_passes_there_is_nothing_to_plant_on():
    with pytest.raises(DataError, match=r"below REVIEW as they are; found 3 images, all above"):
        measure(flat(3, alarming=3))


def test_what_cannot_be_seen_is_no_trial_and_is_counted():
    study = measure(flat(3))
    by_kind = {series.kind: series for series in study.series}
    assert by_kind[PlantKind.BLOTCH].num_not_planted == 0
    for kind in (PlantKind.MOVED, PlantKind.PASTED, PlantKind.ERASED, PlantKind.BENT):
        assert by_kind[kind].curve is None
        assert by_kind[kind].num_not_planted == 3 * 4


def test_larger_defects_are_found_and_found_means_the_threshold_that_was_asked_for():
    def sensitive(pixels):
        outputs = brightness(pixels)
        return outputs._replace(score=600 * (outputs.score - 100 * (128 / 255 - 0.5)))

    options = PodOptions(num_sizes=5, contrasts=(0.4,))
    either, rejected = (
        measure(flat(3), alarm=alarm, infer=sensitive, options=options) for alarm in ("review", "reject")
    )
    assert (either.threshold, rejected.threshold) == (3.0, 20.0)
    assert curve(either, PlantKind.BLOTCH).outcome is PodOutcome.SEPARATED
    assert sum(curve(rejected, PlantKind.BLOTCH).num_found) < sum(curve(either, PlantKind.BLOTCH).num_found)


def test_a_score_that_is_not_finite_is_found_by_review_as_in_inspection():
    def broken(pixels):
        outputs = brightness(pixels)
        touched = (pixels != 128).any(axis=(1, 2))
        return outputs._replace(score=np.where(touched, np.nan, outputs.score))

    assert curve(measure(flat(2), infer=broken), PlantKind.BLOTCH).outcome is PodOutcome.ALL_FOUND
    assert curve(measure(flat(2), infer=broken, alarm="reject"), PlantKind.BLOTCH).outcome is PodOutcome.NONE_FOUND


def recorded(normals, seed=0, options=OPTIONS):
    """Every planted image by its bytes, as the judge saw them."""
    seen = []

    def infer(pixels):
        seen.extend(image.tobytes() for image in pixels)
        return brightness(pixels)

    measure(normals, seed=seed, infer=infer, options=options)
    return seen


def test_the_same_seed_plants_the_same_and_neither_other_images_nor_other_kinds_matter():
    images = tiny.normals(4)
    normals = Normals(pixels=images.pixels, names=images.names, groups=images.names, source="fab")
    judged = replace(normals, pixels=(normals.pixels // 8 + 112).astype(np.uint8))  # near enough to grey to pass
    first = recorded(judged)
    assert recorded(judged) == first
    assert recorded(judged, seed=1) != first
    alone = replace(judged, pixels=judged.pixels[1:2], names=judged.names[1:2], groups=judged.groups[1:2])
    assert set(recorded(alone)) <= set(first)
    fewer = PodOptions(num_sizes=3, contrasts=(0.4,))
    assert set(recorded(judged, options=fewer)) <= set(first)


def test_defects_lie_in_the_region_that_is_judged():
    within = np.zeros((256, 256), bool)
    within[:96, :96] = True
    seen = np.array([np.frombuffer(image, np.uint8).reshape(256, 256) for image in _planted_within(within)])
    rows, columns = np.nonzero((seen != 128).any(axis=0))
    assert rows.max() < 160
    assert columns.max() < 160


def _planted_within(within):
    seen = []

    def infer(pixels):
        seen.extend(image.tobytes() for image in pixels)
        return brightness(pixels)

    measure(flat(2), infer=infer, within=within)
    return seen


def test_images_of_one_wafer_are_one_group_unless_there_is_no_other():
    normals = flat(6)
    two = replace(normals, groups=("a", "a", "a", "b", "b", "b"))
    one = replace(normals, groups=("a",) * 6)
    assert measure(two).num_groups == 2
    assert measure(one).num_groups == 6
