"""From images to a calibrated detector, and what makes a run that run."""

import numpy as np
import pytest
import runs
import torch

import tiny
from waferlens.decision.thresholds import ThresholdOptions
from waferlens.training.run import fit, rows_of, run_name


def test_a_fitted_detector_knows_what_it_was_learned_from(trained):
    fitted = trained.fitted
    held_out = {image.name for image in trained.split.validation}
    assert set(fitted.held_out_names) == held_out
    assert fitted.thresholds.num_normals == len(held_out) == len(fitted.calibration.scores)
    assert fitted.thresholds.repeatability > 0
    assert len(fitted.history) == 3
    assert fitted.calibration.latents.shape == (len(held_out), 128)


def test_scores_belong_to_the_names_that_stand_beside_them(trained):
    fitted, rows = trained.fitted, {name: row for row, name in enumerate(trained.images.names)}
    for index, name in enumerate(fitted.held_out_names):
        pixels = torch.from_numpy(trained.images.take([rows[name]]))[:, None]
        with torch.inference_mode():
            error = fitted.detector(pixels).reconstruction_error.item()
        assert fitted.calibration.reconstruction_errors[index] == pytest.approx(error, rel=1e-4)


def test_rows_follow_the_pack_and_not_the_names(normals):
    assert rows_of(normals, {"010.png", "002.png"}).tolist() == [2, 10]


def test_a_run_is_named_after_its_data_options_and_seed(normals):
    split, options = tiny.split_of(normals), tiny.fit_options()
    names = {
        run_name(split, options, 1),
        run_name(split, options, 2),
        run_name(split, tiny.fit_options(epochs=9), 1),
        run_name(tiny.split_of(normals, 0.2), options, 1),
    }
    assert len(names) == 4
    assert run_name(split, options, 1) == run_name(tiny.split_of(normals), tiny.fit_options(), 1)


def test_under_the_fixed_policy_confidence_is_in_the_unit_of_the_error(normals, tmp_path, one_thread):
    options = tiny.fit_options(epochs=1)
    fixed = ThresholdOptions(
        policy="fixed", score_name="reconstruction_error", review_threshold=0.02, reject_threshold=0.05
    )
    roi = np.zeros((256, 256), np.float32)
    roi[:, 40:] = 1.0
    images = tiny.pack(normals.pixels[:20])
    fitted = fit(
        runs.cpu(),
        images,
        tiny.split_of(images),
        type(options)(**{**options.__dict__, "thresholds": fixed}),
        roi=roi,
        seed=1,
        folder=tmp_path,
        run="f" * 64,
        watch=lambda progress: None,
        say=lambda text: None,
    )
    assert (fitted.thresholds.review, fitted.thresholds.reject) == (0.02, 0.05)
    assert 0 < fitted.thresholds.repeatability < fitted.calibration.reconstruction_errors.mean()
    assert fitted.detector.error_map.roi.mean().item() == pytest.approx(216 / 256)
