"""The whole path on MVTec AD transistor: train shortly, evaluate, and hold every engine to the reference.

The data set may not be passed on, so it is looked for: in ``WAFERLENS_DATA`` (the folder itself or the one that
holds it), else in ``../shared/data``. Nothing is chosen here; the figures are only required to exist.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from waferlens.bundle.contents import load_config, load_reference, load_thresholds
from waferlens.engines.parity import compare, infer_each
from waferlens.engines.runtimes import open_engine
from waferlens.images.cache import pack_in_memory
from waferlens.images.layouts import read_dataset

pytestmark = [pytest.mark.slow, pytest.mark.real_data]

NAME = "mvtec-transistor-256"
ROOT = Path(__file__).parents[2]
FIGURES = ("image_auroc", "image_auprc", "fnr_at_fpr5", "pixel_auroc", "aupro")
SECTIONS = {"3.2": "Exploration", "3.3": "Baselines", "3.6": "Evaluation", "3.7": "Error analysis"}


def waferlens(*arguments: object) -> None:
    command = [str(Path(sys.executable).with_name("waferlens")), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def transistor() -> Path:
    told = os.environ.get("WAFERLENS_DATA")
    folder = Path(told) if told else ROOT.parent / "shared" / "data"
    for candidate in (folder / NAME, folder):
        if (candidate / "train" / "good").is_dir() and (candidate / "ground_truth").is_dir():
            return candidate
    pytest.skip(f"{NAME} (MVTec AD transistor, 256x256 grey) is not in {folder}; set WAFERLENS_DATA to its folder")


@pytest.fixture(scope="module")
def bundle(transistor, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("transistor") / "bundle"
    recipe = ROOT / "recipes" / "transistor-pixel.toml"
    waferlens("train", transistor, "--recipe", recipe, "--out", out, "--epochs", 6, "--damaged", 512)
    return out


@pytest.fixture(scope="module")
def report(transistor, bundle) -> Path:
    out = bundle.parent / "report"
    waferlens("evaluate", bundle, transistor, "--out", out)
    return out


@pytest.fixture(scope="module")
def pixels(transistor, bundle):
    images = pack_in_memory(read_dataset(transistor).test, load_config(bundle).images)
    assert len(images) == 100
    return images.pixels


@pytest.fixture(scope="module")
def expected(bundle, pixels):
    return infer_each(open_engine("pytorch", bundle), pixels)


@pytest.mark.parametrize("name", ["torchscript", "onnxruntime", "openvino"])
def test_every_32_bit_engine_decides_as_the_reference_on_all_test_images(bundle, pixels, expected, name):
    thresholds = load_thresholds(bundle)
    deviation = float(np.std(getattr(load_reference(bundle), f"{thresholds.score_name}s"), ddof=1))
    parity = compare(open_engine(name, bundle), expected, pixels, thresholds, deviation)
    assert parity.num_images == 100
    assert parity.num_other_decisions == 0
    assert parity.max_difference <= 1e-4


def test_every_figure_of_the_detector_and_of_pca_is_finite(report):
    metrics = json.loads((report / "metrics.json").read_text())
    methods = {name: method for name, method in metrics["baselines"].items() if name.startswith("pca-k")}
    assert len(methods) == 4
    for method in (metrics, *methods.values()):
        for score in ("score", "reconstruction_error"):
            for figure in FIGURES:
                estimate = method[score][figure]
                assert all(math.isfinite(estimate[key]) for key in ("value", "low", "high"))
                assert 0 <= estimate["low"] <= estimate["value"] <= estimate["high"] <= 1
    assert metrics["counts"]["defective"] == 40
    assert metrics["num_parameters"] < 15_000_000


@pytest.mark.parametrize("section", SECTIONS)
def test_the_report_holds_the_section_of_the_case_study(report, section):
    assert f"<h2>{SECTIONS[section]}</h2>" in (report / "report.html").read_text()
