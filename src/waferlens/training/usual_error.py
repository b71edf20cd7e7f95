"""Learns how large the error of a normal image is, given its latent. Training images only.

Images and varied copies of them are looked at as they will be; at every cell of 8x8 pixels the logarithm of the
error, smoothed, is regressed on the latent by ridge regression. One penalty serves all cells, chosen by
cross-validation over images: an image is never judged with a copy of itself. Where no penalty predicts better than
the mean of all images does, the usual error stays 1.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from waferlens.images.augment import AugmentationOptions
from waferlens.models.detector import Detector
from waferlens.models.smoothing import gaussian_matrix, smooth
from waferlens.models.usual_error import CELLS
from waferlens.training.features import FEWEST_SEEN, seen_in
from waferlens.training.feed import Feed

# Cells, the width of the smoothing of errors: averages some noise of one image out and keeps an edge where it is.
_SMOOTHING = 0.6
_FOLDS = 5
# In units of the mean eigenvalue of the latents' covariance.
_PENALTIES = tuple(10.0 ** (half / 2) for half in range(-6, 7))


@torch.inference_mode()
def learn_usual_error(detector: Detector, training: Feed, augmentation: AugmentationOptions, seed: int) -> float:
    """Fit ``detector.usual_error``, in place. Returns the share of the variance it predicts, cross-validated.

    The share is of the log error's variance over images, mean over cells; 0 where nothing could be predicted, and
    then nothing is changed. Raises ValueError for a detector without ``usual_error``.
    """
    usual = detector.usual_error
    if usual is None:
        raise ValueError("this detector's latent does not say what is usual")
    detector.eval()
    rng = np.random.default_rng(seed)
    matrix = gaussian_matrix(_SMOOTHING, CELLS).to(detector.error_map.roi.device)
    latents, levels, images = [], [], []
    for turn in range(max(2, math.ceil(FEWEST_SEEN / len(training)))):
        found, logs, seen = [], [], 0
        for image in seen_in(turn, training, augmentation, rng):
            answer = detector.answer(image, alone=True)
            cells = detector.error_map.cells(image, answer.reconstruction, answer.departure)
            found.append(answer.latent.cpu())
            logs.append(smooth(cells, matrix).clamp(min=1e-12).log().flatten(1).cpu())
            seen += len(image)
        # Copies err more than what they are copies of, by the same for all: that is not the latent's to tell.
        latents.append(torch.cat(found).double())
        levels.append(_centred(torch.cat(logs).double()))
        images.append(torch.arange(seen))
    latent, level, image_of = torch.cat(latents), torch.cat(levels), torch.cat(images)
    centre = latent.mean(dim=0)
    weight, share = fit_ridge(latent - centre, level, image_of % _FOLDS)
    if share > 0:
        usual.weight.copy_(weight.T)
        usual.centre.copy_(centre)
        usual.limit.copy_(((latent - centre).float() @ weight).abs().max().to(usual.limit))
    return share


def fit_ridge(inputs: Tensor, targets: Tensor, folds: Tensor) -> tuple[Tensor, float]:
    """Ridge regression whose penalty is chosen by cross-validation.

    inputs: (n, d), targets: (n, q), both float64 and centred. folds: (n,) int. Returns the weights (d, q) float32
    and the cross-validated share of the targets' variance that they predict; 0, with zero weights, where there
    is none.
    """
    total = float(targets.square().sum())
    numbers = sorted({int(fold) for fold in folds})
    if total <= 0 or len(numbers) < 2:
        return torch.zeros(inputs.shape[1], targets.shape[1]), 0.0
    errors = dict.fromkeys(_PENALTIES, 0.0)
    for fold in numbers:
        out = folds == fold
        ridge = _Ridge(inputs[~out], targets[~out])
        for penalty in _PENALTIES:
            told = inputs[out] @ ridge.weights(penalty)
            errors[penalty] += float((targets[out] - told).square().sum())
    best = min(errors, key=errors.__getitem__)
    share = 1 - errors[best] / total
    if share <= 0:
        return torch.zeros(inputs.shape[1], targets.shape[1]), 0.0
    return _Ridge(inputs, targets).weights(best).float(), share


class _Ridge:
    """The weights for any penalty, from one decomposition."""

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        values, self._vectors = torch.linalg.eigh(inputs.mT @ inputs)
        self._values = values.clamp(min=0)
        self._projected = self._vectors.mT @ (inputs.mT @ targets)
        self._unit = float(self._values.mean()) + 1e-12

    def weights(self, penalty: float) -> Tensor:
        """(d, q) float64."""
        shrunk = self._projected / (self._values + penalty * self._unit)[:, None]
        return torch.mm(self._vectors, shrunk)


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(dim=0)
