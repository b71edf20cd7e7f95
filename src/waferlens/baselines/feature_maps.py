"""What the maps of the frozen backbone say without a VAE: a Gaussian at every position, and a nearest neighbour.

Both see the features that ``feature-vae`` sees and stand where it stands in the ``Detector``: same preprocessing,
same calibration on the same held-out normals, same score. What the VAE is ahead of them is what it is worth.

- ``feature-gaussian`` (Defard et al. 2021, PaDiM): the Mahalanobis distance of a feature vector from the mean of
  normal ones *at the same position*, its covariance shrunk towards that of all positions as the whitening of
  ``feature-vae`` is. Strong where parts are aligned.
- ``feature-neighbour`` (Roth et al. 2022, PatchCore): the distance to the nearest of a bank of normal feature
  vectors from *anywhere*, chosen to cover them all (greedy k-centres). Strong where they are not.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from waferlens.errors import DataError
from waferlens.models.backbone import pretrained
from waferlens.models.feature_vae import FEATURE_SIDE, NUM_FEATURES, FeatureVAE, FeatureVAEOptions
from waferlens.models.whitening import Moments
from waferlens.training.feed import Feed
from waferlens.training.schedule import spread_evenly

_BATCH = 16
_RIDGE = 1e-3  # of the mean variance


class FeatureBaselineOptions(BaseModel, frozen=True, extra="forbid"):
    """What the two baselines learn from, and how much."""

    max_images: int = Field(2_000, ge=2, description="training images used, spread evenly over them")
    prior_images: float = Field(
        40.0, gt=0, description="weight, in images, of the covariance of all positions in that of each"
    )
    bank_size: int = Field(2_000, ge=1, description="feature vectors of the nearest-neighbour bank")
    candidates: int = Field(40_000, ge=1, description="feature vectors that the bank is chosen from")


class PositionalGaussian(nn.Module):
    """Mahalanobis distance from the normal features of the same position."""

    def __init__(self, trunk: FeatureVAE, mean_image: Tensor, mean: Tensor, inverse: Tensor) -> None:
        """mean: (positions, features). inverse: (positions, features, features), inverse Cholesky factors."""
        super().__init__()
        self.trunk = trunk
        self.mean_image = _frozen(mean_image)
        self.mean, self.inverse = _frozen(mean), _frozen(inverse)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean image (B, 1, 256, 256), mean features (B, 152), departure (B, 1, 32, 32) in deviations."""
        features = self.trunk.raw_features(image).flatten(2)
        centred = features.permute(2, 0, 1) - self.mean[:, None]
        distance = (centred @ self.inverse.mT).square().mean(dim=2).sqrt().mT
        return self.mean_image.expand_as(image), features.mean(dim=2), _as_map(distance)


class NearestNeighbour(nn.Module):
    """Distance to the nearest normal feature vector, wherever it was."""

    def __init__(self, trunk: FeatureVAE, mean_image: Tensor, scale: Tensor, bank: Tensor) -> None:
        """scale: (features,), what a feature is divided by. bank: (vectors, features), divided."""
        super().__init__()
        self.trunk = trunk
        self.mean_image = _frozen(mean_image)
        self.scale, self.bank = _frozen(scale), _frozen(bank)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean image (B, 1, 256, 256), mean features (B, 152), departure (B, 1, 32, 32)."""
        features = self.trunk.raw_features(image).flatten(2)
        vectors = features.mT / self.scale
        nearest = torch.stack([torch.cdist(one, self.bank).amin(dim=1) for one in vectors])
        return self.mean_image.expand_as(image), features.mean(dim=2), _as_map(nearest)


@torch.inference_mode()
def fit_feature_baselines(training: Feed, options: FeatureBaselineOptions) -> dict[str, nn.Module]:
    """``feature-gaussian`` and ``feature-neighbour``, learned from normal training images.

    Raises BundleError without the backbone's package, DataError with fewer than three training images.
    """
    if len(training) < 3:
        raise DataError("too few images for a covariance", expected="3 or more", found=str(len(training)))
    trunk = FeatureVAE(FeatureVAEOptions(width=8, squeezed=4, whitening_rank=1)).eval()
    trunk.backbone.load_state_dict(pretrained().state_dict())
    generator = torch.Generator().manual_seed(0)
    moments = Moments(NUM_FEATURES, FEATURE_SIDE**2, torch.device("cpu"))
    number = min(len(training), options.max_images)
    from_each = max(1, -(-options.candidates // number))
    total, kept = torch.zeros(()), []
    for image in _batches(training, options.max_images):
        features = trunk.raw_features(image).flatten(2).cpu()
        moments.add(features)
        total = total + image.cpu().sum(dim=0)
        kept += [one.mT[torch.randperm(one.shape[1], generator=generator)[:from_each]] for one in features]
    mean, covariance = moments.statistics()
    scale = covariance.diagonal(dim1=1, dim2=2).mean(dim=0).clamp(min=1e-12).sqrt()
    bank = _covering(torch.cat(kept)[: options.candidates] / scale, options.bank_size, generator)
    inverse = _inverse_factors(covariance, options.prior_images / (options.prior_images + number))
    mean_image = (total / number).view(1, 1, *total.shape[-2:])
    return {
        "feature-gaussian": PositionalGaussian(trunk, mean_image, mean, inverse).eval(),
        "feature-neighbour": NearestNeighbour(trunk, mean_image, scale, bank).eval(),
    }


def _inverse_factors(covariance: Tensor, shrinkage: float) -> Tensor:
    """L^-1 at every position, with L L' the covariance there, shrunk to that of all. In place, part by part."""
    pooled = covariance.mean(dim=0)
    pooled = pooled + _RIDGE * pooled.diagonal().mean() * torch.eye(len(pooled))
    for part in torch.split(covariance, 64):
        factor = torch.linalg.cholesky((1 - shrinkage) * part.double() + shrinkage * pooled.double())
        part.copy_(torch.linalg.solve_triangular(factor, torch.eye(len(pooled)).double(), upper=False))
    return covariance


def _covering(vectors: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """``size`` of the vectors such that none is far from all of them: each next one is the farthest yet."""
    chosen = [int(torch.randint(len(vectors), (1,), generator=generator))]
    projection = torch.randn(vectors.shape[1], 32, generator=generator) / 32**0.5  # Johnson-Lindenstrauss
    low = vectors @ projection
    distance = torch.full((len(low),), torch.inf)
    for _ in range(min(size, len(low)) - 1):
        distance = torch.minimum(distance, (low - low[chosen[-1]]).square().sum(dim=1))
        chosen.append(int(distance.argmax()))
    return vectors[chosen]


def _batches(training: Feed, most: int) -> Iterator[Tensor]:
    rows = spread_evenly(len(training), most)
    for start in range(0, len(rows), _BATCH):
        yield training.take(rows[start : start + _BATCH])


def _as_map(distance: Tensor) -> Tensor:
    return distance.reshape(-1, 1, FEATURE_SIDE, FEATURE_SIDE)


def _frozen(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)
