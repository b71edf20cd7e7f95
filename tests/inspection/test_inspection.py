"""From an array or a file to a decision that an inspector can see the reason of."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import waferlens
from waferlens.bundle.contents import load_reference, load_thresholds
from waferlens.engines.interface import Outputs
from waferlens.engines.parity import default_engine
from waferlens.errors import BundleError, EngineError, ImageContentError, ImageDepthError, ImageSizeError
from waferlens.inspection.files import inspect_files
from waferlens.inspection.heatmap import HeatScale, draw_inspection, grey_to_rgb, heat_scale_of, heat_to_rgb
from waferlens.inspection.inspector import Inspector
from waferlens.records import DecisionKind


@pytest.fixture(scope="module")
def inspector(exported):
    return waferlens.Detector.load(exported)


@pytest.fixture(scope="module")
def exact(exported):
    return Inspector.load(str(exported), engine="openvino")


@pytest.fixture
def image(normals):
    return normals.take([30])[0]


def marred(image):
    worse = image.copy()
    worse[90:150, 90:150] = 255
    return worse


def test_the_public_name_loads_a_bundle_and_inspects_an_array(inspector, image, exported):
    inspection = inspector.inspect(image, "W7-42")
    assert inspection.name == "W7-42"
    assert inspection.decision.kind in DecisionKind
    assert inspection.inference.reconstruction.shape == inspection.inference.heatmap.shape == (256, 256)
    assert inspection.inference.latent.shape == (128,)
    assert inspection.inference_time_ms > 0
    assert inspection.model_version == "vae-wafer-tiny-v0.1.0"
    assert inspector.engine.name == default_engine(exported)


def test_a_gross_defect_is_rejected_and_is_where_the_map_is_hottest(exact, image, exported):
    inspection = exact.inspect(marred(image))
    assert inspection.decision.kind is DecisionKind.REJECT
    row, column = np.unravel_index(inspection.inference.heatmap.argmax(), (256, 256))
    assert 85 <= row <= 155
    assert 85 <= column <= 155
    assert inspection.p_value == pytest.approx(1 / (1 + len(load_reference(exported).scores)))


def test_the_decision_follows_from_score_and_thresholds(exact, normals, exported):
    thresholds, reference = load_thresholds(exported), load_reference(exported)
    for image in normals.take(range(0, 48, 6)):
        inspection = exact.inspect(image)
        score = inspection.inference.score
        passed = inspection.decision.kind is DecisionKind.PASS
        assert passed == (score < thresholds.review)
        expected = (1 + (reference.scores >= score).sum()) / (len(reference.scores) + 1)
        assert inspection.p_value == pytest.approx(expected)


def test_the_same_image_gives_the_same_bytes(inspector, image):
    first, second = inspector.inspect(image).inference, inspector.inspect(image).inference
    assert first.heatmap.tobytes() == second.heatmap.tobytes()
    assert first.score == second.score


def test_a_sixteen_bit_image_is_judged_as_the_eight_bit_one_that_it_is_a_finer_copy_of(exact, image):
    wide = image.astype(np.uint16) * np.uint16(257)
    finer = (wide.astype(np.int64) + np.random.default_rng(0).integers(-100, 100, wide.shape)).clip(0, 65535)
    expected = exact.inspect(image).inference.score
    assert exact.inspect(wide).inference.score == expected
    assert exact.inspect(finer.astype(np.uint16)).inference.score == expected


def test_a_larger_image_is_averaged_down(exact, image):
    twice = np.kron(image, np.ones((2, 2), np.uint8))
    assert exact.inspect(twice).inference.score == exact.inspect(image).inference.score


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((256, 256, 3), np.uint8),
        np.zeros((256, 256), np.float32),
        np.zeros((256, 256), np.int16),
        np.zeros((256,), np.uint8),
    ],
    ids=lambda array: f"{array.shape} {array.dtype}",
)
def test_an_array_that_is_not_a_grey_image_is_refused(exact, array):
    with pytest.raises(ImageDepthError, match=r"\(H, W\) uint8 or uint16"):
        exact.inspect(array)


def test_an_image_that_would_have_to_be_squeezed_is_refused(exact):
    with pytest.raises(ImageSizeError, match="300x256"):
        exact.inspect(np.zeros((256, 300), np.uint8))


def test_a_file_its_bytes_and_its_array_are_one_image(exact, image, tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(image).save(path)
    scores = {
        exact.inspect(image).inference.score,
        exact.inspect_file(path).inference.score,
        exact.inspect_file(path.read_bytes(), "camera 3").inference.score,
    }
    assert len(scores) == 1


def test_an_altered_bundle_is_not_opened(exported, tmp_path):
    bundle = shutil.copytree(exported, tmp_path / "bundle")
    thresholds = json.loads((bundle / "thresholds.json").read_text())
    (bundle / "thresholds.json").write_text(json.dumps(thresholds | {"review": 1e9, "reject": 1e9}))
    with pytest.raises(BundleError, match=r"altered: thresholds\.json"):
        Inspector.load(bundle)


def test_a_bundle_that_was_not_exported_can_still_be_asked_for_the_reference(saved, image):
    with pytest.raises(BundleError, match=r"parity\.json"):
        Inspector.load(saved)
    assert Inspector.load(saved, engine="pytorch").inspect(image).decision.kind in DecisionKind
    with pytest.raises(EngineError, match="export"):
        Inspector.load(saved, engine="openvino")


class BrokenEngine:
    """A runtime that answers with what is not a number."""

    name = "broken"

    def infer(self, pixels):
        maps, numbers = np.full((1, 1, 256, 256), np.nan, np.float32), np.full(1, np.nan, np.float32)
        return Outputs(maps, maps, numbers, numbers, np.full((1, 128), np.nan, np.float32))


def test_an_answer_that_is_not_finite_is_an_error_and_in_a_list_of_files_a_review(
    exact, image, exported, tmp_path
):
    broken = Inspector(BrokenEngine(), exact.config, exact.thresholds, load_reference(exported).scores)
    with pytest.raises(ImageContentError, match="no finite answer"):
        broken.inspect(image)
    Image.fromarray(image).save(tmp_path / "a.png")
    (result,) = inspect_files(broken, [tmp_path / "a.png"], exported, None)
    assert result.decision.kind is DecisionKind.REVIEW


def test_an_inspection_server_needs_no_torch(exported):
    code = (
        "import sys, numpy, waferlens;"
        f"found = waferlens.Detector.load({str(exported)!r}, engine='openvino').inspect("
        "numpy.zeros((256, 256), numpy.uint8));"
        "print(found.decision.kind, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split()[1] == "False"


def test_files_give_one_result_each_in_order_and_what_cannot_be_read_is_reviewed(
    exact, normals, exported, tmp_path
):
    good, torn, other = tmp_path / "a.png", tmp_path / "torn.png", tmp_path / "more" / "a.png"
    other.parent.mkdir()
    Image.fromarray(normals.take([0])[0]).save(good)
    torn.write_bytes(good.read_bytes()[:900])
    Image.fromarray(marred(normals.take([1])[0])).save(other)
    files = [good, torn, tmp_path / "nowhere.png", other]
    results = list(inspect_files(exact, files, exported, tmp_path / "maps"))
    assert [result.file for result in results] == [str(file) for file in files]
    assert [result.failed for result in results] == [False, True, True, False]
    for result in results[1:3]:
        assert result.decision.kind is DecisionKind.REVIEW
        assert result.decision.confidence == 0.0
        assert result.decision.reason
        assert "\n" not in result.decision.reason
    assert results[3].decision.kind is DecisionKind.REJECT
    assert len(list((tmp_path / "maps").iterdir())) == 2
    told = [json.loads(json.dumps(result.as_dict(), allow_nan=False)) for result in results]
    assert told[1]["anomaly_score"] is None
    assert len(told[0]["latent_vector"]) == 128
    assert {entry["model_version"] for entry in told} == {"vae-wafer-tiny-v0.1.0"}


SCALE = HeatScale(top=12.0, review=4.0, reject=8.0)


def test_the_same_deviation_has_the_same_colour_whatever_else_is_in_the_map():
    calm, wild = np.full((4, 4), 3.0, np.float32), np.full((4, 4), 50.0, np.float32)
    wild[1, 2] = 3.0
    np.testing.assert_array_equal(heat_to_rgb(calm, SCALE)[0, 0], heat_to_rgb(wild, SCALE)[1, 2])


def test_colours_grow_lighter_with_the_deviation_and_end_at_both_ends():
    ramp = heat_to_rgb(np.linspace(0, 12, 200, dtype=np.float32)[None], SCALE)[0].astype(int)
    luminance = ramp @ [299, 587, 114]
    assert (np.diff(luminance) >= 0).all()
    below, above = heat_to_rgb(np.array([[-5.0, 500.0]], np.float32), SCALE)[0]
    np.testing.assert_array_equal(below, ramp[0])
    np.testing.assert_array_equal(above, ramp[-1])


def test_a_map_reaches_review_on_the_scale_exactly_where_its_score_reaches_the_threshold(exact, image, exported):
    scale, thresholds = heat_scale_of(exported), load_thresholds(exported)
    inference = exact.inspect(image).inference
    slope = (scale.reject - scale.review) / (thresholds.reject - thresholds.review)
    expected = scale.review + slope * (inference.score - thresholds.review)
    boxes = inference.heatmap.reshape(64, 4, 64, 4).mean(axis=(1, 3)).ravel()
    assert np.sort(boxes)[-6:].mean() == pytest.approx(expected, rel=1e-3)
    assert scale.top == pytest.approx(1.5 * scale.reject)


def test_a_drawing_shows_image_reconstruction_and_map_side_by_side(exact, image, exported):
    scale = heat_scale_of(exported)
    inspection = exact.inspect(image, "W7-42")
    sheet = draw_inspection(image, inspection, scale)
    assert sheet.mode == "RGB"
    assert sheet.width > 3 * 256
    assert sheet.height > 256
    drawn = np.asarray(sheet)
    np.testing.assert_array_equal(drawn[22:278, 8:264], grey_to_rgb(image / 255))
    np.testing.assert_array_equal(drawn[22:278, 536:792], heat_to_rgb(inspection.inference.heatmap, scale))


def test_sixteen_bit_images_are_drawn_on_their_own_scale(exact, image, exported):
    inspection, scale = exact.inspect(image), heat_scale_of(exported)
    wide = image.astype(np.uint16) * np.uint16(257)
    first, second = (np.asarray(draw_inspection(pixels, inspection, scale)) for pixels in (image, wide))
    np.testing.assert_array_equal(first, second)


def test_a_scale_whose_decisions_are_made_on_another_number_has_no_marks_but_is_drawn(exact, image):
    unmarked, marked = HeatScale(top=12.0), SCALE
    inspection = exact.inspect(image)
    plain, named = (np.asarray(draw_inspection(image, inspection, scale)) for scale in (unmarked, marked))
    np.testing.assert_array_equal(plain[:, :792], named[:, :792])
    assert (plain[:, 800:] != named[:, 800:]).any()
