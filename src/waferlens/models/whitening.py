"""How far a vector lies from what is usual at its position, in one number. Knows nothing of where it comes from.

The Mahalanobis distance of a residual r at position p, its covariance shrunk towards the one of all positions,

    C_p = (1 - s) S_p + s S        d_p(r)^2 = (r - m_p)' C_p^-1 (r - m_p) / n

with S_p and m_p the covariance and mean of normal residuals there, S the mean of S_p over positions, s the
shrinkage and n the number of features. With S = L L' and u = L^-1 (r - m_p) the pooled covariance becomes unity,
and the inverse is kept as a low-rank correction (Woodbury): with e_k, v_k the largest eigenvalues and vectors of
L^-1 S_p L^-T,

    n d_p(r)^2 ~ |u|^2 / s - sum_k (v_k' u)^2 (1 / s - 1 / (s + (1 - s) e_k))

so the directions in which normals vary much count little, and every other direction counts fully. 32 of 152
directions take a fifth of the memory of the full inverse, and memory is what an engine waits for here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_RIDGE = 1e-3  # of the mean variance, so that a feature that never varies does not divide by zero


class Whitening(nn.Module):
    """Starts as the root mean square of the residual."""

    mean: Tensor
    pooled: Tensor
    directions: Tensor
    gain: Tensor

    def __init__(self, num_features: int, num_positions: int, rank: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, num_features, num_positions))
        self.register_buffer("pooled", torch.eye(num_features))
        self.register_buffer("directions", torch.zeros(num_positions, rank, num_features))
        self.register_buffer("gain", torch.ones(()))

    def forward(self, residual: Tensor) -> Tensor:
        """residual: (B, features, positions). Returns (B, positions), in deviations."""
        u = self.pooled @ (residual - self.mean)
        usual = self.directions @ u.permute(2, 1, 0)
        squared = (u * u).sum(dim=1) * self.gain - (usual * usual).sum(dim=1).permute(1, 0)
        return (squared.clamp(min=0.0) / residual.shape[1] + 1e-6).sqrt()

    @torch.no_grad()
    def fit(self, moments: Moments, shrinkage: float) -> None:
        """Learn from the moments of normal residuals. Raises ValueError from fewer than two of them."""
        mean, covariance = moments.statistics()
        features, rank = covariance.shape[1], self.directions.shape[1]
        pooled = covariance.double().mean(dim=0)
        factor = torch.linalg.cholesky(ridged(pooled))
        inverse = torch.linalg.solve_triangular(factor, torch.eye(features).to(factor), upper=False)
        for start in range(0, len(covariance), 64):
            part = inverse @ covariance[start : start + 64].double() @ inverse.mT
            values, vectors = torch.linalg.eigh(part)
            values, vectors = values[:, -rank:].clamp(min=0), vectors[:, :, -rank:]
            weight = 1 / shrinkage - 1 / (shrinkage + (1 - shrinkage) * values)
            self.directions[start : start + 64] = (vectors * weight.sqrt()[:, None, :]).mT.to(self.directions)
        self.mean.copy_(mean.mT[None])
        self.pooled.copy_(inverse)
        self.gain.fill_(1 / shrinkage)


def ridged(pooled: Tensor) -> Tensor:
    """A covariance (features, features) that can be inverted."""
    return pooled + _RIDGE * pooled.diagonal().mean() * torch.eye(len(pooled)).to(pooled)


def shrinkage_of(prior_images: float, num_images: int) -> float:
    """Share of the covariance of all positions, when it weighs as much as ``prior_images`` images of each."""
    return prior_images / (prior_images + num_images)


class Moments:
    """Running sums over residuals, per position; memory: positions x features^2 floats."""

    def __init__(self, num_features: int, num_positions: int, device: torch.device) -> None:
        self.count = 0
        self.total = torch.zeros(num_positions, num_features, device=device)
        self.products = torch.zeros(num_positions, num_features, num_features, device=device)

    def add(self, residual: Tensor) -> None:
        """residual: (B, features, positions)."""
        by_position = residual.permute(2, 0, 1)
        self.count += len(residual)
        self.total += by_position.sum(dim=1)
        self.products.baddbmm_(by_position.mT, by_position)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean (positions, features) and covariance (positions, features, features), unbiased."""
        if self.count < 2:
            raise ValueError(f"a covariance takes two residuals or more, found {self.count}")
        mean = self.total / self.count
        centred = self.products - self.count * mean[:, :, None] * mean[:, None, :]
        return mean, centred / (self.count - 1)
