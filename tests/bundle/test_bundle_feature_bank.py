"""A bank of normal features, from few images into a bundle and out of every engine."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny
from waferlens.bundle.card import model_card
from waferlens.bundle.contents import BundleConfig, Samples, load_config, load_thresholds
from waferlens.bundle.manifest import provenance, write_manifest
from waferlens.bundle.model import load_detector, save_model
from waferlens.engines.gate import export_all
from waferlens.models.detector import DetectorOptions
from waferlens.models.discriminator import DiscriminatorOptions
from waferlens.models.feature_bank import FeatureBankOptions
from waferlens.models.feature_vae import FeatureVAEOptions
from waferlens.training.hardware import start_fabric
from waferlens.training.run import fit, rows_of

DETECTOR = DetectorOptions(
    network=FeatureVAEOptions(width=8, squeezed=4, whitening_rank=4),
    discriminator=DiscriminatorOptions(enabled="auto", at_least=20, width=4, trunk=8),
    feature_bank=FeatureBankOptions(enabled="auto", fewer_than=30, size=64),
)


@pytest.fixture(scope="module")
def split(normals):
    return tiny.split_of(normals)


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def fitted(normals, split, said, tmp_path_factory):
    options = replace(tiny.fit_options(epochs=1), detector=DETECTOR)
    return fit(
        start_fabric(options.training), normals, split, options, roi=None, seed=1,
        folder=tmp_path_factory.mktemp("run"), run="f" * 64, watch=lambda progress: None, say=said.append,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bundle(normals, split, fitted, tmp_path_factory):
    config = BundleConfig(
        name="vae-wafer-few", version="v0.1.0", seed=1, input_type="uint8",
        num_parameters=fitted.detector.num_parameters, detector=fitted.options.model_dump(mode="json"),
        images=tiny.IMAGES, recipe={"name": "few", "damage": {"num_images": 32}},
    )  # fmt: skip
    parts = (
        normals.take(rows_of(normals, {i.name for i in part})[:6]) for part in (split.train, split.validation)
    )
    path = tmp_path_factory.mktemp("bundles") / "few"
    save_model(path, config, fitted, Samples(train=np.array(next(parts)), held_out=np.array(next(parts))))
    write_manifest(path, provenance(split.fingerprint, 1, "waferlens train data --out few"))
    return path


def test_few_images_have_a_bank_and_training_says_so(fitted, split, said):
    assert len(split.train) < DETECTOR.feature_bank.fewer_than
    assert fitted.options.feature_bank.enabled is True
    assert fitted.options.discriminator.enabled is True
    assert fitted.detector.feature_bank.vectors.abs().sum() > 0
    assert any("bank" in line for line in said)


def test_of_very_few_there_is_no_discriminator_and_training_says_so(normals, tmp_path):
    few, said = tiny.pack(normals.pixels[:14]), []
    options = replace(tiny.fit_options(epochs=1), detector=DETECTOR)
    fitted = fit(
        start_fabric(options.training), few, tiny.split_of(few), options, roi=None, seed=1,
        folder=tmp_path, run="f" * 64, watch=lambda progress: None, say=said.append,
    )  # fmt: skip
    assert fitted.detector.discriminator is None
    assert fitted.detector.feature_bank is not None
    assert any("no discriminator" in line for line in said)


def test_the_bundle_gives_the_same_detector_back(bundle, fitted, normals):
    again, pixels = load_detector(bundle), torch.from_numpy(normals.take(range(3)))[:, None]
    assert torch.equal(again.feature_bank.vectors, fitted.detector.feature_bank.vectors)
    with torch.inference_mode():
        for one, other in zip(fitted.detector.eval()(pixels), again(pixels), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)


def test_every_engine_passes_the_gate_and_the_card_names_the_bank(bundle):
    parity = export_all(bundle, lambda text: None)
    passed = {entry["engine"]: entry["passed"] for entry in parity["engines"]}
    assert all(passed[name] for name in ("pytorch", "torchscript", "onnxruntime", "openvino") if name in passed)
    assert len(passed) >= 4
    told = json.loads((bundle / "parity.json").read_text())
    metrics = {
        "num_training_images": 29, "num_held_out_images": 19, "best_epoch": 0, "num_epochs": 1,
        "validation_reconstruction": 1.0,
    }  # fmt: skip
    origin = provenance("0" * 64, 1, "waferlens train data --out few")
    card = model_card(load_config(bundle), load_thresholds(bundle), metrics, told, origin)
    assert "A bank of 64 feature vectors" in card
