"""A small fab, a tiny network and a short recipe: real parts, only less of everything."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from waferlens.decision.thresholds import ThresholdOptions
from waferlens.images.augment import AugmentationOptions
from waferlens.images.cache import PackedImages
from waferlens.images.options import ImageOptions
from waferlens.images.splits import Split, split_dataset
from waferlens.images.synth.fab import FabOptions, SyntheticFab
from waferlens.images.synth.patterns import Family
from waferlens.models.detector import Detector, DetectorOptions, build_detector
from waferlens.models.normalise import Normalise, NormaliseOptions
from waferlens.models.pixel_vae import PixelVAE, PixelVAEOptions
from waferlens.records import ImageRef
from waferlens.training.calibrate import CalibrationOptions
from waferlens.training.discriminator import DamageOptions
from waferlens.training.options import TrainingOptions
from waferlens.training.run import FitOptions

NETWORK = PixelVAEOptions(channels=(4, 4, 8, 8), bottleneck_channels=4)
DETECTOR = DetectorOptions(network=NETWORK)
IMAGES = ImageOptions()


def training_options(**told) -> TrainingOptions:
    short = {"epochs": 2, "batch_size": 8, "min_epoch_images": 1, "kl_anneal_epochs": 1, "precision": "fp32"}
    return TrainingOptions(**(short | told))


def fit_options(**told) -> FitOptions:
    return FitOptions(
        detector=DETECTOR,
        training=training_options(**told),
        augmentation=AugmentationOptions(),
        calibration=CalibrationOptions(num_folds=4),
        damage=DamageOptions(num_images=32, epochs=1),
        thresholds=ThresholdOptions(),
    )


def normals(num: int, seed: int = 3) -> PackedImages:
    """Normal images of gratings, each from another wafer: one inspection point, as a recipe would see it."""
    fab = SyntheticFab(FabOptions(families=(Family.GRATING,)), seed)
    return pack(np.stack([fab.render(wafer, 0).pixels for wafer in range(num)]))


def pack(pixels: np.ndarray) -> PackedImages:
    names = tuple(f"{number:03d}.png" for number in range(len(pixels)))
    return PackedImages(pixels, names, tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in pixels))


def split_of(images: PackedImages, validation_fraction: float = 0.4) -> Split:
    refs = [ImageRef(path=Path(name), name=name, group=name) for name in images.names]
    return split_dataset(refs, images.hashes, validation_fraction=validation_fraction, seed=1)


def network(seed: int = 0, options: PixelVAEOptions = NETWORK) -> PixelVAE:
    import torch

    torch.manual_seed(seed)
    return PixelVAE(options)


def detector(seed: int = 0, options: DetectorOptions = DETECTOR) -> Detector:
    import torch

    torch.manual_seed(seed)
    return build_detector(options)


def plain() -> Normalise:
    """No normalisation: what the network sees is what the camera gave."""
    return Normalise(NormaliseOptions(flat_field=False, percentiles=False))
