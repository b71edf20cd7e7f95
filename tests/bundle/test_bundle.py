"""A model on disk is what was trained, whole and unaltered, and says where it comes from."""

import json
import platform
import shutil
from copy import deepcopy as copy_of
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from waferlens.bundle.card import model_card
from waferlens.bundle.contents import (
    BundleConfig,
    load_config,
    load_reference,
    load_samples,
    load_thresholds,
    model_input,
)
from waferlens.bundle.manifest import provenance, read_manifest, sha256_of, verify_bundle, write_manifest
from waferlens.bundle.model import load_detector, write_json
from waferlens.errors import BundleError


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    return shutil.copytree(saved, tmp_path / "bundle")


def change_json(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_a_loaded_detector_gives_the_outputs_of_the_trained_one_to_the_bit(saved, trained):
    pixels = torch.from_numpy(trained.images.take(range(6)))[:, None]
    # Training leaves the weights in channels-last order, for which other kernels round otherwise.
    detector = copy_of(trained.fitted.detector).to(memory_format=torch.contiguous_format)
    with torch.inference_mode():
        before, after = detector(pixels), load_detector(saved)(pixels)
    for name, first, second in zip(before._fields, before, after, strict=True):
        assert first.numpy().tobytes() == second.numpy().tobytes(), name


def test_what_was_learned_comes_back(saved, trained):
    fitted = trained.fitted
    assert load_thresholds(saved) == fitted.thresholds
    reference = load_reference(saved)
    assert reference.names == fitted.held_out_names
    np.testing.assert_array_equal(reference.scores, fitted.calibration.scores)
    np.testing.assert_array_equal(reference.reconstruction_errors, fitted.calibration.reconstruction_errors)
    np.testing.assert_array_equal(reference.latents, fitted.calibration.latents)
    assert reference.latents.dtype == np.float32
    samples = load_samples(saved)
    assert samples.train.shape == samples.held_out.shape == (8, 256, 256)
    assert json.loads((saved / "history.json").read_text()) == fitted.history


def test_a_bundle_from_before_usual_errors_divides_by_nothing(copy):
    path = copy / "calibration.safetensors"
    learned = load_file(path)
    assert any(name.startswith("usual_error.") for name in learned)
    save_file({name: value for name, value in learned.items() if "usual" not in name}, path)
    detector = load_detector(copy, verify=False)
    assert torch.equal(detector.usual_error(torch.ones(2, 128)), torch.ones(2, 1, 32, 32))


@pytest.mark.parametrize("name", ["usual_error.weight", "error_mean", "roi"])
def test_a_calibration_that_lacks_a_part_is_refused(copy, name):
    path = copy / "calibration.safetensors"
    learned = load_file(path)
    del learned[name]
    save_file(learned, path)
    with pytest.raises(BundleError, match=r"calibration\.safetensors does not fit"):
        load_detector(copy, verify=False)


def test_a_bundle_that_was_not_touched_is_verified(saved):
    content = verify_bundle(saved)
    assert content["files"]["model.safetensors"] == sha256_of(saved / "model.safetensors")
    assert "manifest.json" not in content["files"]


@pytest.mark.parametrize(
    "file", ["model.safetensors", "calibration.safetensors", "thresholds.json", "reference.parquet", "config.json"]
)
def test_one_altered_byte_is_found_and_named(copy, file):
    content = bytearray((copy / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / file).write_bytes(content)
    with pytest.raises(BundleError, match=f"altered: {file}"):
        load_detector(copy)


def test_a_missing_file_is_named(copy):
    (copy / "calibration.safetensors").unlink()
    with pytest.raises(BundleError, match=r"missing: calibration\.safetensors"):
        verify_bundle(copy)


@pytest.mark.parametrize("file", ["extra.txt", "exports/other.onnx", "exports/manifest.json", ".hidden"])
def test_a_file_that_nobody_listed_is_named(copy, file):
    (copy / file).parent.mkdir(exist_ok=True)
    (copy / file).write_text("{}")
    with pytest.raises(BundleError, match=f"not listed: {file}"):
        verify_bundle(copy)


@pytest.mark.parametrize("content", [None, "not json", "[]", "{}", '{"files": []}'])
def test_a_folder_without_a_manifest_is_no_bundle(copy, content):
    (copy / "manifest.json").unlink()
    if content is not None:
        (copy / "manifest.json").write_text(content)
    with pytest.raises(BundleError):
        verify_bundle(copy)


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"format_version": 2}, "format_version"), ({"later": 1}, "later"), ({"seed": "x"}, "seed")],
)
def test_a_config_of_another_format_is_refused(copy, changed, named):
    change_json(copy / "config.json", **changed)
    write_manifest(copy, {})
    with pytest.raises(BundleError, match=named):
        load_detector(copy)


def test_a_detector_of_an_unknown_kind_is_refused(copy):
    config = json.loads((copy / "config.json").read_text())
    config["detector"]["network"]["kind"] = "diffusion"
    write_json(copy / "config.json", config)
    with pytest.raises(BundleError, match="unknown detector"):
        load_detector(copy, verify=False)


def test_weights_that_do_not_fit_the_config_are_refused(copy):
    config = json.loads((copy / "config.json").read_text())
    config["detector"]["network"]["channels"] = [4, 4, 8, 16]
    write_json(copy / "config.json", config)
    with pytest.raises(BundleError, match=r"model\.safetensors does not fit"):
        load_detector(copy, verify=False)


@pytest.mark.parametrize("file", ["config.json", "thresholds.json", "reference.parquet", "samples.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff torn", b"[1, 2]"])
def test_a_torn_file_is_an_error_that_names_it(copy, file, content):
    (copy / file).write_bytes(content)
    readers = {
        "config.json": load_config,
        "thresholds.json": load_thresholds,
        "reference.parquet": load_reference,
        "samples.safetensors": load_samples,
    }
    with pytest.raises(BundleError, match=file):
        readers[file](copy)


def test_the_manifest_says_where_a_bundle_comes_from_but_no_path_and_no_host(saved):
    told = read_manifest(saved)["provenance"]
    text = json.dumps(told)
    assert platform.node() not in text
    assert str(Path.home()) not in text
    assert str(Path.cwd()) not in text
    assert len(told["data_fingerprint"]) == 64
    assert told["seed"] == 5
    assert {"torch", "numpy", "openvino", "onnxruntime"} <= told["libraries"].keys()
    assert told["git_commit"] is None or len(told["git_commit"].removesuffix("-dirty")) == 40


def test_the_same_data_and_code_tell_the_same_provenance():
    assert provenance("f" * 64, 1, "waferlens train") == provenance("f" * 64, 1, "waferlens train")


def config_of(saved, input_type) -> BundleConfig:
    return load_config(saved).model_copy(update={"input_type": input_type})


def test_a_bundle_of_bytes_sees_sixteen_bit_images_rounded_to_bytes(saved):
    grey = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256)
    seen = model_input(grey, config_of(saved, "uint8"))
    assert seen.dtype == np.uint8
    assert seen.shape == (1, 1, 256, 256)
    np.testing.assert_array_equal(seen.ravel(), np.rint(np.arange(65536) / 257).astype(np.uint8))


def test_a_bundle_of_fractions_sees_both_depths_on_the_same_scale(saved):
    config = config_of(saved, "float32")
    grey = np.random.default_rng(0).integers(0, 256, (2, 256, 256)).astype(np.uint8)
    stretched = grey.astype(np.uint16) * np.uint16(257)
    first, second = model_input(grey, config), model_input(stretched, config)
    assert first.dtype == second.dtype == np.float32
    np.testing.assert_allclose(first, second, atol=1e-7)
    assert second.max() <= 1.0


def test_a_bundle_of_bytes_sees_bytes_as_they_are(saved):
    grey = np.random.default_rng(0).integers(0, 256, (2, 256, 256)).astype(np.uint8)
    np.testing.assert_array_equal(model_input(grey, config_of(saved, "uint8"))[:, 0], grey)


def test_the_card_tells_figures_and_no_more_than_is_known(exported, trained):
    metrics = {
        "num_training_images": 29, "num_held_out_images": 19, "best_epoch": 2, "num_epochs": 3,
        "validation_reconstruction": 1234.5,
    }  # fmt: skip
    parity = json.loads((exported / "parity.json").read_text())
    config, thresholds = load_config(exported), load_thresholds(exported)
    card = model_card(config, thresholds, metrics, parity, read_manifest(exported)["provenance"])
    for figure in (f"{config.num_parameters:,}", "1,234.5", "Best epoch 3 of 3", f"{thresholds.review:.4g}"):
        assert figure in card
    assert parity["default_engine"] in card
    assert "extrapolated" in card
    assert "known from this bundle" in card
    assert "discriminator" not in card
    told = {
        "detector": {**config.detector, "discriminator": {"enabled": True}},
        "recipe": {"damage": {"num_images": 4096}},
    }
    shown = model_card(
        config.model_copy(update=told), thresholds, metrics, parity, read_manifest(exported)["provenance"]
    )
    assert "4,096 training images with random damage" in shown
