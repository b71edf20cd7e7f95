"""Augmentation on the training device.

On the CPU the twin in ``images.augment`` is the faster one (it reads each pixel once, where ``grid_sample``
builds a grid first); on a GPU the same draws are applied with tensor operations. A test holds the two together,
but for the noise, which each draws with a generator of its own.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from waferlens.images.augment import AugmentationOptions, augment, sample_augmentations


def augment_batch(batch: Tensor, options: AugmentationOptions, rng: np.random.Generator) -> Tensor:
    """A varied copy of ``batch``, (B, 1, 256, 256) float32 in [0, 1], on its device. Same rng, same result."""
    if batch.device.type == "cpu":
        return torch.from_numpy(augment(batch.numpy(), options, rng))
    return augment_on_device(batch, options, rng)


def augment_on_device(batch: Tensor, options: AugmentationOptions, rng: np.random.Generator) -> Tensor:
    """The same with tensor operations only."""
    drawn = sample_augmentations(options, len(batch), rng, side=batch.shape[-1])
    matrices = torch.from_numpy(drawn.matrices).to(batch.device)
    grid = F.affine_grid(matrices, list(batch.shape), align_corners=False)
    varied = F.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    varied *= torch.from_numpy(drawn.gain).to(batch.device).view(-1, 1, 1, 1)
    varied += torch.from_numpy(drawn.offset).to(batch.device).view(-1, 1, 1, 1)
    if drawn.noise_sigma > 0:
        noise = torch.Generator(batch.device).manual_seed(int(rng.integers(2**62)))
        varied += torch.empty_like(varied).normal_(std=drawn.noise_sigma, generator=noise)
    return varied.clamp_(0.0, 1.0)
