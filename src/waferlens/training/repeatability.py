"""By how much a score differs when the same place is imaged again. Held-out normals, varied as a stage would."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from waferlens.decision.thresholds import ScoreName
from waferlens.images.augment import AugmentationOptions
from waferlens.models.detector import Detector
from waferlens.models.error_map import ErrorSummary
from waferlens.training.augment import augment_batch
from waferlens.training.feed import Feed
from waferlens.training.schedule import spread_evenly

_BATCH = 32


@torch.inference_mode()
def measure_repeatability(
    detector: Detector,
    held_out: Feed,
    variation: AugmentationOptions,
    seed: int,
    *,
    score_name: ScoreName = "score",
    max_images: int = 200,
) -> float:
    """Standard deviation of what decisions are made on, ``score_name``, when the same place is imaged again.

    Each of up to ``max_images`` held-out normals is varied once as a stage and a camera would; the difference
    between the two scores has twice the variance of one of them.
    """
    indices = spread_evenly(len(held_out), max_images)
    rng = np.random.default_rng(seed)
    differences = []
    for start in range(0, len(indices), _BATCH):
        image = held_out.take(indices[start : start + _BATCH])
        again = augment_batch(image, variation, rng)
        first, second = (_score(detector, images, score_name).double().cpu() for images in (image, again))
        differences.append(second - first)
    return float(torch.cat(differences).square().mean().sqrt() / 2**0.5)


def _score(detector: Detector, image: Tensor, score_name: ScoreName) -> Tensor:
    answer = detector.answer(image)
    summary: ErrorSummary = detector.error_map(image, *answer.judged)
    return summary.score if score_name == "score" else summary.reconstruction_error
