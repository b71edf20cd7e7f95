"""A data set of normals becomes a calibrated detector: split, train, calibrate, learn thresholds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from lightning_fabric import Fabric

from waferlens.decision.thresholds import Scores, ThresholdOptions, Thresholds, learn_thresholds
from waferlens.images.augment import AugmentationOptions
from waferlens.images.cache import PackedImages
from waferlens.images.splits import Split
from waferlens.models.detector import Detector, DetectorOptions, build_detector
from waferlens.models.feature_vae import FeatureVAE
from waferlens.models.pixel_vae import PixelVAE
from waferlens.records import FloatArray
from waferlens.training.calibrate import Calibration, CalibrationOptions, calibrate
from waferlens.training.discriminator import DamageOptions, learn_discriminator
from waferlens.training.feature_bank import learn_feature_bank
from waferlens.training.features import learn_usual_residuals, prepare_features
from waferlens.training.feed import Feed
from waferlens.training.judges import settled_judges
from waferlens.training.loop import Watcher, train
from waferlens.training.mirrors import FLIPS, settled
from waferlens.training.options import TrainingOptions
from waferlens.training.repeatability import measure_repeatability
from waferlens.training.schedule import Indices, seed_for
from waferlens.training.usual_error import learn_usual_error

# How a stage and a camera vary from one image of a place to the next; what ``confidence`` is measured with.
REIMAGING = AugmentationOptions(rotation_degrees=0.25, shift_pixels=1.0, noise_sigma=0.01, gain=0.02, offset=0.01)


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """The parts of a recipe that training reads."""

    detector: DetectorOptions
    training: TrainingOptions
    augmentation: AugmentationOptions
    damage: DamageOptions
    calibration: CalibrationOptions
    thresholds: ThresholdOptions


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A detector with everything learned, what rebuilds it, and where it was learned from."""

    detector: Detector
    options: DetectorOptions
    calibration: Calibration
    thresholds: Thresholds
    history: list[dict[str, float]]
    held_out_names: tuple[str, ...]


def fit(
    fabric: Fabric,
    images: PackedImages,
    split: Split,
    options: FitOptions,
    *,
    roi: FloatArray | None,
    seed: int,
    folder: Path,
    run: str,
    watch: Watcher,
    say: Callable[[str], None],
) -> Fitted:
    """Train on the split's training part, calibrate on its validation part.

    roi: (256, 256), 1 inside the region of interest. folder: where checkpoints live. run: from ``run_name``.
    """
    torch.manual_seed(seed_for(seed, "weights"))
    built = settled_judges(options.detector, len(split.train))
    detector = build_detector(built)
    if roi is not None:
        detector.error_map.roi.copy_(torch.from_numpy(roi))
    training, validation = (
        Feed(images, rows_of(images, {image.name for image in part}), detector.normalise, fabric.device)
        for part in (split.train, split.validation)
    )
    augmentation = settled(options.augmentation, training)
    for flip in FLIPS:
        if getattr(augmentation, flip) != getattr(options.augmentation, flip):
            say(f"{flip}: {'as normal, learned from too' if getattr(augmentation, flip) else 'not normal'}")
    network = cast(PixelVAE | FeatureVAE, detector.network)
    if isinstance(network, FeatureVAE):
        say("reading the features of the training images")
        prepare_features(network.to(fabric.device), training)
    history = train(
        fabric,
        network,
        training,
        validation,
        options.training,
        augmentation,
        seed=seed,
        folder=folder,
        run=run,
        watch=watch,
    )
    if isinstance(network, FeatureVAE):
        say("learning what the network leaves of normal images")
        learn_usual_residuals(network, training, augmentation, seed_for(seed, "residuals"))
    detector.to(fabric.device).eval()
    say("learning how large an error is usual for which image")
    share = learn_usual_error(detector, training, augmentation, seed_for(seed, "usual error"))
    say(f"  the latent tells {share:.0%} of how the errors of normal images differ")
    if detector.discriminator is not None:
        say("learning what damage looks like")
        loss = learn_discriminator(
            detector, training, augmentation, options.damage, seed_for(seed, "discriminator")
        )
        say(f"  cross entropy {loss:.3f} nats a cell")
    elif options.detector.discriminator.enabled == "auto":
        say("no discriminator: it would learn so few images by heart")
    distances = None
    if detector.feature_bank is not None:
        say("keeping normal features in a bank: of few images the network knows too little")
        distances = learn_feature_bank(detector, training, seed_for(seed, "bank"), len(validation))
    say("calibrating on held-out normals")
    calibration = calibrate(detector, validation, options.calibration, distances)
    repeatability = measure_repeatability(
        detector,
        validation,
        REIMAGING,
        seed_for(seed, "repeatability"),
        score_name=options.thresholds.score_name,
    )
    thresholds = learn_thresholds(
        _decided_score(calibration, options.thresholds), repeatability, options.thresholds
    )
    return Fitted(
        detector=detector.cpu(),
        options=built,
        calibration=calibration,
        thresholds=thresholds,
        history=history,
        held_out_names=tuple(validation.names[index] for index in calibration.indices),
    )


def run_name(split: Split, options: FitOptions, seed: int) -> str:
    """A hash of what is trained, on what, with which seed; a checkpoint of another run is refused."""
    told = {
        "split": split.fingerprint,
        "detector": options.detector.model_dump(mode="json"),
        "training": options.training.model_dump(mode="json"),
        "augmentation": options.augmentation.model_dump(mode="json"),
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def rows_of(images: PackedImages, names: set[str]) -> Indices:
    """Where the images of these names stand in the pack, in its order."""
    return np.asarray([row for row, name in enumerate(images.names) if name in names], dtype=np.int64)


def _decided_score(calibration: Calibration, options: ThresholdOptions) -> Scores:
    return calibration.scores if options.score_name == "score" else calibration.reconstruction_errors
