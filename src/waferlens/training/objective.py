"""One training step's question: how far is the ELBO of this batch from where it should be?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from waferlens.models.elbo import kl_to_standard_normal, negative_log_likelihood, reparameterise
from waferlens.models.pixel_vae import PixelVAE


class ElboObjective(nn.Module):
    """The network with its loss around it, so that data-parallel wrappers see one ``forward``."""

    def __init__(self, network: PixelVAE) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, generator: torch.Generator | None) -> Tensor:
        """image: (B, 1, 256, 256) in [0, 1]. Returns (2,): reconstruction and KL, nats per image.

        With a generator z is sampled (training); without, z is the posterior mean (validation).
        """
        mean, log_variance = self.network.encode(image)
        z = mean if generator is None else reparameterise(mean, log_variance, generator)
        reconstruction = negative_log_likelihood(
            self.network.options.likelihood, self.network.decode(z), image, self.network.log_sigma
        )
        return torch.stack([reconstruction.mean(), kl_to_standard_normal(mean, log_variance).mean()])
