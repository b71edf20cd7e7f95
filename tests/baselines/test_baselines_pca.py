"""PCA reconstruction against scikit-learn's own, at every size of data set."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.decomposition import PCA

from waferlens.baselines.pca import PcaOptions, fit_pca
from waferlens.errors import DataError
from waferlens.models.detector import Detector
from waferlens.models.error_map import ErrorMap, ErrorMapOptions
from waferlens.models.normalise import Normalise, NormaliseOptions
from waferlens.training.calibrate import CalibrationOptions, calibrate
from waferlens.training.feed import Feed


def feed_of(images, rows):
    return Feed(images, np.asarray(rows), Normalise(NormaliseOptions()), torch.device("cpu"))


@pytest.fixture(scope="module")
def training(normals):
    return feed_of(normals, range(30))


@pytest.fixture(scope="module")
def new_images(normals):
    return feed_of(normals, range(30, 48)).take(np.arange(18))


@pytest.mark.parametrize("k", [1, 5, 12])
def test_reconstruction_is_scikit_learns(training, new_images, k):
    flat = training.take(np.arange(30)).numpy().reshape(30, -1)
    model = PCA(k, svd_solver="full").fit(flat)
    expected = model.inverse_transform(model.transform(new_images.numpy().reshape(18, -1)))
    fitted = fit_pca(training, PcaOptions(num_components=(12, 1, 5)))
    reconstruction, coordinates = fitted.reconstructors[k](new_images)
    np.testing.assert_allclose(reconstruction.numpy().reshape(18, -1), expected, atol=1e-4)
    assert coordinates.shape == (18, k)
    assert fitted.explained[k] == pytest.approx(model.explained_variance_ratio_.sum(), rel=1e-4)


def test_more_components_reconstruct_better(training):
    fitted = fit_pca(training, PcaOptions(num_components=(1, 4, 16)))
    images = training.take(np.arange(30))
    errors = [(fitted.reconstructors[k](images)[0] - images).square().mean().item() for k in (1, 4, 16)]
    assert errors == sorted(errors, reverse=True)


def test_k_is_cut_to_what_the_data_allows_and_says_so(training):
    fitted = fit_pca(training, PcaOptions(num_components=(10, 100, 200)))
    assert fitted.largest_possible == 29
    assert fitted.cut == {100: 29, 200: 29}
    assert sorted(fitted.reconstructors) == [10, 29]
    images = training.take(np.arange(30))
    torch.testing.assert_close(fitted.reconstructors[29](images)[0], images, atol=1e-3, rtol=0)
    assert fitted.explained[29] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    "limits", [{"exact_up_to": 0}, {"in_memory_up_to": 0, "batch_size": 16}], ids=["randomised", "incremental"]
)
def test_large_sets_are_fitted_to_nearly_the_same_subspace(normals, limits):
    training = feed_of(normals, range(48))
    exact = fit_pca(training, PcaOptions(num_components=(3,)))
    other = fit_pca(training, PcaOptions(num_components=(3,), **limits))
    cosines = torch.linalg.svdvals(exact.reconstructors[3].components @ other.reconstructors[3].components.T)
    assert cosines.min() > 0.97
    torch.testing.assert_close(exact.reconstructors[3].mean, other.reconstructors[3].mean, atol=1e-4, rtol=0)
    assert other.explained[3] == pytest.approx(exact.explained[3], rel=0.03)


def test_parts_of_an_incremental_fit_are_never_smaller_than_k(normals):
    fitted = fit_pca(
        feed_of(normals, range(47)), PcaOptions(num_components=(20,), in_memory_up_to=0, batch_size=16)
    )
    assert fitted.reconstructors[20].components.shape == (20, 256 * 256)


def test_pca_takes_the_place_of_the_network_in_the_same_detector(normals, training):
    network = fit_pca(training, PcaOptions(num_components=(8,))).reconstructors[8]
    detector = Detector(Normalise(NormaliseOptions()), network, ErrorMap(ErrorMapOptions())).eval()
    found = calibrate(detector, feed_of(normals, range(30, 48)), CalibrationOptions())
    pixels = torch.from_numpy(normals.take([40, 41]))[:, None]
    with torch.inference_mode():
        outputs = detector(pixels)
        pixels[0, 0, 100:130, 100:130] = 255
        marred = detector(pixels)
    assert found.latents.shape == (18, 8)
    assert outputs.reconstruction.shape == (2, 1, 256, 256)
    assert marred.score[0] > outputs.score[0] + 2
    assert detector.num_parameters == 9 * 256 * 256


def test_too_few_images_are_refused(normals):
    with pytest.raises(DataError, match="3 or more; found 2"):
        fit_pca(feed_of(normals, range(2)), PcaOptions())


@pytest.mark.parametrize("asked", [(), (0,), (10, -1)])
def test_component_counts_that_make_no_sense_are_refused(asked):
    with pytest.raises(ValidationError):
        PcaOptions(num_components=asked)


def test_the_case_studys_counts_are_the_default():
    assert PcaOptions().num_components == (10, 50, 100, 200)
