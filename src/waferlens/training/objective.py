"""One training step's question: how far is the ELBO of this batch from where it should be?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from waferlens.models.elbo import kl_to_standard_normal, negative_log_likelihood, reparameterise
from waferlens.models.feature_vae import FeatureVAE
from waferlens.models.pixel_vae import PixelVAE

_KEEP_BYTES = 1 << 30


class ElboObjective(nn.Module):
    """The network with its loss around it, so that data-parallel wrappers see one ``forward``."""

    def __init__(self, network: PixelVAE | FeatureVAE) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, generator: torch.Generator | None, features: Tensor | None = None) -> Tensor:
        """image: (B, 1, 256, 256) in [0, 1]. Returns (2,): reconstruction and KL, nats per image.

        With a generator z is sampled (training); without, z is the posterior mean (validation). features:
        (B, 152, 32, 32), of a network over features where they are known already.
        """
        network = self.network
        seen = image
        if isinstance(network, FeatureVAE):
            seen = network.features(image) if features is None else features
        mean, log_variance = network.encode(seen)
        z = mean if generator is None else reparameterise(mean, log_variance, generator)
        if isinstance(network, FeatureVAE):
            reconstruction = _features_and_pixels(network, z, seen, image)
        else:
            reconstruction = negative_log_likelihood(
                network.options.likelihood, network.decode(z), image, network.log_sigma
            )
        return torch.stack([reconstruction.mean(), kl_to_standard_normal(mean, log_variance).mean()])


class RememberedFeatures:
    """Features of batches that come again unchanged: the backbone is frozen, so one look is enough."""

    def __init__(self, network: FeatureVAE) -> None:
        self._network = network
        self._kept: dict[int, Tensor] = {}

    def of(self, number: int, image: Tensor) -> Tensor:
        """(B, 152, 32, 32) of the batch of this number; kept up to 1 GiB, found anew beyond."""
        if number in self._kept:
            return self._kept[number]
        features = self._network.features(image)
        if (len(self._kept) + 1) * features.nbytes <= _KEEP_BYTES:
            self._kept[number] = features
        return features


def _features_and_pixels(network: FeatureVAE, z: Tensor, features: Tensor, image: Tensor) -> Tensor:
    """-log p(features | z), Gaussian of unit variance up to its constant, plus -log p(image | z), (B,).

    The image is decoded from a z that passes no gradient back: what inspectors are shown has no say in what the
    latent keeps.
    """
    found = 0.5 * F.mse_loss(network.decode(z), features, reduction="none").flatten(1).sum(dim=1)
    shown = F.binary_cross_entropy_with_logits(network.decode_pixels(z.detach()), image, reduction="none")
    return found + shown.flatten(1).sum(dim=1)
