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

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from waferlens.errors import DataError
from waferlens.models.backbone import pretrained
from waferlens.models.feature_bank import nearest_distance
from waferlens.models.feature_vae import (
    FEATURE_SIDE,
    NUM_FEATURES,
    SCALES,
    FeatureVAE,
    FeatureVAEOptions,
    Scale,
    at_scales,
)
from waferlens.models.whitening import Moments, ridged, shrinkage_of
from waferlens.training.feature_bank import covering, picked_vectors
from waferlens.training.features import once_through
from waferlens.training.feed import Feed


class FeatureBaselineOptions(BaseModel, frozen=True, extra="forbid"):
    """What the two baselines learn from, and how much."""

    max_images: int = Field(2_000, ge=2, description="training images used, spread evenly over them")
    prior_images: float = Field(
        40.0, gt=0, description="weight, in images, of the covariance of all positions in that of each"
    )
    bank_size: int = Field(2_000, ge=1, description="feature vectors of the nearest-neighbour bank")
    candidates: int = Field(40_000, ge=1, description="feature vectors that the bank is chosen from")
    scales: tuple[Scale, ...] = Field(SCALES, min_length=1, description="at which features are compared")


class FeatureBaseline(nn.Module):
    """The features at their scales, and what is measured of them."""

    def __init__(self, trunk: FeatureVAE, mean_image: Tensor, scales: list[nn.Module]) -> None:
        """mean_image: (1, 1, 256, 256). scales: from features (B, 152, 1024) to distances (B, 1024)."""
        super().__init__()
        self.trunk = trunk
        self.mean_image = _frozen(mean_image)
        self.scales = nn.ModuleList(scales)
        self.num_departures = len(scales)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean image (B, 1, 256, 256), mean features (B, 152), departure (B, M, 32, 32)."""
        features = self.trunk.raw_features(image)
        parts = zip(self.scales, at_scales(features, self.trunk.options.scales), strict=True)
        found = torch.stack([distance(part) for distance, part in parts], dim=1)
        departure = found.view(len(image), -1, FEATURE_SIDE, FEATURE_SIDE)
        return self.mean_image.expand_as(image), features.mean(dim=(2, 3)), departure


class PositionalGaussian(nn.Module):
    """Mahalanobis distance from the normal features of the same position, in deviations."""

    def __init__(self, mean: Tensor, inverse: Tensor) -> None:
        """mean: (positions, features). inverse: (positions, features, features), inverse Cholesky factors."""
        super().__init__()
        self.mean, self.inverse = _frozen(mean), _frozen(inverse)

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, 152, positions). Returns (B, positions)."""
        centred = features.permute(2, 0, 1) - self.mean[:, None]
        return (centred @ self.inverse.mT).square().mean(dim=2).sqrt().mT


class NearestNeighbour(nn.Module):
    """Distance to the nearest normal feature vector, wherever it was."""

    def __init__(self, scale: Tensor, bank: Tensor) -> None:
        """scale: (features,), what a feature is divided by. bank: (vectors, features), divided."""
        super().__init__()
        self.scale, self.bank = _frozen(scale), _frozen(bank)

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, 152, positions). Returns (B, positions)."""
        vectors = features.mT / self.scale
        return torch.cat([nearest_distance(one[None], self.bank) for one in vectors])


@torch.inference_mode()
def fit_feature_baselines(training: Feed, options: FeatureBaselineOptions) -> dict[str, nn.Module]:
    """``feature-gaussian`` and ``feature-neighbour``, learned from normal training images.

    Raises BundleError without the backbone's package, DataError with fewer than three training images.
    """
    if len(training) < 3:
        raise DataError("too few images for a covariance", expected="3 or more", found=str(len(training)))
    trunk = FeatureVAE(FeatureVAEOptions(width=8, squeezed=4, whitening_rank=1, scales=options.scales)).eval()
    trunk.backbone.load_state_dict(pretrained().state_dict())
    number = min(len(training), options.max_images)
    scales = [_Sample(-(-options.candidates // number)) for _ in options.scales]
    total = torch.zeros(())
    for image in once_through(training, options.max_images):
        total = total + image.cpu().sum(dim=0)
        for scale, features in zip(
            scales, at_scales(trunk.raw_features(image).cpu(), options.scales), strict=True
        ):
            scale.add(features)
    mean_image = (total / number).view(1, 1, *total.shape[-2:])
    gaussians, neighbours = zip(*(scale.fitted(options) for scale in scales), strict=True)
    return {
        "feature-gaussian": FeatureBaseline(trunk, mean_image, list(gaussians)).eval(),
        "feature-neighbour": FeatureBaseline(trunk, mean_image, list(neighbours)).eval(),
    }


class _Sample:
    """What is kept of the training features of one scale."""

    def __init__(self, from_each: int) -> None:
        self.moments = Moments(NUM_FEATURES, FEATURE_SIDE**2, torch.device("cpu"))
        self.generator = torch.Generator().manual_seed(0)
        self.from_each = from_each
        self.kept: list[Tensor] = []

    def add(self, features: Tensor) -> None:
        self.moments.add(features)
        self.kept += picked_vectors(features, self.from_each, self.generator)

    def fitted(self, options: FeatureBaselineOptions) -> tuple[PositionalGaussian, NearestNeighbour]:
        mean, covariance = self.moments.statistics()
        scale = covariance.diagonal(dim1=1, dim2=2).mean(dim=0).clamp(min=1e-12).sqrt()
        vectors = torch.cat(self.kept)[: options.candidates] / scale
        shrinkage = shrinkage_of(options.prior_images, self.moments.count)
        gaussian = PositionalGaussian(mean, _inverse_factors(covariance, shrinkage))
        return gaussian, NearestNeighbour(scale, covering(vectors, options.bank_size, self.generator))


def _inverse_factors(covariance: Tensor, shrinkage: float) -> Tensor:
    """L^-1 at every position, with L L' the covariance there, shrunk to that of all. In place, part by part."""
    pooled = ridged(covariance.mean(dim=0))
    for part in torch.split(covariance, 64):
        factor = torch.linalg.cholesky((1 - shrinkage) * part.double() + shrinkage * pooled.double())
        part.copy_(torch.linalg.solve_triangular(factor, torch.eye(len(pooled)).double(), upper=False))
    return covariance


def _frozen(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)
