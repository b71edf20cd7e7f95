"""Fills a bank with what normal training images show, such that nothing they show is far from all of it."""

from __future__ import annotations

import torch
from torch import Tensor

from waferlens.models.detector import Detector
from waferlens.models.feature_vae import FeatureVAE, averaged
from waferlens.training.features import once_through
from waferlens.training.feed import Feed

_MOST_IMAGES, _CANDIDATES = 2_000, 40_000
_LEAST_VARIANCE = 1e-12


@torch.inference_mode()
def learn_feature_bank(detector: Detector, training: Feed, seed: int) -> None:
    """Fill ``detector.feature_bank``, in place. Raises ValueError for a detector without one.

    Each feature is divided by its deviation over images at one position, the mean over positions.
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
    found = covering(torch.cat(kept) / scale, bank.options.size, generator)
    bank.scale.copy_(scale[:, None, None])
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
