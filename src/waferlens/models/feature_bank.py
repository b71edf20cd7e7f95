"""How far what is seen lies from anything normal: a bank of normal feature vectors, wherever they were.

A network that was trained on a few dozen images knows too little to expect the next one: every normal image then
departs from what it expects, and small defects drown. A bank learns nothing: it keeps. What was seen once,
anywhere, is normal, which is as much as few images can tell (Roth et al. 2022, PatchCore).

    features (B, 152, 32, 32) ── averaged over 3x3 cells, in deviations ── nearest of the bank ──► distance
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from waferlens.models.feature_vae import FEATURE_SIDE, NUM_FEATURES, averaged


class FeatureBankOptions(BaseModel, frozen=True, extra="forbid"):
    """Whether there is one, and how much it keeps."""

    enabled: bool | Literal["auto"] = Field(
        False, description='whether a bank of normal features judges beside; `"auto"`: where images are few'
    )
    fewer_than: int = Field(
        150, ge=1, description='training images from which on `"auto"` does without: the network knows enough'
    )
    size: int = Field(2_000, ge=1, le=20_000, description="feature vectors kept")


class FeatureBank(nn.Module):
    """Empty until ``training.feature_bank`` fills it."""

    scale: Tensor
    vectors: Tensor

    def __init__(self, options: FeatureBankOptions) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("scale", torch.ones(NUM_FEATURES, 1, 1))
        self.register_buffer("vectors", torch.zeros(options.size, NUM_FEATURES))

    def forward(self, features: Tensor) -> Tensor:
        """(B, 152, 32, 32), not standardised, to the distance from the nearest vector, (B, 1, 32, 32)."""
        seen = (averaged(features) / self.scale).flatten(2).mT
        return nearest_distance(seen, self.vectors).view(-1, 1, FEATURE_SIDE, FEATURE_SIDE)


def nearest_distance(queries: Tensor, vectors: Tensor) -> Tensor:
    """Euclidean distance of each query (B, N, D) from the nearest of vectors (K, D): (B, N).

    By one product of matrices, which every engine does fast, instead of a difference for each pair.
    """
    squares = vectors.square().sum(dim=1)
    nearest = (squares - 2 * (queries @ vectors.mT)).amin(dim=2)
    return ((queries * queries).sum(dim=2) + nearest).clamp(min=0).sqrt()
