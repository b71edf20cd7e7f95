"""Every engine decides as the reference does, or does not ship; and what is measured about them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import tiny
from waferlens.bundle.contents import load_config, load_reference, load_samples, load_thresholds
from waferlens.bundle.export import export_onnx, export_openvino, export_torchscript
from waferlens.bundle.model import load_detector, write_json
from waferlens.decision.decide import decide
from waferlens.engines import bench
from waferlens.engines.bench import bench_bundle, best_batch
from waferlens.engines.gate import export_all, run_gate
from waferlens.engines.interface import Outputs
from waferlens.engines.operations import count_operations, measure_rate
from waferlens.engines.parity import BOUND_8_BIT, bound_for, compare, default_engine, gate_images
from waferlens.engines.runtimes import ENGINES, open_engine
from waferlens.errors import BundleError, EngineError, ParityError
from waferlens.models.detector import DetectorOptions
from waferlens.models.normalise import NormaliseOptions
from waferlens.models.pixel_vae import PixelVAEOptions

EXACT = [name for name in ENGINES if name not in ("pytorch", "openvino-int8")]


@pytest.fixture(scope="module")
def pixels(exported):
    return gate_images(load_samples(exported).held_out)


@pytest.fixture(scope="module")
def expected(exported, pixels):
    return open_engine("pytorch", exported).infer(pixels)


@pytest.fixture(scope="module")
def deviation(exported):
    return float(load_reference(exported).scores.std(ddof=1))


def test_the_reference_engine_is_the_detector(exported, pixels, expected):
    with torch.inference_mode():
        outputs = load_detector(exported)(torch.from_numpy(pixels)[:, None])
    for mine, theirs in zip(expected, outputs, strict=True):
        np.testing.assert_array_equal(mine, theirs.numpy())


@pytest.mark.parametrize("name", EXACT)
def test_a_32_bit_engine_gives_the_references_outputs_and_decisions(exported, pixels, expected, deviation, name):
    outputs = open_engine(name, exported).infer(pixels)
    assert [output.shape for output in outputs] == [output.shape for output in expected]
    assert {output.dtype for output in outputs} == {np.dtype(np.float32)}
    assert np.abs(outputs.score - expected.score).max() <= 1e-4 * deviation
    np.testing.assert_allclose(outputs.reconstruction, expected.reconstruction, atol=1e-4)
    np.testing.assert_allclose(outputs.latent, expected.latent, atol=1e-4)
    np.testing.assert_allclose(outputs.reconstruction_error, expected.reconstruction_error, rtol=1e-3)
    thresholds = load_thresholds(exported)
    assert [decide(score, thresholds).kind for score in outputs.score] == [
        decide(score, thresholds).kind for score in expected.score
    ]


def test_the_eight_bit_engine_keeps_its_bound_or_is_marked_and_not_the_default(exported):
    content = json.loads((exported / "parity.json").read_text())
    entry = next(entry for entry in content["engines"] if entry["engine"] == "openvino-int8")
    assert entry["bound"] == BOUND_8_BIT
    if entry["passed"]:
        assert entry["max_difference"] <= BOUND_8_BIT
        assert entry["num_beyond_reach"] == 0
    else:
        assert default_engine(exported) != "openvino-int8"


def test_every_engine_is_in_the_gates_verdict(exported):
    content = json.loads((exported / "parity.json").read_text())
    assert [entry["engine"] for entry in content["engines"]] == [name for name in ENGINES if name != "pytorch"]
    assert {entry["num_images"] for entry in content["engines"]} == {16}
    assert default_engine(exported) in {entry["engine"] for entry in content["engines"] if entry["passed"]}


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_judges_an_image_alone_as_in_a_batch_and_twice_alike(exported, pixels, name):
    engine = open_engine(name, exported)
    together, again = engine.infer(pixels[:5]), engine.infer(pixels[:5])
    alone = [engine.infer(pixels[index : index + 1]).score[0] for index in range(5)]
    np.testing.assert_array_equal(together.score, again.score)
    np.testing.assert_allclose(alone, together.score, atol=2e-3 if "int8" in name else 1e-4)


@pytest.mark.parametrize("name", ENGINES)
def test_an_answer_is_not_overwritten_by_the_next(exported, pixels, name):
    engine = open_engine(name, exported)
    first = engine.infer(pixels[:1])
    kept = [output.copy() for output in first]
    engine.infer(pixels[8:9])
    for output, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(output, copy)


@pytest.mark.parametrize("name", ENGINES)
def test_sixteen_bit_pixels_are_taken_as_well(exported, pixels, name):
    engine = open_engine(name, exported)
    wide = pixels[:2].astype(np.uint16) * np.uint16(257)
    np.testing.assert_array_equal(engine.infer(wide).score, engine.infer(pixels[:2]).score)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((256, 256), np.uint8),
        np.zeros((1, 1, 256, 256), np.uint8),
        np.zeros((1, 128, 256), np.uint8),
        np.zeros((0, 256, 256), np.uint8),
        np.zeros((1, 256, 256), np.float32),
        np.zeros((1, 256, 256), np.int64),
    ],
    ids=lambda array: f"{array.shape} {array.dtype}",
)
def test_an_array_of_another_shape_or_type_is_refused(exported, name, wrong):
    with pytest.raises(EngineError, match="256"):
        open_engine(name, exported).infer(wrong)


def test_an_unknown_engine_is_refused_with_those_there_are(exported):
    with pytest.raises(EngineError, match=r"onnxruntime.*found tensorrt"):
        open_engine("tensorrt", exported)


@pytest.mark.parametrize("name", [name for name in ENGINES if name != "pytorch"])
def test_a_missing_export_is_told_with_what_to_do(saved, name):
    with pytest.raises(EngineError, match="waferlens export"):
        open_engine(name, saved)


@pytest.mark.parametrize("name", [name for name in ENGINES if name != "pytorch"])
def test_a_torn_export_is_an_engine_error_of_one_line(saved, tmp_path, name):
    bundle = shutil.copytree(saved, tmp_path / "bundle")
    (bundle / "exports").mkdir()
    (bundle / bench.export_path(name)).write_bytes(b"<?xml torn")
    with pytest.raises(EngineError, match=name) as error:
        open_engine(name, bundle)
    assert "\n" not in str(error.value)


def test_a_bundle_without_a_verdict_has_no_default_engine(saved):
    with pytest.raises(BundleError, match=r"parity\.json"):
        default_engine(saved)


@pytest.mark.parametrize("export", [export_torchscript, export_onnx])
def test_the_gate_stops_an_export_of_other_weights(exported, tmp_path, export):
    bundle = shutil.copytree(exported, tmp_path / "bundle")
    detector = load_detector(bundle)
    with torch.no_grad():
        detector.network.from_latent.bias += 0.05
    export(bundle, detector, load_config(bundle))
    with pytest.raises(ParityError, match="does not reproduce"):
        run_gate(bundle)


@pytest.mark.slow
def test_a_bundle_of_sixteen_bit_images_is_exported_and_held_to_the_reference_too(saved, tmp_path):
    bundle = shutil.copytree(saved, tmp_path / "bundle")
    write_json(bundle / "config.json", load_config(bundle).model_dump(mode="json") | {"input_type": "float32"})
    samples = load_samples(bundle)
    rng = np.random.default_rng(0)
    wide = [
        (pixels.astype(np.int64) * 257 + rng.integers(-100, 100, pixels.shape)).clip(0, 65535).astype(np.uint16)
        for pixels in (samples.train, samples.held_out)
    ]
    save_file({"train": wide[0], "held_out": wide[1]}, bundle / "samples.safetensors")
    content = export_all(bundle, lambda text: None)
    assert {entry["engine"] for entry in content["engines"] if entry["passed"]} >= set(EXACT)
    finer = open_engine("openvino", bundle).infer(wide[1])
    coarser = open_engine("openvino", saved_as_bytes(bundle, tmp_path)).infer(wide[1])
    assert 0 < np.abs(finer.reconstruction - coarser.reconstruction).max() < 0.02


def saved_as_bytes(bundle, folder):
    """The same model, exported for 8-bit pixels."""
    other = shutil.copytree(bundle, folder / "bytes")
    write_json(other / "config.json", load_config(other).model_dump(mode="json") | {"input_type": "uint8"})
    export_onnx(other, load_detector(other, verify=False), load_config(other))
    export_openvino(other)
    return other


class Shifted:
    """An engine that adds to every score of another."""

    def __init__(self, outputs: Outputs, name: str, shift: float) -> None:
        self.name = name
        self._outputs = outputs._replace(score=outputs.score + np.float32(shift))
        self._next = 0

    def infer(self, pixels):
        self._next += 1
        return Outputs(*(output[self._next - 1 : self._next] for output in self._outputs))


def shifted(expected, pixels, thresholds, name, shift):
    return compare(Shifted(expected, name, shift), expected, pixels, thresholds, 1.0)


def test_the_gate_measures_in_deviations_of_normal_scores(exported, expected, pixels):
    thresholds = load_thresholds(exported)
    assert shifted(expected, pixels, thresholds, "x", 0.0).passed
    found = shifted(expected, pixels, thresholds, "x", 0.01)
    assert found.max_difference == pytest.approx(0.01, rel=1e-2)
    assert not found.passed
    assert compare(Shifted(expected, "x", 0.01), expected, pixels, thresholds, 1000.0).max_difference < 1e-4


def test_far_beyond_normal_the_gate_measures_in_proportion_to_the_score(exported, expected, pixels):
    thresholds = load_thresholds(exported)
    far = expected._replace(score=np.full_like(expected.score, 400.0))
    found = shifted(far, pixels, thresholds, "x", 2e-3)
    assert found.passed
    assert found.max_difference == pytest.approx(2e-3 / 40, rel=0.05)
    assert not shifted(far, pixels, thresholds, "x", 5e-3).passed
    near = expected._replace(score=np.full_like(expected.score, 9.0))
    assert not shifted(near, pixels, thresholds, "x", 4e-4).passed


def test_one_other_decision_fails_a_32_bit_engine_and_only_an_unexplained_one_an_8_bit_engine(
    exported, pixels, expected
):
    edge = float(np.nextafter(expected.score[0], np.float32(np.inf)))
    thresholds = replace(load_thresholds(exported), review=edge, reject=1e6)
    assert not shifted(expected, pixels, thresholds, "x", 2e-5).passed
    assert shifted(expected, pixels, thresholds, "x", 2e-5).num_other_decisions >= 1
    assert shifted(expected, pixels, thresholds, "x-int8", 2e-5).passed
    assert not shifted(expected, pixels, thresholds, "x-int8", 0.3).passed


def test_a_score_that_is_not_a_number_never_passes_the_gate(exported, expected, pixels):
    for name in ("x", "x-int8"):
        assert not shifted(expected, pixels, load_thresholds(exported), name, np.nan).passed


def test_eight_bits_are_held_to_their_own_bound():
    assert bound_for("openvino-int8") == 0.25
    assert {bound_for(name) for name in EXACT} == {1e-4}


def test_gate_images_keep_the_originals_and_add_damage_that_grows():
    held_out = np.full((6, 256, 256), 120, np.uint8)
    images = gate_images(held_out)
    assert images.shape == (12, 256, 256)
    np.testing.assert_array_equal(images[:6], held_out)
    spots = [int(np.abs(image.astype(int) - 120).max()) for image in images[6::3]]
    assert spots == sorted(spots)
    assert spots[0] > 0
    np.testing.assert_array_equal(images, gate_images(held_out))
    assert gate_images(held_out.astype(np.uint16) * np.uint16(257)).dtype == np.uint16


def test_operations_are_those_counted_by_hand():
    options = DetectorOptions(
        network=PixelVAEOptions(channels=(2, 3), bottleneck_channels=0),
        normalise=NormaliseOptions(flat_field=False),
    )
    encoder = 9 * (1 * 2 * 128**2 + 2 * 3 * 64**2)
    heads = 2 * 128 * 3 * 64**2
    # A transposed convolution of 4x4 at stride 2 meets each of its input positions 16 times.
    decoder = 16 * (3 * 2 * 64**2 + 2 * 1 * 128**2)
    smoothing = 2 * 256**3
    detector = tiny.detector(options=options)
    assert count_operations(detector) == 2 * (encoder + heads + decoder + smoothing)
    flattened = tiny.detector(options=options.model_copy(update={"normalise": NormaliseOptions()}))
    assert count_operations(flattened) - count_operations(detector) == 2 * smoothing


def test_a_resize_decoder_is_counted_at_its_larger_size():
    options = DetectorOptions(
        network=PixelVAEOptions(channels=(2, 3), bottleneck_channels=0, decoder="resize"),
        normalise=NormaliseOptions(flat_field=False),
    )
    decoder = 9 * (3 * 2 * 128**2 + 2 * 1 * 256**2)
    others = 9 * (1 * 2 * 128**2 + 2 * 3 * 64**2) + 2 * 128 * 3 * 64**2 + 2 * 256**3
    assert count_operations(tiny.detector(options=options)) == 2 * (others + decoder)


def test_measuring_the_machine_leaves_its_thread_count_alone(one_thread):
    before = torch.get_num_threads()
    assert measure_rate(2, seconds=0.05) > 1e8
    assert torch.get_num_threads() == before


@pytest.fixture(scope="module")
def rows(exported):
    told = []
    found = bench_bundle(
        exported, batches=(1, 4), threads=1, num_images=12, count=lambda done, of: told.append((done, of))
    )
    assert told == [(1, 2), (2, 2)]
    return found


@pytest.mark.slow
def test_bench_rows_hold_the_promised_figures(rows):
    assert [(row.engine, row.batch) for row in rows if row.device == "cpu"] == [
        (name, batch) for batch in (1, 4) for name in ENGINES
    ]
    for row in rows:
        content = row.as_dict()
        assert content.keys() >= {
            "engine", "batch", "threads", "mean_ms", "p50_ms", "p99_ms", "images_per_second", "parity",
        }  # fmt: skip
        assert json.dumps(content)
        assert 0 < row.p50_ms <= row.p99_ms
        assert row.images_per_second == pytest.approx(1e3 * row.batch / row.mean_ms)
        assert row.parity.keys() >= {"max_difference", "bound", "passed"}
        assert row.num_calls >= 12
        assert row.floor_ms > 0
        assert row.size_mb > 0
        if row.engine == "pytorch" and row.device == "cpu":
            assert row.speedup == pytest.approx(1.0)


@pytest.mark.slow
def test_peak_memory_is_that_of_the_engines_own_process(exported):
    here = np.ones(100_000_000)  # 800 MB that an engine's process must not be charged with
    assert here.sum() > 0
    assert 20 < bench._peak_megabytes("onnxruntime", exported, 1, 1) < 600


@pytest.mark.slow
def test_the_best_batch_is_the_least_delayed_that_is_fast_enough(rows):
    mine = [row for row in rows if row.engine == "openvino"]
    slowest = min(row.images_per_second for row in mine)
    assert best_batch(rows, "openvino", slowest) == min(mine, key=lambda row: row.p99_ms)
    assert best_batch(rows, "openvino", 1e12) is None
