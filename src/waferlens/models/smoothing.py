"""Gaussian smoothing as a matrix product. Knows nothing of what it smooths.

A blur of a (H, W) map along both axes is S @ map @ S.T with a banded, row-normalised S. As a product of two
256x256 matrices it costs 34 million multiply-adds, runs at full matrix speed in every engine, has no padding
mode or resize convention that two runtimes could read differently, and folds a coarser grid into S for free.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_matrix(sigma: float, size: int, *, truncate: float = 4.0) -> Tensor:
    """(size, size) float32 whose row i holds the weights of the Gaussian centred on pixel i.

    Rows sum to one: beyond the border nothing is assumed, the weights that fall inside are renormalised.
    sigma and truncate * sigma are in pixels and sigmas.
    """
    position = torch.arange(size, dtype=torch.float64)
    distance = position[:, None] - position[None, :]
    weights = torch.exp(-0.5 * (distance / sigma).square())
    weights = weights * (distance.abs() <= truncate * sigma)
    return (weights / weights.sum(dim=1, keepdim=True)).float()


def smooth(maps: Tensor, matrix: Tensor) -> Tensor:
    """Blur the last two axes: (..., H, W) with matrix (H, H) for square maps."""
    return matrix @ maps @ matrix.mT
