"""How large an error is usual for a normal image of this kind: read from the latent. Knows nothing of pixels.

One error scale for all images is wrong wherever normal images differ in kind: the grain of one product leaves
larger errors than another's bare metal, a structure that moved leaves them where it now is. A defect on a quiet
image then drowns in what noisy images do. The latent knows the kind, so it predicts the error:

    log u(z) = W (z - c)        relative to the mean normal image, at every cell of 8x8 pixels
    e'(x) = e(x) / u(z(x))

A variational autoencoder whose likelihood has a variance of its own per image learns the same by gradient; here
W is a ridge regression over normal images, in closed form and after training, which needs no more images than
there are and falls back to u = 1 where the latent says nothing. No prediction goes further than those for normal
images went, so an image beyond all of them cannot excuse itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from waferlens.records import LATENT_DIM

CELLS = 32


class UsualError(nn.Module):
    """Starts as u = 1 everywhere. ``training.usual_error`` fits it."""

    weight: Tensor
    centre: Tensor
    limit: Tensor

    def __init__(self, num_maps: int = 1) -> None:
        """num_maps: how many errors are judged at each cell."""
        super().__init__()
        self.num_maps = num_maps
        self.register_buffer("weight", torch.zeros(num_maps * CELLS**2, LATENT_DIM))
        self.register_buffer("centre", torch.zeros(LATENT_DIM))
        self.register_buffer("limit", torch.zeros(()))

    def forward(self, latent: Tensor) -> Tensor:
        """(B, 128) to u (B, M, 32, 32), positive; 1 where the error of the mean normal image is usual."""
        told = (latent - self.centre) @ self.weight.T
        bounded = torch.minimum(torch.maximum(told, -self.limit), self.limit)
        return bounded.exp().view(-1, self.num_maps, CELLS, CELLS)
