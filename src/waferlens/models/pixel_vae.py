"""``pixel-vae``: the case study's convolutional variational autoencoder (section 3.4).

Knows nothing of illumination, calibration or decisions: normalised image in, what the network expects out.

        x (B, 1, 256, 256)
        │  Conv 3x3 stride 2, BatchNorm, LeakyReLU       one stage per entry of ``channels``
        (B, 256, 16, 16)
        │  Conv 1x1 to ``bottleneck_channels``           absent in the literal network
        (B, 64, 16, 16)
        ├─ Linear → mean          (B, 128)
        └─ Linear → log variance  (B, 128)
        z (B, 128)
        │  Linear, Conv 1x1 back, then the mirror of the encoder
        logits (B, 1, 256, 256)
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple, cast

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from waferlens.models.elbo import LikelihoodName, expected_pixels
from waferlens.records import IMAGE_SIZE, LATENT_DIM

# exp(20) is a variance that no image earns; beyond it exp() overflows in half precision.
_LOG_VARIANCE_LIMIT = 20.0


class PixelVAEOptions(BaseModel, frozen=True, extra="forbid"):
    """Shape of the network. The default has 7.4 M parameters; the case study's literal text has 26.3 M.

    The two heads of the literal text alone, 65,536 x 128 each, exceed the 15 M budget of the same text:
    the 1x1 convolution to ``bottleneck_channels`` is what brings the network back under it.
    """

    kind: Literal["pixel-vae"] = "pixel-vae"
    channels: tuple[int, ...] = Field((32, 64, 128, 256), min_length=2, max_length=6)
    bottleneck_channels: int = Field(64, ge=0, description="before the heads; 0: none, the literal text")
    decoder: Literal["transpose", "resize"] = "transpose"
    likelihood: LikelihoodName = "bernoulli"
    negative_slope: float = Field(0.2, ge=0, lt=1, description="of LeakyReLU")


class Posterior(NamedTuple):
    """q(z|x) = N(mean, diag(exp(log_variance))); both (B, 128)."""

    mean: Tensor
    log_variance: Tensor


class PixelVAE(nn.Module):
    """Encoder, latent heads and decoder. ``forward`` is inference: the posterior mean, decoded."""

    def __init__(self, options: PixelVAEOptions) -> None:
        super().__init__()
        self.options = options
        self.num_departures, self.num_evidence = 1, 0
        stages, slope = options.channels, options.negative_slope
        side = IMAGE_SIZE >> len(stages)
        squeezed = options.bottleneck_channels or stages[-1]
        self._latent_map = (squeezed, side, side)
        flat = squeezed * side * side
        self.encoder = nn.Sequential(*(_down(i, o, slope) for i, o in pairwise((1, *stages))))
        self.squeeze = _pointwise(stages[-1], options.bottleneck_channels, slope)
        self.to_mean = nn.Linear(flat, LATENT_DIM)
        self.to_log_variance = nn.Linear(flat, LATENT_DIM)
        self.from_latent = nn.Linear(LATENT_DIM, flat)
        self.unsqueeze = _pointwise(options.bottleneck_channels, stages[-1], slope)
        ups = list(pairwise(reversed(stages)))
        self.decoder = nn.Sequential(
            *(_up(i, o, slope, options.decoder) for i, o in ups),
            _last_up(stages[0], options.decoder),
        )
        # One observation noise for all pixels, learned; used by the gaussian likelihood only.
        self.log_sigma = nn.Parameter(torch.tensor(-3.0), requires_grad=options.likelihood == "gaussian")

    def encode(self, x: Tensor) -> Posterior:
        """(B, 1, 256, 256) in [0, 1] to the posterior over z. In float32 whatever autocast does."""
        features = self.squeeze(self.encoder(x)).flatten(1)
        log_variance = self.to_log_variance(features).float()
        return Posterior(
            self.to_mean(features).float(),
            log_variance.clamp(-_LOG_VARIANCE_LIMIT, _LOG_VARIANCE_LIMIT),
        )

    def decode(self, z: Tensor) -> Tensor:
        """(B, 128) to logits (B, 1, 256, 256), float32."""
        features = self.from_latent(z).view(-1, *self._latent_map)
        return cast(Tensor, self.decoder(self.unsqueeze(features))).float()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Inference: the expected image (B, 1, 256, 256) in [0, 1] and the latent (B, 128)."""
        features = self.squeeze(self.encoder(x)).flatten(1)
        latent = self.to_mean(features).float()
        return expected_pixels(self.options.likelihood, self.decode(latent)), latent


def _down(in_channels: int, out_channels: int, slope: float) -> nn.Sequential:
    return nn.Sequential(
        # No bias: the batch normalisation that follows has its own.
        nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.LeakyReLU(slope, inplace=True),
    )


def _up(in_channels: int, out_channels: int, slope: float, kind: str) -> nn.Sequential:
    return nn.Sequential(
        *_upsampling(in_channels, out_channels, kind, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.LeakyReLU(slope, inplace=True),
    )


def _last_up(in_channels: int, kind: str) -> nn.Sequential:
    return nn.Sequential(*_upsampling(in_channels, 1, kind, bias=True))


def _upsampling(in_channels: int, out_channels: int, kind: str, *, bias: bool) -> list[nn.Module]:
    if kind == "transpose":
        # 4x4 at stride 2: the kernel is a multiple of the stride, so no checkerboard
        # (Odena, Dumoulin & Olah 2016).
        return [nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=bias)]
    return [
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias),
    ]


def _pointwise(in_channels: int, out_channels: int, slope: float) -> nn.Module:
    if 0 in (in_channels, out_channels):
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.LeakyReLU(slope, inplace=True),
    )
