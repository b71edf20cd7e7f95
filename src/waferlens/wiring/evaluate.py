"""``waferlens evaluate``: a bundle on labelled images, next to the baselines; report and metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from waferlens.bundle.contents import BundleConfig, load_config, load_thresholds, read_json
from waferlens.bundle.model import load_detector
from waferlens.decision.thresholds import Thresholds
from waferlens.engines.parity import default_engine
from waferlens.engines.runtimes import open_engine
from waferlens.evaluation.exploration import ExplorationData
from waferlens.evaluation.novel_defects import find_novel_defects
from waferlens.evaluation.report import write_report
from waferlens.evaluation.report_content import ReportContent
from waferlens.evaluation.scored import ScoredImages
from waferlens.evaluation.summary import metrics_for
from waferlens.images.cache import PackedImages
from waferlens.images.fingerprints import refuse_duplicates
from waferlens.images.layouts import Dataset, read_dataset
from waferlens.images.splits import Part, Split
from waferlens.models.detector import Detector, DetectorOptions
from waferlens.settings.recipe import recipe_from
from waferlens.training.calibrate import CalibrationOptions
from waferlens.training.feed import Feed
from waferlens.training.schedule import spread_evenly
from waferlens.wiring.ablation import ablate
from waferlens.wiring.baseline import Baselines, run_baselines
from waferlens.wiring.planted import Judge
from waferlens.wiring.pod import pod_of_test
from waferlens.wiring.reading import pack_test, pack_training
from waferlens.wiring.robustness import measure_robustness
from waferlens.wiring.scoring import MAX_EXPLORED, TestSet, normalised, read_test_set, score_test_set
from waferlens.wiring.told import Told
from waferlens.wiring.trusted import verify_configured

_PARTS: tuple[Part, Part] = ("train", "validation")


def evaluate_bundle(
    bundle: Path,
    data: Path,
    out: Path,
    *,
    engine: str | None,
    with_baselines: bool,
    command: str,
    told: Told,
    with_ablation: bool = False,
    with_robustness: bool = False,
    with_pod: bool = False,
) -> dict[str, Any]:
    """Write ``out/report.html`` and ``out/metrics.json``; returns the latter's content.

    engine: None for the bundle's default. with_ablation: judge with steps of the score left out as well, where the
    data set holds the images that the bundle learned from. with_robustness: score disturbed images as well.
    with_pod: plant defects on the normal images as well. Raises BundleError, DataError (no labelled image, a test
    image that the bundle was trained on) and EngineError.
    """
    origin = verify_configured(bundle)["provenance"]
    config, thresholds, detector = (
        load_config(bundle),
        load_thresholds(bundle),
        load_detector(bundle, verify=False),
    )
    split = Split.from_dict(read_json(bundle / "split.json"))
    dataset = read_dataset(data)
    told.say(f"reading {len(dataset.test):,} test images")
    packed = pack_test(dataset, config.images, told.count)
    test_hashes = dict(zip(packed.names, packed.hashes, strict=True))
    refuse_duplicates({"the bundle's training": split.hashes("train"), "test": test_hashes})
    test = read_test_set(dataset.test, packed, detector.normalise, config.images)

    chosen = engine or default_engine(bundle)
    told.say(f"scoring with {chosen}")
    running = open_engine(chosen, bundle, threads=torch.get_num_threads())
    scored = score_test_set(config.name, running.infer, test, config.num_parameters, told.count)
    training = _training_images(dataset, config)
    learned_from = _learned_from(training, split, detector)
    baselines = Baselines(scored={}, metrics={}, notes=("Baselines were not asked for.",))
    if with_baselines:
        baselines = _baselines(learned_from, detector, test, config, told)
        for note in baselines.notes:
            told.say(note)
    steps = {}
    if with_ablation and learned_from is not None:
        told.say("leaving out steps of the score")
        steps = ablate(detector, learned_from[1], test, _calibration(config), told.count)
    by_score = thresholds.score_name == "score"
    review, reject = (thresholds.review, thresholds.reject) if by_score else (None, None)
    metrics = metrics_for(scored, review_threshold=review, reject_threshold=reject)
    novel = find_novel_defects(scored, review_threshold=review, reject_threshold=reject)

    robustness = None
    if with_robustness:
        robustness = measure_robustness(running, dataset.test, packed, thresholds, told=told)
    pod = None
    if with_pod:
        judge = Judge(infer=running.infer, thresholds=thresholds, alarm="review")
        pod = pod_of_test(judge, dataset.test, packed, detector, seed=config.seed, told=told)

    told.say("writing the report")
    out.mkdir(parents=True, exist_ok=True)
    facts = {"bundle": config.name, "version": config.version, "engine": chosen, "command": command}
    content = ReportContent(
        title=f"{config.name} {config.version}",
        detector=scored,
        baselines=baselines.scored,
        metrics={scored.method: metrics, **baselines.metrics},
        exploration=_exploration(training, split, detector, test),
        history=read_json(bundle / "history.json"),
        review_threshold=review,
        reject_threshold=reject,
        thresholds_policy=_policy(thresholds),
        data_facts=_data_facts(dataset, split, config, scored),
        baseline_notes=baselines.notes,
        provenance={**facts, **{name: _as_text(value) for name, value in origin.items() if name != "command"}},
        seed=config.seed,
        novel_defects=novel,
        robustness=robustness,
        pod=pod,
        ablation=steps,
    )
    write_report(content, out / "report.html")
    everything = {
        **facts,
        **metrics,
        "novel_defects": novel.as_dict(),
        "robustness": None if robustness is None else robustness.as_dict(),
        "pod": None if pod is None else pod.as_dict(),
        "baselines": baselines.metrics,
        "ablation": steps,
        "provenance": origin,
    }
    (out / "metrics.json").write_text(json.dumps(everything, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return everything


def _training_images(dataset: Dataset, config: BundleConfig) -> PackedImages | None:
    if not dataset.train:
        return None
    return pack_training(dataset, config.images)


def _learned_from(training: PackedImages | None, split: Split, detector: Detector) -> tuple[Feed, Feed] | None:
    """The very images that the bundle learned from and was calibrated on; None where the data set lacks some."""
    learned = {image.sha256 for image in split.images}
    if training is None or not learned <= set(training.hashes):
        return None
    first, second = (
        Feed(training, _rows_with(training, split.hashes(part)), detector.normalise, torch.device("cpu"))
        for part in _PARTS
    )
    return first, second


def _baselines(
    learned_from: tuple[Feed, Feed] | None, detector: Detector, test: TestSet, config: BundleConfig, told: Told
) -> Baselines:
    """On the images that the bundle learned from; without them there is nothing fair to compare."""
    if learned_from is None:
        note = "Baselines were not fitted: this data set does not hold the images that the bundle learned from."
        return Baselines(scored={}, metrics={}, notes=(note,))
    return run_baselines(
        *learned_from,
        test,
        DetectorOptions.model_validate(config.detector),
        _calibration(config),
        roi=detector.error_map.roi,
        say=told.say,
        count=told.count,
    )


def _calibration(config: BundleConfig) -> CalibrationOptions:
    return recipe_from(config.recipe, config.name).calibration


def _exploration(
    training: PackedImages | None, split: Split, detector: Detector, test: TestSet
) -> ExplorationData:
    """The normals that were trained on where the data set has them, else its normal test images."""
    if training is None:
        train_images = test.images[~test.defective]
    else:
        rows = _rows_with(training, split.hashes("train"))
        rows = rows if len(rows) else np.arange(len(training))
        spread = spread_evenly(len(rows), MAX_EXPLORED)
        train_images = normalised(training, rows[spread], detector.normalise)
    return test.exploration(train_images)


def _rows_with(images: PackedImages, hashes: dict[str, str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Rows by content: the same image counts wherever the data set keeps it."""
    wanted = set(hashes.values())
    return np.asarray([row for row, sha256 in enumerate(images.hashes) if sha256 in wanted], dtype=np.int64)


def _policy(thresholds: Thresholds) -> str:
    if thresholds.policy == "fixed":
        return f"Fixed by the recipe, on `{thresholds.score_name}`."
    shares = (
        f"{thresholds.review_overkill_rate:.1%} above REVIEW, {thresholds.reject_overkill_rate:.1%} above REJECT"
    )
    beyond = " REJECT lies beyond those scores and is extrapolated." if thresholds.reject_extrapolated else ""
    return (
        f"Learned from {thresholds.num_normals:,} held-out normal images alone. Of new normal images, {shares} "
        f"are expected.{beyond}"
    )


def _data_facts(dataset: Dataset, split: Split, config: BundleConfig, scored: ScoredImages) -> dict[str, str]:
    facts = {
        "layout": dataset.layout,
        "learned from": f"{len(split.train):,} normal images, {len(split.validation):,} held out",
        "split": f"by group, seed {split.seed}, fingerprint {split.fingerprint[:16]}",
        "test": f"{int((~scored.defective).sum()):,} normal, {int(scored.defective.sum()):,} defective images",
        "pixels": "8 bit" if config.input_type == "uint8" else "16 bit",
        "normalisation": _as_text(config.detector["normalise"]),
    }
    return facts | ({"warning": split.warning} if split.warning else {})


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {entry}" for name, entry in value.items())
    return str(value)
