"""Fills a bank with what normal training images show, such that nothing they show is far from all of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from waferlens.models.detector import Detector
from waferlens.models.feature_bank import FeatureBank
from waferlens.models.feature_vae import FEATURE_SIDE, FeatureVAE, averaged
from waferlens.training.features import once_through
from waferlens.training.feed import Feed
from waferlens.training.schedule import spread_evenly

_MOST_IMAGES, _CANDIDATES = 2_000, 40_000
# With fewer held-out images than this, training images help to tell what a usual distance is.
_ENOUGH_DISTANCES = 20
# A tenth of the training images is left out of a bank that is asked how far they are.
_FOLDS = 10
_LEAST_VARIANCE = 1e-12


@torch.inference_mode()
def learn_feature_bank(
    detector: Detector, training: Feed, seed: int, num_held_out: int = _ENOUGH_DISTANCES
) -> Tensor:
    """Fill ``detector.feature_bank``, in place. Raises ValueError for a detector without one.

    Each feature is divided by its deviation over images at one position, the mean over positions.

    Returns distances, (n, 1, 32, 32), that help ``num_held_out`` held-out images to tell what is usual where they
    are few: of as many training images as make 20 together, each from a bank of others. From the bank that holds
    it an image is at no distance.
    """
    bank, network = detector.feature_bank, detector.network
    if bank is None or not isinstance(network, FeatureVAE):
        raise ValueError("this detector has no bank of features")
    network.eval()
    generator = torch.Generator().manual_seed(seed)
    number = min(len(training), _MOST_IMAGES)
    total, squares, kept = torch.zeros(()), torch.zeros(()), []
    for image in once_through(training, _MOST_IMAGES):
        features = averaged(network.raw_features(image)).flatten(2).cpu()
        total, squares = total + features.double().sum(dim=0), squares + features.double().square().sum(dim=0)
        kept += picked_vectors(features, max(1, _CANDIDATES // number), generator)
    variance = (squares - total.square() / number) / max(1, number - 1)
    scale = variance.mean(dim=1).clamp(min=_LEAST_VARIANCE).sqrt().float()
    bank.scale.copy_(scale[:, None, None])
    distances = _distances_from_others(bank, network, training, kept, _ENOUGH_DISTANCES - num_held_out, generator)
    _keep(bank, kept, generator)
    return distances


def _distances_from_others(
    bank: FeatureBank,
    network: FeatureVAE,
    training: Feed,
    kept: list[Tensor],
    number: int,
    generator: torch.Generator,
) -> Tensor:
    """Of up to ``number`` images, from a bank of what other images show; leaves that in ``bank``.

    kept: the vectors of each image that a bank may keep.
    """
    if number <= 0 or len(kept) == 1:
        return torch.zeros(0, 1, FEATURE_SIDE, FEATURE_SIDE)
    rows, judged = spread_evenly(len(training), len(kept)), spread_evenly(len(kept), number)
    distances = torch.zeros(len(judged), 1, FEATURE_SIDE, FEATURE_SIDE)
    for fold in np.unique(judged % _FOLDS):
        _keep(bank, [vectors for one, vectors in enumerate(kept) if one % _FOLDS != fold], generator)
        left_out = np.flatnonzero(judged % _FOLDS == fold)
        distances[left_out] = bank(network.raw_features(training.take(rows[judged[left_out]]))).cpu()
    return distances


def _keep(bank: FeatureBank, vectors: list[Tensor], generator: torch.Generator) -> None:
    found = covering(torch.cat(vectors) / bank.scale.flatten().cpu(), bank.options.size, generator)
    # Fewer vectors than there is room for stand in it several times.
    bank.vectors.copy_(found[torch.arange(bank.options.size) % len(found)])


def picked_vectors(features: Tensor, from_each: int, generator: torch.Generator) -> list[Tensor]:
    """Of every image in (B, F, positions), the vectors (n, F) of up to ``from_each`` positions drawn at random."""
    drawn = [torch.randperm(one.shape[1], generator=generator)[:from_each] for one in features]
    return [one.mT[at] for one, at in zip(features, drawn, strict=True)]


def covering(vectors: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """``size`` of the vectors such that none is far from all of them: each next one is the farthest yet."""
    chosen = [int(torch.randint(len(vectors), (1,), generator=generator))]
    projection = torch.randn(vectors.shape[1], 32, generator=generator) / 32**0.5  # Johnson-Lindenstrauss
    low = vectors @ projection
    distance = torch.full((len(low),), torch.inf)
    for _ in range(min(size, len(low)) - 1):
        distance = torch.minimum(distance, (low - low[chosen[-1]]).square().sum(dim=1))
        chosen.append(int(distance.argmax()))
    return vectors[chosen]
