"""The same place imaged again: by how much a score differs then, in the unit that decides."""

import numpy as np
import pytest
import torch

import tiny
from waferlens.images.augment import AugmentationOptions
from waferlens.models.normalise import Normalise, NormaliseOptions
from waferlens.training.calibrate import CalibrationOptions, calibrate
from waferlens.training.feed import Feed
from waferlens.training.repeatability import measure_repeatability
from waferlens.training.run import REIMAGING

STILL = AugmentationOptions(rotation_degrees=0, shift_pixels=0, noise_sigma=0, gain=0, offset=0)


@pytest.fixture(scope="module")
def held_out(normals):
    return Feed(normals, np.arange(13), Normalise(NormaliseOptions()), torch.device("cpu"))


@pytest.fixture
def detector():
    return tiny.detector(3)


def test_a_place_that_is_imaged_again_unchanged_scores_the_same(detector, held_out):
    calibrate(detector, held_out, CalibrationOptions())
    assert measure_repeatability(detector, held_out, STILL, seed=0) == 0.0


@pytest.mark.parametrize("score_name", ["score", "reconstruction_error"])
def test_repeatability_is_measured_in_the_unit_that_decides(detector, held_out, score_name):
    calibrate(detector, held_out, CalibrationOptions())
    found = measure_repeatability(detector, held_out, REIMAGING, seed=0, score_name=score_name)
    again = measure_repeatability(detector, held_out, REIMAGING, seed=0, score_name=score_name)
    with torch.inference_mode():
        image = held_out.take(np.arange(13))
        values = getattr(detector.error_map(image, detector.network(image)[0]), score_name)
    assert found == again
    assert 0 < found < 3 * values.abs().max().item()


def test_a_shakier_stage_is_less_repeatable(detector, held_out):
    calibrate(detector, held_out, CalibrationOptions())
    gentle, rough = (
        measure_repeatability(detector, held_out, STILL.model_copy(update={"shift_pixels": shift}), seed=0)
        for shift in (0.2, 6.0)
    )
    assert gentle < rough
