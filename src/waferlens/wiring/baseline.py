"""Fits and scores the baselines on the splits and with the calibration that a detector gets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from waferlens.baselines.feature_maps import FeatureBaselineOptions, fit_feature_baselines
from waferlens.baselines.pca import FittedPca, PcaOptions, fit_pca
from waferlens.baselines.texture import TextureOptions, fit_texture
from waferlens.engines.bench import single_image_latency
from waferlens.evaluation.scored import ScoredImages
from waferlens.evaluation.summary import metrics_for
from waferlens.images.cache import PackedImages
from waferlens.images.fingerprints import refuse_duplicates
from waferlens.images.layouts import read_dataset
from waferlens.images.roi import load_roi
from waferlens.images.splits import split_dataset
from waferlens.models.detector import Detector, DetectorOptions, detector_around
from waferlens.models.error_map import ErrorMap
from waferlens.models.feature_vae import SCALES, FeatureVAEOptions
from waferlens.models.normalise import Normalise
from waferlens.settings.recipe import Recipe
from waferlens.training.calibrate import CalibrationOptions, calibrate
from waferlens.training.feed import Feed
from waferlens.training.run import rows_of
from waferlens.wiring.reading import pack_test, pack_training
from waferlens.wiring.scoring import Count, TestSet, detector_infer, read_test_set, score_test_set
from waferlens.wiring.told import Told


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """Every baseline's scores and metrics by name, and what the reader must know about them.

    To the metrics are added ``fit_seconds``, with calibration (every k of PCA is fitted at once, and so are both
    baselines over features), and ``latency_ms``, the median of one image on one thread, in PyTorch.
    """

    scored: dict[str, ScoredImages]
    metrics: dict[str, dict[str, Any]]
    notes: tuple[str, ...]


def run_baselines(
    training: Feed,
    held_out: Feed,
    test: TestSet,
    detector_options: DetectorOptions,
    calibration: CalibrationOptions,
    *,
    roi: Tensor,
    say: Callable[[str], None],
    count: Count,
) -> Baselines:
    """PCA for every k, features without a VAE, then texture features with a one-class SVM."""
    say("fitting PCA")
    started = time.perf_counter()
    pca = fit_pca(training, PcaOptions())
    networks: dict[str, nn.Module] = {f"pca-k{k}": network for k, network in pca.reconstructors.items()}
    seconds = dict.fromkeys(networks, time.perf_counter() - started)
    say("fitting a Gaussian and a nearest neighbour over pretrained features")
    judged = detector_options.network
    scales = judged.scales if isinstance(judged, FeatureVAEOptions) else SCALES
    started = time.perf_counter()
    over_features = fit_feature_baselines(training, FeatureBaselineOptions(scales=scales))
    seconds |= dict.fromkeys(over_features, time.perf_counter() - started)
    networks |= over_features
    one_image = test.packed.take([0])
    scored: dict[str, ScoredImages] = {}
    metrics: dict[str, dict[str, Any]] = {}
    for name, network in networks.items():
        started = time.perf_counter()
        detector = _as_detector(network, detector_options, roi)
        calibrate(detector, held_out, calibration)
        seconds[name] += time.perf_counter() - started
        infer = detector_infer(detector)
        result = score_test_set(name, infer, test, detector.num_parameters, count)
        latency = single_image_latency(infer, one_image)
        metrics[name] = {**metrics_for(result), "fit_seconds": seconds[name], "latency_ms": latency}
        # Maps of many baselines would not fit in memory together; metrics are all that is needed of them.
        scored[name] = replace(result, heatmaps=None, error_maps=None, reconstructions=None)
    say("fitting Gabor and LBP features with a one-class SVM")
    name = "texture-svm"
    started = time.perf_counter()
    texture = fit_texture(training, held_out, TextureOptions())
    taken = time.perf_counter() - started
    parts = np.array_split(test.images, max(1, len(test.images) // 64))
    scored[name] = ScoredImages(
        method=name,
        names=tuple(ref.name for ref in test.refs),
        defective=test.defective,
        defect_types=test.defect_types,
        masks=test.masks,
        has_mask=test.has_mask,
        images=test.images,
        num_parameters=0,
        scores=np.concatenate([texture.scores(part) for part in parts]),
    )
    latency = single_image_latency(lambda _: texture.scores(test.images[:1]), one_image)
    metrics[name] = {**metrics_for(scored[name]), "fit_seconds": taken, "latency_ms": latency}
    return Baselines(scored=scored, metrics=metrics, notes=tuple(_notes(pca, len(training), len(held_out))))


def _as_detector(network: nn.Module, options: DetectorOptions, roi: Tensor) -> Detector:
    detector = detector_around(network, options)
    detector.error_map.roi.copy_(roi)
    return detector


def _notes(pca: FittedPca, num_training: int, num_held_out: int) -> Iterator[str]:
    yield (
        f"Baselines learn from the same {num_training:,} training images, and are calibrated and scored like the "
        f"detector on the same {num_held_out:,} held-out normals."
    )
    for asked, used in pca.cut.items():
        yield f"PCA with k = {asked} was cut to k = {used}: {num_training} images span no more components."
    shares = ", ".join(f"k = {k}: {share:.1%}" for k, share in pca.explained.items())
    yield f"Share of the training variance that PCA explains: {shares}."


def baseline_data(data: Path, recipe: Recipe, out: Path, *, seed: int, told: Told) -> dict[str, dict[str, Any]]:
    """``waferlens baseline``: every baseline on a data set, split as ``train`` would with this recipe and seed.

    Writes ``out/metrics.json``; returns the metrics by name.
    """
    dataset = read_dataset(data)
    told.say(f"reading {len(dataset.train):,} normal and {len(dataset.test):,} test images")
    packs = [pack(dataset, recipe.images, told.count) for pack in (pack_training, pack_test)]
    fraction = recipe.training.validation_fraction
    split = split_dataset(dataset.train, packs[0].hashes, validation_fraction=fraction, seed=seed)
    refuse_duplicates({"train": _hashes(packs[0]), "test": _hashes(packs[1])})
    options = recipe.fit_options().detector
    normalise, error_map = Normalise(options.normalise), ErrorMap(options.error_map)
    if recipe.images.roi is not None:
        roi = load_roi(Path(recipe.images.roi), recipe.images)
        error_map.roi.copy_(torch.from_numpy(roi.astype(np.float32)))
    training, held_out = (
        Feed(packs[0], rows_of(packs[0], {image.name for image in part}), normalise, torch.device("cpu"))
        for part in (split.train, split.validation)
    )
    test = read_test_set(dataset.test, packs[1], normalise, recipe.images)
    result = run_baselines(
        training, held_out, test, options, recipe.calibration, roi=error_map.roi, say=told.say, count=told.count
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_text(
        json.dumps(result.metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8"
    )
    for note in result.notes:
        told.say(note)
    return result.metrics


def _hashes(packed: PackedImages) -> dict[str, str]:
    return dict(zip(packed.names, packed.hashes, strict=True))
