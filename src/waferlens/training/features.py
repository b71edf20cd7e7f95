"""What a network over features learns outside the gradient: each feature's scale, and what residuals are usual.

Training images only; held-out normals are for calibration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor

from waferlens.images.augment import AugmentationOptions
from waferlens.models.backbone import pretrained
from waferlens.models.feature_vae import FEATURE_SIDE, NUM_FEATURES, FeatureVAE, at_scales
from waferlens.models.whitening import Moments, Whitening, shrinkage_of
from waferlens.training.augment import augment_batch
from waferlens.training.feed import Feed
from waferlens.training.schedule import spread_evenly

_BATCH = 16
_MOST_IMAGES = 2_000
# What is learned from fewer images than this says little; smaller sets are gone through again, augmented.
FEWEST_SEEN = 256


@torch.inference_mode()
def prepare_features(network: FeatureVAE, training: Feed) -> None:
    """Load the pretrained backbone; learn mean and deviation of every feature at every position.

    The variance of a position is mixed with the feature's mean variance over positions (``variance_floor``), since
    a position where a few images agreed is not infinitely sure. Raises BundleError without the backbone's package.
    """
    network.backbone.load_state_dict(pretrained().state_dict())
    network.eval()
    count = 0
    total = torch.zeros_like(network.feature_mean, dtype=torch.float64)
    squares = total.clone()
    for image in once_through(training):
        features = network.raw_features(image).double()
        count += len(features)
        total += features.sum(dim=0, keepdim=True)
        squares += features.square().sum(dim=0, keepdim=True)
    mean = total / count
    variance = ((squares - count * mean.square()) / max(1, count - 1)).clamp(min=0)
    pooled = variance.mean(dim=(2, 3), keepdim=True)
    share = network.options.variance_floor
    mixed = (1 - share) * variance + share * pooled
    network.feature_mean.copy_(mean)
    network.feature_scale.copy_(mixed.clamp(min=1e-6 * float(pooled.mean()) + 1e-12).rsqrt())


@torch.inference_mode()
def learn_usual_residuals(
    network: FeatureVAE, training: Feed, augmentation: AugmentationOptions, seed: int
) -> None:
    """Fit the whitening on what the trained network leaves of normal training images."""
    network.eval()
    rng = np.random.default_rng(seed)
    device = network.feature_mean.device
    scales = [Moments(NUM_FEATURES, FEATURE_SIDE**2, device) for _ in network.whitening]
    for turn in range(math.ceil(FEWEST_SEEN / len(training))):
        for image in seen_in(turn, training, augmentation, rng):
            parts = at_scales(network.residual(image).residual, network.options.scales)
            for moments, residual in zip(scales, parts, strict=True):
                moments.add(residual)
    # What augmentation adds is no more images than there are.
    shrinkage = shrinkage_of(network.options.whitening_prior_images, min(len(training), _MOST_IMAGES))
    for whitening, moments in zip(network.whitening, scales, strict=True):
        cast(Whitening, whitening).fit(moments, shrinkage)


def seen_in(
    turn: int, images: Feed, augmentation: AugmentationOptions, rng: np.random.Generator
) -> Iterator[Tensor]:
    """The batches of ``once_through``: as they are in turn 0, varied in every later one."""
    for image in once_through(images):
        yield augment_batch(image, augmentation, rng) if turn else image


def once_through(images: Feed, max_images: int = _MOST_IMAGES) -> Iterator[Tensor]:
    """Batches (B, 1, 256, 256) of up to ``max_images`` images, spread evenly over them."""
    rows = spread_evenly(len(images), max_images)
    for start in range(0, len(rows), _BATCH):
        yield images.take(rows[start : start + _BATCH])
