"""Gaussian smoothing as a matrix product. Knows nothing of what it smooths.

A blur of a (H, W) map along both axes is S @ boxes @ S.T: ``boxes`` are the map's means over small squares, much
finer than the Gaussian is wide, and each row of S holds the Gaussian's weights of the boxes around one output
pixel. It runs at full matrix speed in every engine, has no padding mode or resize convention that two runtimes
could read differently, and the boxes save most of the arithmetic: with 2x2 boxes a third is left of the 34 million
multiply-adds of the same product over 256x256 pixels, with 8x8 boxes a fourteenth.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_matrix(sigma: float, size: int, *, box: int = 1, truncate: float = 4.0) -> Tensor:
    """(size, size / box) float32 whose row i holds the weights of the Gaussian centred on pixel i.

    sigma: of the whole blur, pixels. Averaging over a box blurs too, by (box^2 - 1) / 12 of variance, which is
    taken off the Gaussian's own. truncate: in sigmas. Rows sum to one: beyond the border nothing is assumed, the
    weights that fall inside are renormalised.

    Raises ValueError where the box does not divide the size or is no finer than the Gaussian.
    """
    variance = sigma**2 - (box**2 - 1) / 12
    if size % box or variance <= 0:
        raise ValueError(f"boxes of {box} do not suit a Gaussian of {sigma} pixels on {size}")
    pixel = torch.arange(size, dtype=torch.float64)
    centre = box * torch.arange(size // box, dtype=torch.float64) + (box - 1) / 2
    distance = pixel[:, None] - centre[None, :]
    weights = torch.exp(-0.5 * distance.square() / variance) * (distance.abs() <= truncate * sigma)
    return (weights / weights.sum(dim=1, keepdim=True)).float()


def smooth(boxes: Tensor, matrix: Tensor) -> Tensor:
    """Blur the last two axes: box means (..., H / box, H / box) with a matrix (H, H / box) to (..., H, H)."""
    return matrix @ boxes @ matrix.mT
